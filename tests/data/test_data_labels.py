"""`Labels`: labelled rows come back as a source, whatever became of the data since."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core import plugins
from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import Place, Source
from everloop.core.tables import Snapshot
from everloop.data.ingest import take
from everloop.data.labelling import labels
from everloop.data.labelling.rows import names
from everloop.data.sources.labels import Labels, join
from everloop.steps.labelling import refresh
from everloop.store import annotations, snapshots
from everloop.store.workspace import Workspace
from labelling_world import Rows, lend, queue_of, snapshot_of, texts, turn


def read(source: Source, place: Place) -> pl.DataFrame:
    batches = list(source.read(place).batches())
    return pl.concat(batches) if batches else pl.DataFrame()


def test_it_is_a_source_that_can_be_named(workspace: Workspace, place: Place) -> None:
    assert plugins.find("sources", "labels") is Labels
    assert isinstance(Labels("sms"), Source)
    assert Labels("sms").describe() == "labels: sms"
    with pytest.raises(NotFound, match="None is known yet"):
        Labels("sms").stamp(place)


def test_labelled_rows_with_their_label_in_the_order_of_the_data(workspace: Workspace, place: Place) -> None:
    queue_of(workspace, 5)
    source = Labels("sms")
    assert read(source, place).is_empty()
    rows = [lend(workspace, "ann", now=1000.0 * at) for at in (1,)]
    before = source.stamp(place)
    turn(workspace, "ann", "ham")
    assert source.stamp(place) != before
    turn(workspace, "bob", "spam")
    extract = source.read(place)
    (frame,) = list(extract.batches())
    assert frame.to_dict(as_series=False) == {"id": [0, 1], "text": ["message number 0", "message number 1"], "label": ["ham", "spam"]}
    (origin,) = extract.origins
    with workspace.read() as tx:
        assert origin["sha256"] == labels.derive(tx, annotations.queue(tx, "sms")).set.content
    assert (origin["locator"], origin["rows"], origin["until"]) == ("labels:sms", 2, 2)
    assert rows[0] is not None


def test_a_loop_can_learn_from_files_and_labels_together(workspace: Workspace, place: Place) -> None:
    queue_of(workspace, 3)
    turn(workspace, "ann", "ham")
    old = pl.DataFrame({"id": [90], "text": ["old"], "label": ["spam"]})
    chained = Labels("sms") + Rows(old)
    taken = take(chained, dataset="both", place=place)
    assert snapshots.load(workspace.blobs, taken).sort("id")["label"].to_list() == ["ham", "spam"]
    assert take(chained, dataset="both", place=place).id == taken.id


def test_labels_find_their_rows_in_a_later_snapshot(workspace: Workspace, place: Place) -> None:
    queue_of(workspace, 4)
    turn(workspace, "ann", "ham")
    turn(workspace, "ann", "spam")
    # Another order, columns moved, a column more without a value, a row less, a new one in front, an integer that became a float.
    later = texts(4).filter(pl.col("id") != 1).select("text", pl.col("id").cast(pl.Float64)).reverse()
    later = pl.concat([pl.DataFrame({"text": ["new"], "id": [77.0]}), later]).with_columns(pl.lit(None, pl.String).alias("note"))
    snapshot_of(workspace, later)
    opened = refresh(workspace, "sms", actor="me")
    assert opened.rows == 4
    frame = read(Labels("sms"), place)
    assert frame.select("id", "label").rows() == [(0.0, "ham")]
    with workspace.read() as tx:
        found = labels.derive(tx, annotations.queue(tx, "sms"))
    assert len(found.rows) == 2, "the label of the row that is gone is kept"


def test_equal_rows_are_labelled_once(workspace: Workspace, place: Place) -> None:
    opened = queue_of(workspace, pl.DataFrame({"text": ["a", "b", "a"]}))
    assert (opened.rows, opened.equal) == (2, 1)
    turn(workspace, "ann", "ham")
    assert read(Labels("sms"), place).rows() == [("a", "ham"), ("a", "ham")]


def test_rows_that_had_a_value_come_only_when_asked_for(workspace: Workspace, place: Place) -> None:
    frame = pl.DataFrame({"text": ["a", "b", "c"], "label": [None, "odd", None]}, schema={"text": pl.String, "label": pl.String})
    assert queue_of(workspace, frame).known == 1
    turn(workspace, "ann", "ham")
    assert read(Labels("sms"), place).rows() == [("a", "ham")]
    assert read(Labels("sms", known=True), place).rows() == [("a", "ham"), ("b", "odd")]


def test_a_key_names_rows_whose_content_changes(workspace: Workspace, place: Place) -> None:
    queue_of(workspace, 3, key="id")
    turn(workspace, "ann", "ham")
    snapshot_of(workspace, texts(3).with_columns(pl.col("text") + "!"))
    refresh(workspace, "sms", actor="me")
    assert read(Labels("sms"), place).rows() == [(0, "message number 0!", "ham")]
    with pytest.raises(BadInput, match="2 rows repeat a value of 'k'"):
        queue_of(workspace, pl.DataFrame({"k": [1, 1, 1], "t": ["a", "b", "c"]}), name="other", key="k")
    with pytest.raises(BadInput, match="1 rows have no value in 'k'"):
        queue_of(workspace, pl.DataFrame({"k": [1, None], "t": ["a", "b"]}), name="other", key="k")


@pytest.mark.parametrize(
    ("choices", "there", "given", "dtype", "expected"),
    [
        (["0", "1"], None, "1", pl.Int64, 1),
        (["0", "1"], pl.Int64, "1", pl.Int64, 1),
        (["0", "1"], pl.String, "1", pl.String, "1"),
        (["0", "1"], pl.Float64, "1", pl.Float64, 1.0),
        (["true", "false"], pl.Boolean, "true", pl.Boolean, True),
        (["a", "b"], None, "a", pl.String, "a"),
    ],
)
def test_labels_have_the_type_of_the_target(
    workspace: Workspace, place: Place, choices: list[str], there: Any, given: str, dtype: Any, expected: object
) -> None:
    frame = texts(2) if there is None else texts(2).with_columns(pl.lit(None, there).alias("label"))
    if there is not None:
        frame = pl.concat(
            [
                frame,
                pl.DataFrame(
                    {"id": [9], "text": ["known"], "label": [{pl.String: "0", pl.Boolean: False}.get(there, 0)]}, schema=frame.schema
                ),
            ]
        )
    queue_of(workspace, frame, choices=choices)
    turn(workspace, "ann", given)
    found = read(Labels("sms"), place)
    assert found.schema["label"] == dtype
    assert found["label"].to_list() == [expected]


def test_numbers_and_texts(workspace: Workspace, place: Place) -> None:
    queue_of(workspace, 2, name="age", kind="number", choices=[], target="age")
    turn(workspace, "ann", "3", name="age")
    assert read(Labels("age"), place)["age"].to_list() == [3]
    turn(workspace, "ann", 2.5, name="age")
    assert read(Labels("age"), place)["age"].to_list() == [3.0, 2.5]
    queue_of(workspace, 1, name="words", kind="text", choices=[], target="words")
    turn(workspace, "ann", "hello", name="words")
    assert read(Labels("words"), place)["words"].to_list() == ["hello"]


def test_a_set_of_labels_can_be_had_again(workspace: Workspace) -> None:
    queue_of(workspace, 4)
    turn(workspace, "ann", "ham")
    with workspace.read() as tx:
        queue = annotations.queue(tx, "sms")
        first = labels.derive(tx, queue)
    row = next(iter(first.rows))
    turn(workspace, "ann", "spam")
    with workspace.read() as tx:
        assert labels.derive(tx, queue).set.id != first.set.id
        assert labels.derive(tx, queue, until=1) == first
        assert labels.derive(tx, queue, until=first.set.until).rows[row].value == "ham"


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=12),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_a_label_is_joined_to_its_rows_wherever_they_are(cells: list[tuple[int, str]], piece: int, chance: Any) -> None:
    frame = pl.DataFrame({"n": [n for n, _ in cells], "t": [t for _, t in cells]})
    label = {row: f"{n}{t}" for row, (n, t) in zip(names(frame, key="", target="y"), cells, strict=True)}
    order = list(range(frame.height))
    chance.shuffle(order)
    joined = pl.concat([join(part, label, key="", target="y") for part in frame[order].iter_slices(piece)])
    assert joined.select(pl.format("{}{}", "n", "t") == pl.col("y")).to_series().all()
    assert joined.height == frame.height


def test_the_snapshot_of_a_queue_is_a_record(workspace: Workspace) -> None:
    assert isinstance(snapshot_of(workspace, texts(1)), Snapshot)
