from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from everloop.core.errors import BadInput, Broken
from everloop.core.ports import Extract, Place
from everloop.core.tables import Prepared, Snapshot
from everloop.data.ingest import take
from everloop.data.prepare import Split, prepare
from everloop.data.split import assign
from everloop.store import records
from everloop.store.parts import load_part, load_rows
from everloop.store.workspace import Workspace

ROWS = 60
TABLE = pl.DataFrame(
    {
        "id": range(ROWS),
        "x": [at / 3 for at in range(ROWS)],
        "w": ["red", "green", None] * (ROWS // 3),
        "b": [True, False] * (ROWS // 2),
        "when": [datetime(2026, 1, 1 + at % 28) for at in range(ROWS)],
        "raw": [b"x"] * ROWS,
        "l": [[1]] * ROWS,
        "y": [None if at % 10 == 0 else float(at) for at in range(ROWS)],
    }
)


class Given:
    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table

    def describe(self) -> str:
        return "given"

    def stamp(self, place: Place) -> str:
        return ""

    def read(self, place: Place) -> Extract:
        return Extract(self.table, ())


def snapshot(workspace: Workspace, place: Place, table: pl.DataFrame = TABLE) -> Snapshot:
    taken = take(Given(table), dataset="d", place=place)
    with workspace.write() as tx:
        records.keep(tx, taken)
    return taken


def test_features_parts_and_the_transform(workspace: Workspace, place: Place) -> None:
    prepared = prepare(snapshot(workspace, place), target="y", drop=("id",), task="regression", seed=1)
    assert [column.name for column in prepared.features] == ["x", "w", "b"]
    assert sum(prepared.rows.values()) == ROWS - 6
    assert workspace.blobs.get(prepared.transform)
    parts = [load_part(workspace, prepared, part) for part in ("train", "valid", "test")]
    assert [len(target) for _, target in parts] == [prepared.rows["train"], prepared.rows["valid"], prepared.rows["test"]]
    assert all(features.columns == ["x", "w", "b"] for features, _ in parts)
    together = sorted(value for _, target in parts for value in target.to_list())
    assert together == [float(at) for at in range(ROWS) if at % 10]


def test_a_row_without_a_target_is_in_no_part(workspace: Workspace, place: Place) -> None:
    prepared = prepare(snapshot(workspace, place), target="y", task="regression")
    bytes_ = np.frombuffer(workspace.blobs.get(prepared.split), dtype=np.uint8)
    assert len(bytes_) == ROWS
    assert ((bytes_ == 255) == TABLE["y"].is_null().to_numpy()).all()


def test_rows_of_a_part_keep_all_columns_and_their_order(workspace: Workspace, place: Place) -> None:
    prepared = prepare(snapshot(workspace, place), target="y", drop=("id",), task="regression", split=Split(how="time", by="when"))
    rows = load_rows(workspace, prepared, "test")
    assert rows.columns == TABLE.columns
    assert rows["id"].is_sorted()
    assert rows["when"].min() >= load_rows(workspace, prepared, "train")["when"].max()  # type: ignore[operator]


def test_the_same_call_gives_the_same_record_and_a_seed_another(workspace: Workspace, place: Place) -> None:
    taken = snapshot(workspace, place)
    first, again = (prepare(taken, target="y", task="regression", seed=1) for _ in range(2))
    assert first == again
    assert prepare(taken, target="y", task="regression", seed=2).id != first.id


def test_the_transform_sees_the_training_part_only(workspace: Workspace, place: Place) -> None:
    """Values of other parts, however large, leave the fitted transform as it was."""
    table = pl.DataFrame({"k": range(200), "x": [1.0, 2.0] * 100, "y": [0.0, 1.0] * 100})
    by = assign(table, how="group", by="k", seed=0)
    spoiled = table.with_columns(x=pl.when(pl.Series(by == 0)).then(pl.col("x")).otherwise(1e9))
    same = [
        prepare(snapshot(workspace, place, frame), target="y", drop=("k",), task="regression", split=Split(how="group", by="k")).transform
        for frame in (table, spoiled)
    ]
    assert same[0] == same[1]
    trained = table.with_columns(x=pl.when(pl.Series(by == 0)).then(1e9).otherwise(pl.col("x")))
    assert (
        prepare(snapshot(workspace, place, trained), target="y", drop=("k",), task="regression", split=Split(how="group", by="k")).transform
        != same[0]
    )


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (TABLE, {"target": "yy"}, "Target column 'yy' does not exist. Did you mean 'y'"),
        (TABLE, {"drop": ("idd",)}, "Did you mean 'id'.*drop="),
        (TABLE, {"drop": ("y",)}, "is the target and is named in drop="),
        (TABLE, {"target": "when"}, "is of kind time"),
        (TABLE, {"target": "w"}, "a regression needs numbers"),
        (TABLE.with_columns(y=pl.lit(None, pl.Float64)), {}, "has no value in any of 60 rows"),
        (TABLE.with_columns(y=pl.lit(float("nan"))), {}, "has no value in any of 60 rows"),
        (TABLE.with_columns(y=pl.lit(3.0)), {}, "is 3.0 in every row"),
        (TABLE.with_columns(z=pl.lit(None)), {}, "'z': no row has a value.*drop="),
        (TABLE.head(9), {}, "Only 8 rows have a target value"),
        (TABLE.select("when", "y"), {}, "No feature is left"),
        (TABLE.with_columns(y=pl.int_range(60) / 7), {"task": "classification"}, "these are quantities, not classes"),
        (TABLE, {"split": Split(how="time", by="whn")}, "Did you mean 'when'"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(
    workspace: Workspace, place: Place, table: pl.DataFrame, arguments: dict[str, object], message: str
) -> None:
    taken = snapshot(workspace, place, table)
    with pytest.raises(BadInput, match=message):
        prepare(taken, **{"target": "y", "task": "regression", **arguments})  # type: ignore[arg-type]


def test_training_rows_of_one_class_are_refused(workspace: Workspace, place: Place) -> None:
    table = pl.DataFrame({"t": range(100), "x": range(100), "y": ["a"] * 80 + ["b"] * 20})
    with pytest.raises(BadInput, match="All 60 training rows have the target y = 'a'"):
        prepare(snapshot(workspace, place, table), target="y", task="classification", split=Split(how="time", by="t"))


def test_shares_that_are_none_are_refused() -> None:
    for shares in ({"valid": -0.1}, {"test": 0.0}, {"valid": 0.5, "test": 0.5}):
        with pytest.raises(BadInput, match="shares of all rows"):
            Split(**shares)


def test_a_part_that_does_not_exist_and_a_split_of_another_table(workspace: Workspace, place: Place) -> None:
    prepared = prepare(snapshot(workspace, place), target="y", task="regression")
    with pytest.raises(BadInput, match="Did you mean 'train'"):
        load_part(workspace, prepared, "trian")  # type: ignore[arg-type]
    fields = {name: getattr(prepared, name) for name in prepared.__struct_fields__}
    other = Prepared(**(fields | {"split": workspace.blobs.put(b"\x00" * 3)}))
    with pytest.raises(Broken, match="covers 3 rows"):
        load_part(workspace, other, "train")
