"""Queues over real snapshots, in the order of a real champion; labels that go out and come in; and the decisions of it all."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from everloop.core import plugins
from everloop.core.errors import BadInput, Broken, Conflict, NotFound
from everloop.core.labelling import LabelSet
from everloop.core.live import Deployment
from everloop.core.models import Candidate, Evaluation, Version
from everloop.core.ports import Examples, Trainer
from everloop.core.tables import Column
from everloop.data.labelling import desk, label_studio
from everloop.data.labelling.rows import names
from everloop.engine.artifacts import reached
from everloop.steps import labelling
from everloop.store import annotations, ledger, records, registry, snapshots
from everloop.store.collector import collect
from everloop.store.workspace import Workspace
from labelling_world import lend, queue_of, say, snapshot_of, texts, turn


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


def plane(rows: int, seed: int = 0) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    return pl.DataFrame({"x0": chance.normal(size=rows), "x1": chance.normal(size=rows)})


def champion(workspace: Workspace, loop: str, estimator: Any, target: pl.Series) -> str:
    """A version that answers, fitted on the plane: its name."""
    frame = plane(len(target), seed=1)
    columns = (Column("x0", "float"), Column("x1", "float"))
    task = "regression" if target.dtype.is_float() else "classification"
    part = Examples(frame, target)
    transform: Any = plugins.find("transforms", "sklearn")
    with tempfile.TemporaryDirectory() as folder:
        fitted = cast("Trainer", plugins.find("trainers", "sklearn"))(
            estimator, part, part, transform=transform(frame), params={}, seed=0, task=task,
            target=Column("y", "float" if task == "regression" else "int"), features=columns, folder=Path(folder),
        )  # fmt: skip
        model = workspace.blobs.put_tree(Path(folder))
    candidate = Candidate(
        prepared="prepared-0", model=model, signature=fitted.signature, flavor=fitted.flavor, trusted=fitted.trusted, estimator="", params={}, seed=0,
        environment={},
    )  # fmt: skip
    evaluation = Evaluation(candidate=candidate.id, prepared="prepared-0", part="test", metrics=())
    version = Version(loop=loop, candidate=candidate.id, evaluation=evaluation.id, verdict="verdict-0")
    with workspace.write() as tx:
        records.keep(tx, candidate, evaluation, version)
        entry = registry.register(tx, version, model=model, run="")
        registry.deploy(tx, Deployment(loop=loop, champion=entry.number), replacing=registry.deployment(tx, loop))
    return entry.name


def in_turn(workspace: Workspace, frame: pl.DataFrame, name: str = "plane") -> pl.DataFrame:
    """The rows of a queue in the order in which they are lent."""
    with workspace.read() as tx:
        positions = [item.position for item in annotations.items(tx, name)]
    return frame[positions]


def decisions(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.read() as tx:
        return [(entry.action, entry.actor) for entry in ledger.find(tx, rule=labelling.RULE)]


def halves(rows: int = 300) -> pl.Series:
    frame = plane(rows, seed=1)
    return pl.Series("y", (frame["x0"] > 0).cast(pl.Int64))


def test_the_champion_is_asked_what_it_is_least_sure_of(workspace: Workspace) -> None:
    name = champion(workspace, "half", LogisticRegression(), halves())
    frame = plane(400)
    opened = queue_of(workspace, frame, name="plane", choices=["0", "1"], target="y", loop="half", how="uncertainty")
    assert opened.queue.ordering == f"order uncertainty by {name}, seed 0"
    away = in_turn(workspace, frame)["x0"].abs().to_numpy()
    assert away[:40].mean() < 0.15 < 1.0 < away[-40:].mean()


def test_by_default_the_uncertain_rows_are_spread_out(workspace: Workspace) -> None:
    champion(workspace, "half", LogisticRegression(), halves())
    frame = plane(400)
    queue_of(workspace, frame, name="plane", choices=["0", "1"], target="y", loop="half")
    queue_of(workspace, frame, name="same", choices=["0", "1"], target="y", loop="half")
    queue_of(workspace, frame, name="bare", choices=["0", "1"], target="y", loop="half", how="uncertainty")
    with workspace.read() as tx:
        assert "order mixed by half/1" in annotations.queue(tx, "plane").ordering
        assert [item.row for item in annotations.items(tx, "plane")] == [item.row for item in annotations.items(tx, "same")]
    spread, bare = in_turn(workspace, frame)["x1"], in_turn(workspace, frame, "bare")["x1"]
    assert (spread[:5].max() - spread[:5].min()) > (bare[:5].max() - bare[:5].min())  # type: ignore[operator]


def test_without_a_champion_that_knows_the_rows_they_come_as_they_stand(workspace: Workspace) -> None:
    champion(workspace, "half", LogisticRegression(), halves())
    champion(workspace, "line", LinearRegression(), plane(50, seed=1)["x0"].alias("y"))
    with workspace.write() as tx:
        ledger.append(tx, loop="empty", rule="r", action="a", reason="", actor="me")
    for loop, frame in (("", plane(5)), ("half", texts(5)), ("line", plane(5)), ("empty", plane(5))):
        opened = queue_of(workspace, frame, name=f"q-{loop}", target="y", loop=loop)
        assert opened.queue.ordering == "order plain", loop
    for how, loop, told in (
        ("mixed", "", "needs a champion. Say whose"),
        ("mixed", "empty", "has no champion yet"),
        ("uncertainty", "line", "gives no probabilities"),
        ("mixed", "half", "needs the column 'x0'"),
    ):
        with pytest.raises(BadInput, match=told):
            queue_of(workspace, texts(5) if "x0" in told else plane(5), name="other", target="y", loop=loop, how=how)
    with pytest.raises(NotFound, match="Did you mean 'half'"):
        queue_of(workspace, plane(5), name="other", target="y", loop="hafl")


def test_the_newest_rows_come_in_and_answered_ones_go_last(workspace: Workspace) -> None:
    queue_of(workspace, 3)
    first = turn(workspace, "ann").row
    snapshot_of(workspace, texts(5))
    opened = labelling.refresh(workspace, "sms", how="random", seed=4, actor="me")
    assert (opened.rows, opened.queue.ordering) == (5, "order random, seed 4")
    with workspace.read() as tx:
        items = annotations.items(tx, "sms")
    assert len(items) == 5
    assert items[-1].row == first
    assert items[-1].state == "done"


def test_a_queue_that_was_there_before_the_loop_learns_of_its_champion_later(workspace: Workspace) -> None:
    queue_of(workspace, plane(50), name="plane", target="y", choices=["0", "1"])
    name = champion(workspace, "half", LogisticRegression(), halves())
    assert labelling.refresh(workspace, "plane", loop="half", actor="me").queue.ordering == f"order mixed by {name}, seed 0"
    assert labelling.refresh(workspace, "plane", actor="me").queue.loop == "half"


def test_only_rows_without_a_value_unless_all_are_asked_for(workspace: Workspace) -> None:
    frame = texts(4).with_columns(label=pl.Series(["spam", None, "ham", None]))
    assert (queue_of(workspace, frame).rows, queue_of(workspace, frame, name="all", everything=True).rows) == (2, 4)
    assert labelling.refresh(workspace, "all", actor="me").rows == 4
    with pytest.raises(BadInput, match="nothing to label"):
        queue_of(workspace, frame.drop_nulls(), name="none")


def test_rows_of_several_chunks_are_found_at_their_place(workspace: Workspace) -> None:
    queue_of(workspace, 500)
    with workspace.read() as tx:
        queue, items = annotations.queue(tx, "sms"), annotations.items(tx, "sms")
        snapshot = records.load(tx, queue.snapshot, labelling.Snapshot)
    for item in items[::97]:
        assert item.position is not None
        frame = snapshots.rows(workspace.blobs, snapshot, item.position, item.position + 1)
        assert names(frame, key="", target="label") == [item.row]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "Big"}, "cannot be a queue's name"),
        ({"name": "../x"}, "cannot be a queue's name"),
        ({"target": " "}, "cannot be a column's name"),
        ({"wanted": 0}, "0 labellers a row"),
        ({"lease_s": 0.0}, "lent for 1 second to 7 days"),
        ({"lease_s": float("nan")}, "lent for"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"key": "label"}, "is the target"),
        ({"choices": []}, "1 to 200"),
        ({"kind": "text"}, "has no choices"),
    ],
)
def test_a_declaration_that_makes_no_sense_opens_nothing(workspace: Workspace, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        queue_of(workspace, 3, **wrong)
    with workspace.read() as tx:
        assert annotations.queues(tx) == []
    assert decisions(workspace) == []


def test_what_is_automatic_is_in_the_ledger_and_a_label_is_not(workspace: Workspace) -> None:
    queue_of(workspace, 3, wanted=3)
    for person, value in (("ann", "spam"), ("bob", "spam"), ("cy", "ham")):
        turn(workspace, person, value)
    labelling.export(workspace, "sms", actor="exporter")
    labelling.import_labels(workspace, "sms", [], actor="importer")
    labelling.refresh(workspace, "sms", actor="me")
    assert labelling.accept_agreed(workspace, "sms", actor="me") == 0
    with pytest.raises(Conflict):
        queue_of(workspace, 3)
    assert decisions(workspace) == [
        ("open_queue", "me"), ("export_labels", "exporter"), ("import_labels", "importer"), ("refresh_queue", "me"), ("accept_labels", "me"),
    ]  # fmt: skip


def test_a_majority_can_be_accepted_everywhere_at_once(workspace: Workspace) -> None:
    queue_of(workspace, 3, wanted=2, review="all")
    for person, values in (("ann", ["spam", "spam"]), ("bob", ["spam", "ham"])):
        for value in values:
            turn(workspace, person, value)
    assert labelling.accept_agreed(workspace, "sms", actor="rae") == 1
    assert labelling.accept_agreed(workspace, "sms", actor="rae") == 0
    found = labelling.export(workspace, "sms", actor="me")
    assert [(label.value, label.by, label.votes) for label in found.rows.values()] == [("spam", "review", 2)]


def test_an_export_can_be_repeated_whatever_was_said_since(workspace: Workspace) -> None:
    queue_of(workspace, 4)
    turn(workspace, "ann", "spam", now=1000.0)
    first = labelling.export(workspace, "sms", actor="me")
    turn(workspace, "ann", "ham", now=2000.0)
    for at in (first.set.id, first.set.id[:14], "1", "1970-01-01T00:16:41", "1970-01-01T00:30:00+00:00"):
        again = labelling.export(workspace, "sms", at=at, actor="me")
        assert (again.set, again.rows) == (first.set, first.rows), at
    assert labelling.export(workspace, "sms", actor="me").set.rows == 2
    with workspace.read() as tx:
        assert records.load(tx, first.set.id, LabelSet) == first.set
    for wrong, kind in (("yesterday", BadInput), ("labels-ffffff", NotFound)):
        with pytest.raises(kind):
            labelling.export(workspace, "sms", at=wrong, actor="me")
    with workspace.write() as tx:
        tx.sql("UPDATE annotations SET value = '\"ham\"' WHERE seq = 1")
    with pytest.raises(Broken, match="changed after they were written"):
        labelling.export(workspace, "sms", at=first.set.id, actor="me")


def exported(workspace: Workspace, name: str = "sms") -> Any:
    with workspace.read() as tx:
        queue, said = annotations.queue(tx, name), annotations.by_row(tx, name)
        snapshot = records.load(tx, queue.snapshot, labelling.Snapshot)
    frame = snapshots.load(workspace.blobs, snapshot)
    rows = zip(names(frame, key=queue.key, target=queue.target), frame.drop(queue.target, strict=False).iter_rows(named=True), strict=True)
    return json.loads(json.dumps(label_studio.tasks(queue, rows, said)))


def test_labels_travel_through_label_studio_and_back(workspace: Workspace) -> None:
    queue_of(workspace, 3, wanted=2)
    for person, value in (("ann", "spam"), ("bob", "ham")):
        turn(workspace, person, value)
    row = lend(workspace, "ann")
    assert row is not None
    say(workspace, "ann", row, None, action="skip", reason="blurred")
    with workspace.write() as tx:
        desk.review(
            tx, "sms", row=next(iter(annotations.by_row(tx, "sms"))), person="rae", action="accept", value="ham", token="r", now=1.0
        )
    document = exported(workspace)
    same = labelling.import_labels(workspace, "sms", document, actor="me")
    assert (same.added, same.known) == (0, 4), "what is there already is not said twice"

    queue_of(workspace, 3, name="copy", wanted=2)
    assert labelling.import_labels(workspace, "copy", document, actor="me").added == 4
    assert labelling.import_labels(workspace, "copy", document, actor="me").known == 4
    first, copy = (labelling.export(workspace, name, actor="me") for name in ("sms", "copy"))
    assert first.rows == copy.rows
    with workspace.read() as tx:
        before, after = (
            {row: [(one.person, one.action, one.value, one.reason, one.seconds, one.at) for one in said] for row, said in annotations.by_row(tx, name).items()}
            for name in ("sms", "copy")
        )  # fmt: skip
        assert before == after
        states = [[(item.row, item.votes, item.skips, item.state) for item in annotations.items(tx, name)] for name in ("sms", "copy")]
        assert states[0] == states[1]


@pytest.mark.parametrize("key", ["", "id"])
def test_tasks_that_do_not_know_our_names_are_found_by_their_fields(workspace: Workspace, key: str) -> None:
    queue_of(workspace, 3, key=key)
    turn(workspace, "ann", "ham")
    document = exported(workspace)
    for task in document:
        del task["data"][label_studio.ROW]
        task["data"]["meta"] = "added by Label Studio"
    queue_of(workspace, 3, name="copy", key=key)
    assert labelling.import_labels(workspace, "copy", document, actor="me").added == 1
    assert labelling.export(workspace, "copy", actor="me").rows == labelling.export(workspace, "sms", actor="me").rows


def test_an_import_that_cannot_be_taken_whole_changes_nothing(workspace: Workspace) -> None:
    queue_of(workspace, 3)
    turn(workspace, "ann", "ham")
    document = exported(workspace)
    stranger = json.loads(json.dumps(document[:1]))
    stranger[0]["data"][label_studio.ROW] = "row-ffffffffffffffff"
    queue_of(workspace, 3, name="copy")
    with pytest.raises(BadInput, match="1 of 2 annotations are on tasks that queue 'copy' does not have"):
        labelling.import_labels(workspace, "copy", document + stranger, actor="me")
    wrong = json.loads(json.dumps(document).replace('"ham"', '"spma"'))
    with pytest.raises(BadInput, match="'spma' does not exist"):
        labelling.import_labels(workspace, "copy", document + wrong, actor="me")
    with workspace.read() as tx:
        assert annotations.newest(tx, "copy") == 0
    taken = labelling.import_labels(workspace, "copy", document + stranger, ignore_unknown=True, actor="me")
    assert (taken.added, taken.unknown) == (1, 1)


def test_what_contradicts_is_told_and_the_first_stays(workspace: Workspace) -> None:
    queue_of(workspace, 3)
    made = turn(workspace, "ann", "ham")
    other = json.loads(json.dumps(exported(workspace)).replace('"ham"', '"spam"'))
    taken = labelling.import_labels(workspace, "sms", other, actor="me")
    assert (taken.added, taken.contradicted) == (0, ((made.row, "ann"),))
    assert [label.value for label in labelling.export(workspace, "sms", actor="me").rows.values()] == ["ham"]


def test_a_collection_leaves_the_rows_of_a_queue(workspace: Workspace) -> None:
    queue_of(workspace, 3)
    with workspace.write() as tx:
        # Nothing else knows the snapshot any more.
        for table in ("takes", "aliases", "datasets", "mentions"):
            tx.sql(f"DELETE FROM {table}")
        tx.sql("UPDATE records SET created_at = 0")
        snapshot = records.load(tx, annotations.queue(tx, "sms").snapshot, labelling.Snapshot)
    later = time.time() + 30 * 86_400
    collect(workspace, reached, now=later, actor="me")
    assert snapshots.load(workspace.blobs, snapshot).height == 3
    with workspace.write() as tx:
        tx.sql("DELETE FROM queues")
    collect(workspace, reached, now=later, actor="me")
    assert not workspace.blobs.has(snapshot.chunks[0].blob), "without the queue nobody needs it"
