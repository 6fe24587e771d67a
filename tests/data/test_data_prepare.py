from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from given import Given
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer

from everloop import Recipe, recipe
from everloop.core.errors import BadInput, Broken
from everloop.core.ports import Place
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


def snapshot(workspace: Workspace, place: Place, table: pl.DataFrame = TABLE) -> Snapshot:
    taken = take(Given(table[:35], table[35:]), dataset="d", place=place)
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


def test_a_recipe_makes_features_of_times_bytes_and_lists(workspace: Workspace, place: Place) -> None:
    what = Recipe(recipe.dates("when"), recipe.flatten("l"), recipe.drop("id"))
    prepared = prepare(snapshot(workspace, place), target="y", transform=what, task="regression")
    assert [(column.name, column.kind) for column in prepared.features] == [
        ("x", "float"),
        ("w", "text"),
        ("b", "bool"),
        ("when", "time"),
        ("l", "list"),
    ]
    assert load_part(workspace, prepared, "test")[0].columns == ["x", "w", "b", "when", "l"]


def test_a_recipe_that_names_the_target_or_a_dropped_column_is_refused(workspace: Workspace, place: Place) -> None:
    taken = snapshot(workspace, place)
    for name in ("y", "id"):
        with pytest.raises(
            BadInput, match=f"Recipe step 'scale': Column '{name}' does not exist.*The target and dropped columns are no features"
        ):
            prepare(taken, target="y", drop=("id",), transform=Recipe(recipe.scale(name)), task="regression")


EACH_STEP = Recipe(
    recipe.impute("x", flag=True),
    recipe.scale("x"),
    recipe.bucket("z", bins=4),
    recipe.one_hot("w"),
    recipe.text("t", min_rows=1),
    recipe.dates("when"),
    recipe.multi_hot("tags"),
    recipe.transformer(QuantileTransformer(n_quantiles=10), "z"),
)


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_step_of_a_recipe_learns_from_other_parts(workspace: Workspace, place: Place, seed: int) -> None:
    """Whatever the rows of other parts hold, the fitted bytes are the same; another training row changes them."""
    rng = np.random.default_rng(seed)

    def rows(count: int) -> dict[str, object]:
        return {
            "x": [None if rng.random() < 0.2 else float(rng.normal() * 10) for _ in range(count)],
            "z": (rng.normal(size=count) * 10).tolist(),
            "w": [f"w{at}" for at in rng.integers(0, 99, count)],
            "t": [f"hello w{at} you" for at in rng.integers(0, 99, count)],
            "when": [datetime(2020, 1, 1) + timedelta(hours=int(at)) for at in rng.integers(0, 50_000, count)],
            "tags": [[f"t{at}"] for at in rng.integers(0, 99, count)],
        }

    table = pl.DataFrame({"k": range(120), "y": [0.0, 1.0] * 60, **rows(120)})
    split = Split(how="group", by="k")
    inside = pl.Series(assign(table, how="group", by="k") == 0)
    other = table.select("k", "y").with_columns(pl.Series(name, values) for name, values in rows(120).items())
    names = [name for name in table.columns if name not in ("k", "y")]

    def fitted(frame: pl.DataFrame) -> str:
        taken = snapshot(workspace, place, frame)
        return prepare(taken, target="y", drop=("k",), task="regression", split=split, transform=EACH_STEP).transform

    def mixed(where: pl.Series) -> pl.DataFrame:
        return table.with_columns(pl.when(where).then(other[name]).otherwise(table[name]).alias(name) for name in names)

    before = fitted(table)
    assert fitted(mixed(~inside)) == before
    assert fitted(mixed(inside)) != before


@pytest.mark.parametrize(
    "split",
    [
        Split(),
        Split(how="stratified"),
        Split(how="stratified", by="w"),
        Split(how="group", by="w2"),
        Split(how="time", by="when", gap_s=3600.0),
    ],
    ids=lambda split: f"{split.how} {split.by}",
)
def test_every_row_with_a_target_is_in_exactly_one_part(workspace: Workspace, place: Place, split: Split) -> None:
    table = TABLE.with_columns(w2=pl.int_range(ROWS) % 9, y=pl.when(pl.col("y").is_not_null()).then(pl.col("y") // 10))
    prepared = prepare(
        snapshot(workspace, place, table), target="y", task="classification", split=split, transform=Recipe(recipe.scale("x"))
    )
    ids = [load_rows(workspace, prepared, part)["id"].to_list() for part in ("train", "valid", "test")]
    gone = ROWS - sum(map(len, ids))
    together = sorted(at for part in ids for at in part)
    assert len(set(together)) == len(together)
    assert gone == 6 if not split.gap_s else gone >= 6
    assert all(ids)
    assert set(together) <= {at for at in range(ROWS) if at % 10}


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


def test_a_gap_is_for_a_split_by_time() -> None:
    for wrong in ({"gap_s": 3.0}, {"how": "time", "by": "t", "gap_s": -1.0}):
        with pytest.raises(BadInput, match="is for how='time'"):
            Split(**wrong)


def test_a_part_that_does_not_exist_and_a_split_of_another_table(workspace: Workspace, place: Place) -> None:
    prepared = prepare(snapshot(workspace, place), target="y", task="regression")
    with pytest.raises(BadInput, match="Did you mean 'train'"):
        load_part(workspace, prepared, "trian")  # type: ignore[arg-type]
    fields = {name: getattr(prepared, name) for name in prepared.__struct_fields__}
    other = Prepared(**(fields | {"split": workspace.blobs.put(b"\x00" * 3)}))
    with pytest.raises(Broken, match="covers 3 rows"):
        load_part(workspace, other, "train")
