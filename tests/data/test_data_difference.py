"""What differs between two snapshots is what was changed between them."""

from __future__ import annotations

from collections import Counter
from datetime import date

import polars as pl
import pytest
from given import Given
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.ports import Place
from everloop.core.tables import Snapshot
from everloop.data.difference import Difference, compare, shift
from everloop.data.ingest import take
from everloop.data.profile import summarise
from everloop.store import chunks
from everloop.store.workspace import Workspace


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_MOST_ROWS", 16)


def snapshot(table: pl.DataFrame, place: Place) -> Snapshot:
    return take(Given(table), dataset="d", place=place)


def difference(workspace: Workspace, place: Place, before: pl.DataFrame, after: pl.DataFrame, key: tuple[str, ...] = ()) -> Difference:
    return compare(workspace.blobs, snapshot(before, place), snapshot(after, place), key=key)


TABLE = pl.DataFrame({"id": range(200), "v": [at % 5 for at in range(200)], "t": [f"x{at}" for at in range(200)]})


def test_the_same_is_equal(workspace: Workspace, place: Place) -> None:
    found = difference(workspace, place, TABLE, TABLE)
    assert found.equal
    assert found.rows.same == 200
    assert {column.shift for column in found.columns} == {0.0}


def test_rows_that_came_and_went(workspace: Workspace, place: Place) -> None:
    after = pl.concat([TABLE.filter(pl.col("id") != 7), pl.DataFrame({"id": [999, 999], "v": [1, 1], "t": ["new", "new"]})])
    found = difference(workspace, place, TABLE, after).rows
    assert (found.added, found.removed, found.same, found.changed) == (2, 1, 199, None)
    assert found.removed_samples == [{"id": 7, "v": 2, "t": "x7"}]
    assert found.added_samples == [{"id": 999, "v": 1, "t": "new"}] * 2


def test_a_key_tells_changed_rows(workspace: Workspace, place: Place) -> None:
    after = TABLE.with_columns(pl.when(pl.col("id") < 3).then(100).otherwise("v").alias("v")).filter(pl.col("id") != 50)
    found = difference(workspace, place, TABLE, after, key=("id",)).rows
    assert (found.added, found.removed, found.same, found.changed) == (0, 1, 196, 3)
    assert found.changed_columns == {"v": 3}
    assert found.changed_samples[0] == {"id": 0, "v": 0, "t": "x0", "v (after)": 100, "t (after)": "x0"}


def test_order_does_not_count(workspace: Workspace, place: Place) -> None:
    found = difference(workspace, place, TABLE, TABLE.reverse())
    assert (found.rows.added, found.rows.removed) == (0, 0)


def test_columns_that_came_went_and_changed_type(workspace: Workspace, place: Place) -> None:
    after = TABLE.drop("t").with_columns(pl.col("v").cast(pl.String), pl.lit(1.5).alias("w"))
    found = difference(workspace, place, TABLE, after)
    assert {column.name: column.status for column in found.columns} == {"id": "same", "v": "retyped", "w": "added", "t": "removed"}
    # Compared in what both have.
    assert (found.rows.added, found.rows.removed, found.rows.same) == (0, 0, 200)
    assert not found.equal


def test_nothing_in_common(workspace: Workspace, place: Place) -> None:
    found = difference(workspace, place, TABLE.select("id"), TABLE.select("t"))
    assert (found.rows.added, found.rows.removed, found.rows.same) == (200, 200, 0)


@pytest.mark.parametrize(("key", "message"), [(("idd",), "Did you mean 'id'"), (("v",), "does not tell rows apart: 195 rows")])
def test_a_key_that_is_none(workspace: Workspace, place: Place, key: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        difference(workspace, place, TABLE, TABLE.reverse().head(199), key=key)


row = st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(row, min_size=1, max_size=60), after=st.lists(row, min_size=1, max_size=60))
def test_rows_are_counted_as_a_multiset(
    workspace: Workspace, place: Place, before: list[tuple[int, str | None]], after: list[tuple[int, str | None]]
) -> None:
    schema = {"n": pl.Int64, "t": pl.String}
    frames = [pl.DataFrame(rows, schema=schema, orient="row") for rows in (before, after)]
    found = difference(workspace, place, *frames).rows
    old, new = Counter(before), Counter(after)
    assert found.added == (new - old).total()
    assert found.removed == (old - new).total()
    assert found.same == (old & new).total()


def test_shift_is_a_distance() -> None:
    base = pl.DataFrame({"x": [float(at) for at in range(1_000)], "c": ["a"] * 500 + ["b"] * 500, "d": [date(2026, 1, 1)] * 1_000})
    moved = base.with_columns(pl.col("x") + 250, pl.Series("c", ["a"] * 250 + ["b"] * 500 + ["z"] * 250))
    one, other = (summarise(frame, about="s") for frame in (base, moved))
    shifts = [shift(left, right) for left, right in zip(one.columns, other.columns, strict=True)]
    assert shifts[0] == pytest.approx(0.25, abs=0.01)
    assert shifts[1] == pytest.approx(0.25)
    assert shifts[2] == 0
    assert shift(one.columns[0], other.columns[1]) is None
