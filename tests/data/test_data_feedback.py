from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from everloop.core.live import Prediction, Role
from everloop.core.models import Candidate, Signature, Version
from everloop.core.ports import Place, Source
from everloop.core.tables import Column, Prepared
from everloop.data.sources.chain import Chain
from everloop.data.sources.feedback import Feedback
from everloop.data.sources.files import Files
from everloop.store import captures, labels, records, registry
from everloop.store.workspace import Workspace

LOOP = "demand"


def release(workspace: Workspace, inputs: tuple[Column, ...], output: Column) -> int:
    """A registered version with nothing behind it but its records: enough to know what its rows mean."""
    prepared = Prepared(snapshot="s", target=output.name, features=inputs, task="regression", split="", transform="", rows={})
    candidate = Candidate(
        prepared=prepared.id, model="m", signature=Signature(inputs=inputs, output=output, task="regression"), flavor="sklearn",
        trusted=True, estimator="E", params={}, seed=0, environment={},
    )  # fmt: skip
    version = Version(loop=LOOP, candidate=candidate.id, evaluation="e", verdict="v")
    with workspace.write() as tx:
        records.keep(tx, prepared, candidate, version)
        return registry.register(tx, version, model="m", run="r").number


def answer(writer: captures.Writer, version: int, features: list[Any], role: Role = "champion") -> str:
    id = writer.next_id()
    writer.append([Prediction(id=id, loop=LOOP, version=version, role=role, at=1_700_000_000.25, features=features, output=0.0)])
    return id


def label(workspace: Workspace, id: str, value: bool | int | float | str, at: float) -> None:
    with workspace.write() as tx:
        labels.add(tx, LOOP, {id: value}, at=at)


def test_nothing_captured_is_an_empty_table_that_a_chain_ignores(workspace: Workspace, place: Place) -> None:
    (place.project / "a.csv").write_text("x,y\n1,2\n")
    empty = Feedback().read(place)
    assert (empty.table.shape, empty.parts) == ((0, 0), ())
    chained = (Files("a.csv") + Feedback()).read(place)
    assert chained.table.rows() == [(1, 2)]
    assert [part["locator"] for part in chained.parts] == ["a.csv"]


def test_labelled_answers_of_champion_and_canary_in_the_order_of_their_labels(workspace: Workspace, place: Place) -> None:
    first = release(workspace, (Column("x", "float"), Column("w", "text")), Column("y", "int"))
    second = release(workspace, (Column("w", "text"), Column("z", "bool")), Column("y", "int"))
    writer = captures.Writer(workspace.predictions, LOOP)
    a = answer(writer, first, [1, "a"])
    b = answer(writer, second, ["b", True], "canary")
    shadow = answer(writer, second, ["s", True], "shadow")
    answer(writer, first, [9.0, "never labelled"])
    c = answer(writer, first, [3.5, None])
    writer.close()
    assert Feedback().stamp(place) == "0"
    for at, (id, value) in enumerate([(c, 30), (b, 20.0), (a, "10"), (shadow, 40), ("p-unknown-1", 50)]):
        label(workspace, id, value, at=float(at))
    assert Feedback().stamp(place) == "5"
    extract = Feedback().read(place)
    assert extract.table.to_dict(as_series=False) == {
        "x": [3.5, None, 1.0],
        "w": [None, "b", "a"],
        "y": [30, 20, 10],
        "z": [None, True, None],
    }
    assert extract.table.schema["y"] == pl.Int64
    assert extract.parts[0]["rows"] == 3
    assert Feedback().read(place).parts == extract.parts


def test_target_and_time_under_other_names(workspace: Workspace, place: Place) -> None:
    number = release(workspace, (Column("x", "float"),), Column("y", "text"))
    writer = captures.Writer(workspace.predictions, LOOP)
    label(workspace, answer(writer, number, [1.0]), 1, at=1.0)
    label(workspace, answer(writer, number, [2.0]), True, at=2.0)
    writer.close()
    table = Feedback("truth", time="t").read(place).table
    assert table["truth"].to_list() == ["1", "true"]
    assert table["t"].to_list() == [datetime(2023, 11, 14, 22, 13, 20, 250_000)] * 2


def test_chains_are_sources_and_grow_at_either_end() -> None:
    a, b = Files("a.csv"), Files("b.csv")
    assert isinstance(a + Feedback(), Source)
    assert a + b + Feedback() == a + Chain((b, Feedback())) == Chain((a, b, Feedback()))
    assert (Feedback() + a).describe() == "feedback + files a.csv"
