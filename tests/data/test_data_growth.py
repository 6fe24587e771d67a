"""A dataset that grows: the result is that of taking everything at once, and the cost that of what is new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import Extract, Place, Restart
from everloop.core.tables import Origin, Snapshot
from everloop.data import upsert
from everloop.data.growth import Growth, Upsert, checked
from everloop.data.ingest import take
from everloop.data.profile import summarise
from everloop.data.tallies import profile_of
from everloop.store import chunks, datasets, records, snapshots
from everloop.store.workspace import Workspace


@dataclass
class Log:
    """A source that knows which rows came after which: `batches` in the order they were added."""

    batches: list[pl.DataFrame] = field(default_factory=list)
    forgetful: bool = False
    """It cannot tell what is new."""
    asked: list[int] = field(default_factory=list)

    def describe(self) -> str:
        return "log"

    def stamp(self, place: Place) -> str:
        return str(len(self.batches))

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        begin = 0 if self.forgetful or not since else int(since[0]["batches"])
        self.asked.append(begin)
        extract = Extract(lambda: self._rows(extract, begin), whole=begin == 0)
        return extract

    def _rows(self, extract: Extract, begin: int) -> Iterator[pl.DataFrame]:
        extract.origins.clear()
        yield from self.batches[begin:]
        extract.origins.append({"locator": "log", "sha256": "0" * 64, "rows": 0, "batches": len(self.batches)})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_MOST_ROWS", 256)


def keep(workspace: Workspace, source: Log, place: Place, growth: Growth, dataset: str = "d") -> Snapshot:
    """As the ring does it."""
    with workspace.read() as tx:
        before = None if growth == "full" else datasets.newest(tx, dataset)
    found = take(source, dataset=dataset, place=place, growth=growth, before=before)
    with workspace.write() as tx:
        records.keep(tx, found)
        datasets.note(tx, found, mode="full", by="test", project="p")
    return found


def rows(start: int, count: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, start + count), "text": [f"t{at % 7}" for at in range(start, start + count)]})


def test_appending_is_taking_all_at_once(workspace: Workspace, place: Place) -> None:
    source = Log([rows(0, 1_000)])
    keep(workspace, source, place, "append")
    source.batches.append(rows(1_000, 10))
    grown = keep(workspace, source, place, "append")
    assert source.asked == [0, 1]
    whole = keep(workspace, Log([rows(0, 1_010)]), place, "full", dataset="e")
    assert grown.content == whole.content
    assert snapshots.load(workspace.blobs, grown).equals(rows(0, 1_010))
    # The new rows alone were written, and the statistics are those of the whole.
    with workspace.read() as tx:
        last = datasets.takes(tx, "d")[-1]
    assert last.new_bytes == grown.chunks[-1].bytes
    assert grown.chunks[-1].rows == 10
    assert profile_of(workspace.blobs, grown).columns[0].counts == summarise(rows(0, 1_010), about="x").columns[0].counts


def test_nothing_new_is_the_same_snapshot(workspace: Workspace, place: Place) -> None:
    source = Log([rows(0, 300)])
    first = keep(workspace, source, place, "append")
    assert keep(workspace, source, place, "append").id == first.id
    with workspace.read() as tx:
        assert len(datasets.takes(tx, "d")) == 1


def test_a_source_that_cannot_tell_is_read_in_full(workspace: Workspace, place: Place) -> None:
    source = Log([rows(0, 300)], forgetful=True)
    keep(workspace, source, place, "append")
    source.batches.append(rows(300, 5))
    assert keep(workspace, source, place, "append").rows == 305


@pytest.mark.parametrize(
    "new",
    [
        pl.DataFrame({"id": [1.5], "text": ["x"]}),
        pl.DataFrame({"id": ["x-1"], "text": ["x"]}),
        pl.DataFrame({"id": [300], "text": ["x"], "extra": [True]}),
        pl.DataFrame({"id": [300]}),
        pl.DataFrame({"id": [300], "text": [7]}),
    ],
    ids=["wider", "text", "another column", "a column less", "narrower"],
)
def test_new_rows_may_be_of_another_shape(workspace: Workspace, place: Place, new: pl.DataFrame) -> None:
    source = Log([rows(0, 300)])
    keep(workspace, source, place, "append")
    source.batches.append(new)
    grown = keep(workspace, source, place, "append")
    whole = keep(workspace, Log(source.batches), place, "full", dataset="e")
    assert grown.content == whole.content
    assert grown.rows == 301


def test_a_column_without_values_takes_the_type_that_comes(workspace: Workspace, place: Place) -> None:
    batches = [pl.DataFrame({"a": [1, 2], "b": [None, None]}), pl.DataFrame({"a": [3], "b": [0.5]})]
    found = snapshots.load(workspace.blobs, keep(workspace, Log(batches), place, "full"))
    assert found.to_dict(as_series=False) == {"a": [1, 2, 3], "b": [None, None, 0.5]}
    assert found.schema["b"] == pl.Float64


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_upserts_are_what_a_dictionary_does(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    key, value = st.integers(0, 60), st.integers(0, 3)
    steps = data.draw(st.lists(st.lists(st.tuples(key, key, value), min_size=1, max_size=40), min_size=1, max_size=5))
    folder = tmp_path_factory.mktemp("upsert")
    expected: dict[tuple[int, int], int] = {}
    source = Log()
    from everloop.store.workspace import using

    with Workspace(folder, database_url=f"sqlite:///{folder}/data.db", blobs=str(folder / "blobs")) as workspace, using(workspace):
        place = Place("d", folder, folder)
        for at, step in enumerate(steps):
            source.batches.append(pl.DataFrame(step, schema=["a", "b", "v"], orient="row"))
            if at == 0:
                # The first reading keeps the place of the last row with a key, as the journal had it.
                for a, b, v in step:
                    expected.pop((a, b), None)
                    expected[a, b] = v
            else:
                last = {(a, b): v for a, b, v in step}
                order = {(a, b): place for place, (a, b, _) in enumerate(step)}
                for (a, b), v in sorted(last.items(), key=lambda item: order[item[0]]):
                    expected[a, b] = v
            found = keep(workspace, source, place, Upsert("a", "b"))
            assert [(row[0], row[1]) for row in snapshots.load(workspace.blobs, found).rows()] == list(expected)
            assert [row[2] for row in snapshots.load(workspace.blobs, found).rows()] == list(expected.values())


def test_an_upsert_writes_only_the_chunks_that_it_touches(workspace: Workspace, place: Place) -> None:
    chance = np.random.default_rng(0)
    table = pl.DataFrame({"id": range(4_000), "v": chance.normal(size=4_000)})
    source = Log([table])
    keep(workspace, source, place, Upsert("id"))
    source.batches.append(pl.DataFrame({"id": [2_000, 4_000], "v": [0.0, 1.0]}))
    grown = keep(workspace, source, place, Upsert("id"))
    with workspace.read() as tx:
        first, second = datasets.takes(tx, "d")
    assert second.new_bytes < 0.2 * first.bytes
    loaded = snapshots.load(workspace.blobs, grown)
    assert loaded.row(2_000) == (2_000, 0.0)
    assert loaded.row(-1) == (4_000, 1.0)
    assert loaded.height == 4_001


def test_a_row_without_key_is_refused_and_the_dataset_stays(workspace: Workspace, place: Place) -> None:
    source = Log([rows(0, 10)])
    first = keep(workspace, source, place, Upsert("id"))
    source.batches.append(pl.DataFrame({"id": [3, None], "text": ["x", "y"]}))
    with pytest.raises(BadInput, match=r"1 of 2 rows have no value in 'id'.* row 2"):
        keep(workspace, source, place, Upsert("id"))
    with workspace.read() as tx:
        assert datasets.newest(tx, "d") == first


def test_a_key_that_is_no_column_is_refused(workspace: Workspace, place: Place) -> None:
    with pytest.raises(BadInput, match=r"Key column 'idd' does not exist\. Did you mean 'id'"):
        keep(workspace, Log([rows(0, 10)]), place, Upsert("idd"))


def test_too_many_new_rows_for_memory_are_refused(workspace: Workspace, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Log([rows(0, 10)])
    keep(workspace, source, place, Upsert("id"))
    monkeypatch.setattr(upsert, "MOST_NEW_BYTES", 100)
    source.batches.append(rows(10, 1_000))
    with pytest.raises(BadInput, match="too many to be joined by key"):
        keep(workspace, source, place, Upsert("id"))


@pytest.mark.parametrize("wrong", ["apend", "upsert", "", None])
def test_other_ways_of_growing_are_refused(wrong: str) -> None:
    with pytest.raises(BadInput, match="Known: append, full"):
        checked(wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"Upsert\('id'\)"):
        Upsert()


class Nervous(Log):
    """Finds out `times` times that what it gave is wrong."""

    times = 0

    def _rows(self, extract: Extract, begin: int) -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"id": [99], "text": ["wrong"]})
        if self.times:
            self.times -= 1
            raise Restart
        extract.origins.append({"locator": "log", "sha256": "0" * 64, "rows": 0, "batches": 1})


def test_what_a_source_takes_back_is_gone(workspace: Workspace, place: Place) -> None:
    source = Nervous()
    source.times = 3
    assert take(source, dataset="d", place=place).rows == 1
    source.times = 1_000
    with pytest.raises(Busy, match="asked to be read again"):
        take(source, dataset="d", place=place)


class Failing(Log):
    def _rows(self, extract: Extract, begin: int) -> Iterator[pl.DataFrame]:
        yield rows(0, 2_000)
        raise NotFound("The source went away.")


def test_a_source_that_fails_in_the_middle_leaves_no_snapshot(workspace: Workspace, place: Place) -> None:
    first = keep(workspace, Log([rows(0, 10)]), place, "full")
    with pytest.raises(NotFound, match="went away"):
        keep(workspace, Failing(), place, "full")
    with workspace.read() as tx:
        assert datasets.newest(tx, "d") == first
        assert records.of_kind(tx, "snapshot") == [first.id]


def test_a_collected_snapshot_is_not_grown_from(workspace: Workspace, place: Place) -> None:
    from msgspec.structs import replace

    from everloop.core.record import COLLECTED

    source = Log([rows(0, 300), rows(300, 10)])
    first = keep(workspace, source, place, "append")
    faded = replace(first, chunks=tuple(replace(chunk, blob=COLLECTED) for chunk in first.chunks))
    again = take(source, dataset="d", place=place, growth="append", before=faded)
    assert again.id == first.id
    assert not again.collected
    assert source.asked == [0, 0]


def test_a_snapshot_that_lost_rows_is_not_grown_from(workspace: Workspace, place: Place) -> None:
    source = Log([rows(0, 300), rows(300, 10)])
    first = keep(workspace, source, place, "append")
    assert workspace.blobs.folder is not None
    (workspace.blobs.folder / first.chunks[0].blob[:2] / first.chunks[0].blob).unlink()
    source.batches.append(rows(310, 5))
    grown = keep(workspace, source, place, "append")
    assert source.asked == [0, 0]
    assert snapshots.load(workspace.blobs, grown).equals(rows(0, 315))


def test_memory_is_that_of_some_chunks(tmp_path: Path, place: Place) -> None:
    """A table many times larger than what may be held passes through; a process of its own, so that nothing else counts."""
    import subprocess
    import sys

    program = """
import resource, sys
import numpy as np, polars as pl
from pathlib import Path
from everloop.core.ports import Extract, Place
from everloop.data.ingest import take
from everloop.store.workspace import Workspace, using
chance = np.random.default_rng(0)
one = pl.DataFrame({f"c{at}": chance.normal(size=200_000) for at in range(10)})
class Many:
    def describe(self): return "many"
    def stamp(self, place): return ""
    def read(self, place, *, since=()):
        return Extract(lambda: (one.with_columns(pl.col("c0") + at) for at in range(int(sys.argv[2]))))
folder = Path(sys.argv[1])
with Workspace(folder) as workspace, using(workspace):
    found = take(Many(), dataset="d", place=Place("d", folder, folder))
print(found.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks: list[int] = []
    for count in (8, 60):
        folder = tmp_path / str(count)
        folder.mkdir()
        done = subprocess.run([sys.executable, "-c", program, str(folder), str(count)], capture_output=True, text=True, check=True)
        held, peak = map(int, done.stdout.split())
        assert held == 200_000 * count
        peaks.append(peak)
    # 16 MB a batch: 832 MB more went through.
    assert peaks[1] < peaks[0] + 250
