from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin, Snapshot
from everloop.data.ingest import take
from everloop.data.sources.dataset import Dataset
from everloop.data.sources.union import collect
from everloop.store import datasets, records
from everloop.store.workspace import Workspace, current
from everloop.testing.sources import LARGE_BYTES, SourceSuite


class Given:
    """Rows that a test has in its hand."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table

    def describe(self) -> str:
        return "given"

    def stamp(self, place: Place) -> str:
        return ""

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        extract = Extract(lambda: iter(self.table.iter_slices(50_000)), whole=not since)
        extract.origins.append({"locator": "given", "sha256": "0" * 64, "rows": self.table.height})
        return extract


def keep(table: pl.DataFrame, place: Place, name: str = "bike", *, grow: bool = False) -> Snapshot:
    """The dataset is this table from now on, or with `grow` has these rows as well."""
    workspace = current()
    with workspace.read() as tx:
        before = datasets.newest(tx, name) if grow else None
    snapshot = take(Given(table), dataset=name, place=place._replace(loop=name), growth="append" if grow else "full", before=before)
    with workspace.write() as tx:
        records.keep(tx, snapshot)
        datasets.note(tx, snapshot, mode="append" if grow else "full", by="test", project="")
    return snapshot


def rides(start: int, rows: int) -> pl.DataFrame:
    numbers = range(start, start + rows)
    return pl.DataFrame({"n": list(numbers), "temp": [n % 10 / 10 for n in numbers], "season": [n % 4 + 1 for n in numbers]})


class DatasetSuite(SourceSuite):
    incremental = True

    def begin(self, place: Place) -> None:
        keep(rides(0, 100), place)

    def add(self, place: Place) -> None:
        with current().read() as tx:
            found = datasets.newest(tx, "bike")
        assert found is not None
        keep(rides(found.rows, 50), place, grow=True)

    def change(self, place: Place) -> None:
        keep(rides(1, 200), place)

    def remove(self, place: Place) -> None:
        keep(rides(0, 60), place)

    def vanish(self, place: Place) -> None:
        with current().write() as tx:
            datasets.forget(tx, "bike", by="test")

    def enlarge(self, place: Place) -> None:
        text = [str(n).rjust(999_999) for n in range(LARGE_BYTES // 999_999 + 1)]
        keep(pl.DataFrame({"n": range(len(text)), "temp": [1.0] * len(text), "season": [1] * len(text), "text": text}), place)


class TestDataset(DatasetSuite):
    def source(self, place: Place) -> Source:
        return Dataset("bike")


class TestWhere(DatasetSuite):
    def source(self, place: Place) -> Source:
        return Dataset("bike@latest", where="temp >= 0.2 and season in (1, 2)")


class TestColumns(DatasetSuite):
    def source(self, place: Place) -> Source:
        return Dataset("bike", columns=["season", "n"])

    def enlarge(self, place: Place) -> None:
        rows = LARGE_BYTES // 16 + 100_000
        keep(pl.DataFrame({"n": range(rows), "temp": np.zeros(rows), "season": np.ones(rows, dtype=int)}), place)


class TestQuery(DatasetSuite):
    """Nobody knows what new rows do to the answer of a query."""

    incremental = False

    def source(self, place: Place) -> Source:
        return Dataset("bike", query="select *, n * 2 as twice from self where temp > 0.2")


class TestAverage(DatasetSuite):
    incremental = False

    def source(self, place: Place) -> Source:
        return Dataset("bike", where="temp >= avg(temp)")


def test_a_condition_and_columns_and_what_is_told_of_them(workspace: Workspace, place: Place) -> None:
    snapshot = keep(rides(0, 40), place)
    source = Dataset("bike", where="temp > 0.5\n  and season = 1", columns=("n", "temp"))
    extract = source.read(place)
    expected = rides(0, 40).filter((pl.col("temp") > 0.5) & (pl.col("season") == 1)).select("n", "temp")
    assert collect(extract).equals(expected)
    assert source.describe() == "dataset bike: select n, temp where temp > 0.5 and season = 1"
    (origin,) = extract.origins
    assert (origin["locator"], origin["sha256"], origin["rows"]) == (snapshot.id, snapshot.content, expected.height)
    assert origin["asked"] == "select n, temp where temp > 0.5 and season = 1"
    assert source.stamp(place) == snapshot.id


def test_a_curated_dataset_keeps_the_query_that_made_it(workspace: Workspace, place: Place) -> None:
    parent = keep(rides(0, 40), place)
    curated = take(Dataset("bike@1", where="season = 2"), dataset="spring", place=place._replace(loop="spring"))
    assert (curated.rows, curated.source) == (10, "dataset bike@1: where season = 2")
    assert [(origin["locator"], origin["asked"]) for origin in curated.origins] == [(parent.id, "where season = 2")]


def test_a_snapshot_is_named_in_many_ways(workspace: Workspace, place: Place) -> None:
    first = keep(rides(0, 10), place)
    with workspace.write() as tx:
        datasets.call(tx, first, "golden", by="test")
    keep(rides(0, 20), place)
    for name, rows in (("bike", 20), ("bike@latest", 20), ("bike@1", 10), ("bike@golden", 10), (first.id, 10), (first.id[:20], 10)):
        assert collect(Dataset(name).read(place)).height == rows
    with pytest.raises(NotFound, match=r"'bik' does not exist. Did you mean 'bike'"):
        Dataset("bik").stamp(place)


def test_queries_answer_as_polars_does_and_in_one_order(workspace: Workspace, place: Place) -> None:
    table = pl.concat([rides(0, 30_000), rides(0, 30_000)])
    keep(table, place)
    grouped = Dataset("bike", query="select season, avg(temp) as temp, count(*) as n from self group by season").read(place)
    answers = [collect(grouped) for _ in range(5)]
    assert answers[0]["season"].to_list() == [1, 2, 3, 4]
    assert all(answer.equals(answers[0]) for answer in answers)
    ordered = Dataset("bike", query="select season, count(*) as n from self group by season order by season desc").read(place)
    assert collect(ordered)["season"].to_list() == [4, 3, 2, 1]
    joined = Dataset("bike", query="select a.n from self a join (select max(n) as m from self) b on a.n = b.m").read(place)
    assert collect(joined)["n"].to_list() == [29_999, 29_999]
    unioned = Dataset("bike", query="select n from self where n < 2 union all select n from self where n = 1").read(place)
    assert collect(unioned)["n"].to_list() == [0, 0, 1, 1, 1, 1]
    distinct = Dataset("bike", query="with s as (select distinct season from self) select * from s").read(place)
    assert collect(distinct)["season"].to_list() == [1, 2, 3, 4]
    limited = Dataset("bike", query="select n from self limit 3").read(place)
    assert collect(limited)["n"].to_list() == [0, 1, 2]


CONDITIONS = [
    "temp > 0.3",
    "season in (1, 3) or n > 20",
    "(n between 3 and 30) and not (season = 2)",
    "temp >= avg(temp)",
    "abs(n - 10) < 5",
]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(where=st.sampled_from(CONDITIONS), grows=st.lists(st.integers(1, 90_000), min_size=2, max_size=3))
def test_what_grew_is_read_in_parts_that_make_the_whole(workspace: Workspace, place: Place, where: str, grows: list[int]) -> None:
    name = f"d{len(list(workspace.home.glob('*.mark')))}"
    (workspace.home / f"{name}.mark").touch()
    source = Dataset(name, where=where)
    known: list[pl.DataFrame] = []
    origins: list[Origin] = []
    start = 0
    for rows in grows:
        keep(rides(start, rows), place, name, grow=start > 0)
        start += rows
        extract = source.read(place, since=origins)
        assert extract.whole == (not origins or "(temp)" in where or "abs" in where)
        known = [*([] if extract.whole else known), *extract.batches()]
        origins = list(extract.origins)
    there = rides(0, start).lazy().filter(pl.sql_expr(where)).collect()
    assert pl.concat([part for part in known if part.height] or [there]).equals(there)
    assert origins[0]["rows"] == there.height


def test_rows_that_were_collected_are_told_apart_from_rows_that_never_were(workspace: Workspace, place: Place) -> None:
    import msgspec

    from everloop.core.record import COLLECTED

    snapshot = keep(rides(0, 10), place)
    gone = msgspec.structs.replace(snapshot, chunks=tuple(msgspec.structs.replace(chunk, blob=COLLECTED) for chunk in snapshot.chunks))
    with workspace.write() as tx:
        tx.sql("UPDATE records SET body = :body WHERE id = :id", {"body": records.encode(gone), "id": snapshot.id})
    with pytest.raises(NotFound, match=r"The rows of bike \(snapshot-.*\) were collected"):
        Dataset("bike").read(place)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"query": "drop table self"}, "begins with select or with"),
        ({"query": "select * from read_parquet('/etc/x')"}, "reads a file"),
        ({"query": "select * from self", "where": "n > 1"}, "Leave out where="),
        ({"columns": "n"}, "must be a list of names"),
    ],
)
def test_what_is_refused_when_it_is_declared(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Dataset("bike", **arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"where": "temp >>> 1"}, "dataset bike: where temp >>> 1: "),
        ({"where": "tmp > 1"}, r'dataset bike: where tmp > 1: unable to find column "tmp"; valid columns: \["n", "temp", "season"\]'),
        ({"where": "n + 1"}, "filter predicate must be of type `Boolean`"),
        ({"query": "select * from other"}, "relation 'other' was not found"),
        ({"columns": ["tmp"]}, "Column of bike 'tmp' does not exist. Did you mean 'temp'"),
    ],
)
def test_what_the_snapshot_does_not_have(workspace: Workspace, place: Place, arguments: dict[str, Any], said: str) -> None:
    keep(rides(0, 10), place)
    with pytest.raises((BadInput, NotFound), match=said):
        collect(Dataset("bike", **arguments).read(place))


def test_a_dataset_is_not_taken_from_its_own_newest_snapshot(workspace: Workspace, place: Place) -> None:
    keep(rides(0, 10), place)
    for name in ("bike", "bike@latest"):
        with pytest.raises(BadInput, match="from its own newest snapshot"):
            Dataset(name, where="n > 1").read(place._replace(loop="bike"))
    assert collect(Dataset("bike@1", where="n > 1").read(place._replace(loop="bike"))).height == 8


def test_a_reading_left_in_the_middle_leaves_nothing_behind(workspace: Workspace, place: Place, tmp_path: Path) -> None:
    keep(rides(0, 300_000), place)
    for source in (Dataset("bike"), Dataset("bike", query="select * from self where n > 3")):
        batches = source.read(place).batches()
        next(batches)
        batches.close()  # type: ignore[attr-defined]
    assert collect(Dataset("bike").read(place)).height == 300_000
