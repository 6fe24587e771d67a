"""Only new data: parts by file, key and time; what is new, changed or deleted, and nothing else, is processed."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop import partitions
from everloop.core.errors import BadInput
from everloop.engine.pipeline import pipeline
from everloop.engine.step import step
from everloop.store import runs
from everloop.store.workspace import Workspace, using


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened, using(opened):
        yield opened


def executed(workspace: Workspace) -> Counter[str]:
    """Step -> how many bodies the newest run executed."""
    with workspace.read() as tx:
        (run,) = runs.find(tx, limit=1)
        return Counter(row.name for row in runs.steps_of(tx, run.id) if row.status == "done")


@step
def read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path)


@step
def size(part: pl.DataFrame) -> int:
    return part.height


@step
def stack(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([one, other])


@pipeline
def whole(pattern: str) -> Any:
    return partitions.reduce(stack, read.map(partitions.by_file(pattern)))


def write(folder: Path, name: str, *values: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.csv").write_text("x\n" + "".join(f"{value}\n" for value in values))


def test_files_that_are_new_changed_or_deleted(tmp_path: Path, workspace: Workspace) -> None:
    data = tmp_path / "data"
    for number in range(32):
        write(data, f"{number:02}", number)
    assert whole("data/*.csv")["x"].to_list() == list(range(32))
    assert executed(workspace) == {"read": 32, "stack": 31}

    assert whole("data/*.csv").height == 32
    assert executed(workspace) == {}

    few = 4 * math.log(32)
    write(data, "32", 32)
    assert whole("data/*.csv")["x"].to_list() == list(range(33))
    done = executed(workspace)
    assert done["read"] == 1
    assert done["stack"] <= few

    write(data, "07", 700)
    assert whole("data/*.csv")["x"].to_list()[6:9] == [6, 700, 8]
    done = executed(workspace)
    assert done["read"] == 1
    assert done["stack"] <= few

    (data / "03.csv").unlink()
    left = whole("data/*.csv")["x"].to_list()
    assert 3 not in left
    assert len(left) == 32
    done = executed(workspace)
    assert done["read"] == 0
    assert done["stack"] <= few

    write(data, "03", 3)
    assert 3 in whole("data/*.csv")["x"].to_list()
    assert executed(workspace) == {}


def test_keys_in_parallel_and_only_the_changed_one_again(workspace: Workspace) -> None:
    @step
    def sales(extra: int) -> pl.DataFrame:
        rows = [(shop, amount) for shop in ("b", "a", "c") for amount in range(3)] + [("c", extra)] * bool(extra)
        return pl.DataFrame(rows, schema=["shop", "amount"], orient="row")

    @pipeline
    def by_shop(extra: int) -> Any:
        return size.map(partitions.by_key(sales(extra), "shop"))

    assert by_shop(0) == {"a": 3, "b": 3, "c": 3}
    assert list(by_shop(0)) == ["a", "b", "c"]
    assert by_shop(9) == {"a": 3, "b": 3, "c": 4}
    assert executed(workspace) == {"sales": 1, "by_key": 1, "size": 1}


def test_spans_of_time_and_a_range_filled_in_later(workspace: Workspace) -> None:
    days = [datetime(2026, 1, 1) + timedelta(hours=6 * index) for index in range(40)]
    table = pl.DataFrame({"at": days, "x": range(40)})

    @pipeline
    def counts(start: str, end: str) -> Any:
        parts = partitions.by_time(table, "at", "1d").members()
        return size.map(partitions.between(parts, start, end))

    assert counts("2026-01-08", "2026-01-10") == {"2026-01-08T00:00:00": 4, "2026-01-09T00:00:00": 4}
    assert executed(workspace) == {"by_time": 1, "size": 2}
    assert len(counts("2026-01", "2026-02")) == 10
    assert executed(workspace) == {"size": 8}


def test_outside_a_run_parts_are_plain_tables() -> None:
    table = pl.DataFrame({"k": ["b", None, "a", "b"], "x": [1, 2, 3, 4]})
    parts = partitions.by_key(table, "k")
    assert {name: part["x"].to_list() for name, part in parts.items()} == {"null": [2], "a": [3], "b": [1, 4]}
    dated = pl.DataFrame({"d": [date(2026, 1, 31), date(2026, 2, 1)], "x": [1, 2]})
    assert list(partitions.by_time(dated, "d", "1mo")) == ["2026-01-01", "2026-02-01"]


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(), max_size=3), min_size=1, max_size=40))
def test_reduce_is_the_fold_in_the_order_of_names(parts: dict[str, list[int]]) -> None:
    folded = functools.reduce(lambda one, other: one + other, (parts[name] for name in sorted(parts)))
    assert partitions.reduce(lambda one, other: one + other, parts) == folded


@given(st.sets(st.integers(0, 10_000), min_size=64, max_size=128), st.data())
def test_one_part_concerns_few_merges(numbers: set[int], data: st.DataObject) -> None:
    """The merges are known by what they merge; those of both trees, with and without one part, are mostly the same."""
    seen: list[set[tuple[str, ...]]] = []
    gone = data.draw(st.sampled_from(sorted(numbers)))
    for chosen in (numbers, numbers - {gone}):
        merges: set[tuple[str, ...]] = set()

        def merge(one: tuple[str, ...], other: tuple[str, ...], merges: set[tuple[str, ...]] = merges) -> tuple[str, ...]:
            merges.add(one + other)
            return one + other

        partitions.reduce(merge, {f"{number:05}": (f"{number:05}",) for number in chosen})
        seen.append(merges)
    assert len(seen[0] - seen[1]) <= 12 * math.log(len(numbers))


def test_what_cannot_be_parted_says_so(tmp_path: Path) -> None:
    table = pl.DataFrame({"shop": ["a"], "at": [None]}, schema={"shop": pl.String, "at": pl.Date})
    with pytest.raises(BadInput, match=r"Column 'shp' does not exist\. Did you mean 'shop'"):
        partitions.by_key(table, "shp")
    with pytest.raises(BadInput, match="String, no date or time"):
        partitions.by_time(table, "shop")
    with pytest.raises(BadInput, match="has 1 nulls"):
        partitions.by_time(table, "at")
    with pytest.raises(BadInput, match=r"No file matches 'x\*'"):
        partitions.by_file("x*", folder=tmp_path)
    with pytest.raises(BadInput, match="no part to merge"):
        partitions.reduce(max, {})
