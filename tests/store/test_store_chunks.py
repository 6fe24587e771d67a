"""A table is what its rows are: however they come and however they are cut, and stored once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import NotFound
from everloop.core.tables import Chunk
from everloop.store import chunks, snapshots
from everloop.store.blobs import Blobs
from everloop.store.chunks import Writer, Written
from everloop.store.tables import content_digest

ROWS = 4_000


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of some hundred rows, so that a few thousand make many."""
    monkeypatch.setattr(chunks, "_MOST_ROWS", 256)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    chance = np.random.default_rng(1)
    numbers = pl.Series("n", chance.normal(size=ROWS))
    return pl.DataFrame({"n": numbers, "t": [f"word {value}" for value in chance.integers(0, 50, ROWS)], "at": range(ROWS)})


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs"), cache=tmp_path / "cache")


def write(blobs: Blobs, frames: Sequence[pl.DataFrame], *, known: Sequence[Chunk] = (), tally: chunks.Tally | None = None) -> Written:
    writer = Writer(blobs, known=known, tally=tally)
    try:
        for frame in frames:
            writer.write(frame)
        return writer.finish()
    finally:
        writer.close()


def load(blobs: Blobs, written: Written) -> pl.DataFrame:
    return pl.concat([snapshots.read(blobs, chunk) for chunk in written.chunks])


def new(blobs: Blobs, written: Written, known: Written) -> int:
    """Rows in chunks that were not there before."""
    there = {chunk.blob for chunk in known.chunks}
    return sum(chunk.rows for chunk in written.chunks if chunk.blob not in there)


def cut(frame: pl.DataFrame, at: Sequence[int]) -> Iterator[pl.DataFrame]:
    marks = [0, *sorted(at), frame.height]
    return (frame.slice(low, high - low) for low, high in pairwise(marks))


@settings(max_examples=15, deadline=None)
@given(marks=st.lists(st.integers(0, ROWS), max_size=8))
def test_batches_do_not_show(table: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory, marks: list[int]) -> None:
    folder = tmp_path_factory.mktemp("cut")
    here = Blobs(str(folder / "blobs"), cache=folder / "cache")
    whole = write(here, [table])
    found = write(here, list(cut(table, marks)))
    assert found == whole
    assert found.content == content_digest(table)
    assert load(here, found).equals(table)
    assert len(found.chunks) > 8


def test_a_changed_row_is_one_new_chunk(blobs: Blobs, table: pl.DataFrame) -> None:
    before = write(blobs, [table])
    changed = table.with_columns(pl.when(pl.col("at") == 2000).then(0.5).otherwise("n").alias("n"))
    after = write(blobs, [changed], known=before.chunks)
    assert after.content != before.content
    assert 0 < new(blobs, after, before) <= 512
    assert load(blobs, after).equals(changed)


@pytest.mark.parametrize("gone", [0, 1_700, ROWS - 1])
def test_a_row_that_goes_moves_no_border_but_its_own(blobs: Blobs, table: pl.DataFrame, gone: int) -> None:
    before = write(blobs, [table])
    left = table.filter(pl.col("at") != gone)
    after = write(blobs, [left], known=before.chunks)
    assert new(blobs, after, before) <= 3 * 512
    assert load(blobs, after).equals(left)


def test_rows_in_front_and_behind_cost_themselves(blobs: Blobs, table: pl.DataFrame) -> None:
    before = write(blobs, [table.slice(40)])
    behind = write(blobs, [table.slice(40), table.head(40)], known=before.chunks)
    assert new(blobs, behind, before) == 40
    front = write(blobs, [table], known=before.chunks)
    assert new(blobs, front, before) <= 512 + 40
    assert load(blobs, front).equals(table)


def test_other_names_are_other_chunks(blobs: Blobs, table: pl.DataFrame) -> None:
    before = write(blobs, [table])
    renamed = write(blobs, [table.rename({"n": "m"})], known=before.chunks)
    assert new(blobs, renamed, before) == ROWS
    assert load(blobs, renamed).columns == ["m", "t", "at"]


def test_what_was_there_is_not_tallied_again(blobs: Blobs, table: pl.DataFrame) -> None:
    seen: list[int] = []

    def tally(frame: pl.DataFrame) -> bytes:
        seen.append(frame.height)
        return str(frame.height).encode()

    before = write(blobs, [table], tally=tally)
    assert sum(seen) == ROWS
    assert [blobs.get(chunk.tally) for chunk in before.chunks] == [str(chunk.rows).encode() for chunk in before.chunks]
    seen.clear()
    assert write(blobs, [table], known=before.chunks, tally=tally) == before
    assert seen == []


def test_a_chunk_that_was_lost_is_written_again(blobs: Blobs, table: pl.DataFrame) -> None:
    before = write(blobs, [table])
    lost = before.chunks[3].blob
    assert blobs.folder is not None
    (blobs.folder / lost[:2] / lost).unlink()
    after = write(blobs, [table], known=before.chunks)
    assert after.content == before.content
    assert load(blobs, after).equals(table)


def test_a_damaged_chunk_is_written_again(blobs: Blobs, table: pl.DataFrame) -> None:
    before = write(blobs, [table])
    assert blobs.folder is not None
    name = before.chunks[2].blob
    (blobs.folder / name[:2] / name).write_bytes(b"not what it was")
    after = write(blobs, [table], known=before.chunks)
    assert after.content == before.content
    assert load(blobs, after).equals(table)


def test_what_is_used_again_is_young_again(blobs: Blobs, table: pl.DataFrame) -> None:
    before = write(blobs, [table], tally=lambda frame: f"{frame.height} rows, {frame['at'][0]} first".encode())
    assert blobs.folder is not None
    names = [name for chunk in before.chunks for name in (chunk.blob, chunk.tally)]
    paths = [blobs.folder / name[:2] / name for name in names]
    for path in paths:
        os.utime(path, (0, 0))
    write(blobs, [table], known=before.chunks)
    assert all(path.stat().st_mtime > 1 for path in paths)
    for path in paths:
        os.utime(path, (0, 0))
    writer = Writer(blobs)
    writer.resume(before.chunks, before.pieces, before.schema)
    writer.close()
    assert all(path.stat().st_mtime > 1 for path in paths)
    paths[0].unlink()
    writer = Writer(blobs)
    with pytest.raises(NotFound, match="Take the data in full"):
        writer.resume(before.chunks, before.pieces, before.schema)
    writer.close()


@pytest.mark.parametrize("each", [1, 7, 100, 1_000])
def test_small_additions_are_put_together_in_time(blobs: Blobs, table: pl.DataFrame, each: int) -> None:
    written = write(blobs, [table.head(each)])
    rewritten = 0
    for at in range(each, min(ROWS, each * 60), each):
        writer = Writer(blobs)
        writer.resume(written.chunks, [], written.schema)
        writer.rehash(load(blobs, written))
        writer.write(table.slice(at, each))
        grown = writer.finish()
        writer.close()
        rewritten += new(blobs, grown, written)
        written = grown
    expected = table.head(written.rows)
    assert load(blobs, written).equals(expected)
    assert written.content == content_digest(expected)
    # A logarithm of the number of additions, and each row is written again as often.
    assert len(written.chunks) <= written.rows / 128 + 8
    assert rewritten <= written.rows * 8


def test_heavy_rows_make_chunks_of_few_rows(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "BATCH_BYTES", 1 << 12)
    frame = pl.DataFrame({"picture": [bytes([at]) * 1_000 for at in range(200)]})
    written = write(blobs, [frame])
    assert max(chunk.rows for chunk in written.chunks) <= 3 * 4096 // 1000 + 1
    assert load(blobs, written).equals(frame)
    chance = np.random.default_rng(2)
    giant = write(blobs, [pl.DataFrame({"picture": [chance.bytes(50_000), chance.bytes(50_000)]})])
    assert [chunk.rows for chunk in giant.chunks] == [1, 1]


def test_equal_rows_over_and_over_are_cut_too(blobs: Blobs) -> None:
    frame = pl.DataFrame({"a": [1] * 3_000})
    written = write(blobs, [frame])
    assert max(chunk.rows for chunk in written.chunks) <= 512
    assert load(blobs, written).equals(frame)
    assert len({chunk.blob for chunk in written.chunks[:-1]}) == 1


def test_an_error_in_a_thread_comes_out(blobs: Blobs, table: pl.DataFrame) -> None:
    def broken(frame: pl.DataFrame) -> bytes:
        raise RuntimeError("no statistics today")

    with pytest.raises(RuntimeError, match="no statistics today"):
        write(blobs, [table], tally=broken)
