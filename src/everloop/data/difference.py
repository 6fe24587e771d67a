"""Two snapshots -> what differs between them: rows, columns, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal, TypeAlias, cast

import msgspec
import numpy as np
import polars as pl

from everloop.core.errors import BadInput, unknown
from everloop.core.profiles import ColumnProfile, Profile
from everloop.core.tables import Chunk, Snapshot
from everloop.data.tallies import profile_of
from everloop.store import snapshots
from everloop.store.blobs import Blobs

Status: TypeAlias = Literal["same", "added", "removed", "retyped"]
Hashes: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]

SAMPLES = 5
_NONE: Hashes = np.empty(0, dtype=np.uint64)


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows came, went, stayed and, told apart by a key, changed. Equal rows that came twice count twice; their order does not count.

    Samples are rows of the later snapshot (of the earlier one for those that went). Without a key a changed row is one that went and one that came.
    Rows are compared in the columns that both snapshots have with one type.
    """

    added: int
    removed: int
    same: int
    changed: int | None = None
    changed_columns: dict[str, int] = {}
    added_samples: list[dict[str, object]] = []
    removed_samples: list[dict[str, object]] = []
    changed_samples: list[dict[str, object]] = []


class ColumnDifference(msgspec.Struct, frozen=True, kw_only=True):
    """`shift` is the largest distance between the two distribution functions (Kolmogorov and Smirnov's D) of numbers and times, and the total
    variation distance of texts over their most frequent values: 0 for equal, 1 for nothing in common; None where it cannot be told."""

    name: str
    status: Status
    before: ColumnProfile | None = None
    after: ColumnProfile | None = None
    shift: float | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    before: str
    after: str
    rows_before: int
    rows_after: int
    rows: Rows
    columns: tuple[ColumnDifference, ...]

    @property
    def equal(self) -> bool:
        return not (self.rows.added or self.rows.removed or self.rows.changed) and all(column.status == "same" for column in self.columns)


def compare(blobs: Blobs, before: Snapshot, after: Snapshot, *, key: Sequence[str] = ()) -> Difference:
    """What became of `before`. Chunks that both share are not read. Raises BadInput when a key is no column of both, or tells rows apart in neither."""
    profiles = profile_of(blobs, before), profile_of(blobs, after)
    columns = compare_profiles(*profiles)
    shared = [column.name for column in columns if column.status == "same"]
    for name in key:
        if name not in shared:
            raise BadInput(f"{unknown('Key column', name, shared)} It must be in both snapshots, with one type.")
    rows = _by_key(blobs, before, after, shared, list(key)) if key else _by_content(blobs, before, after, shared)
    return Difference(before=before.id, after=after.id, rows_before=before.rows, rows_after=after.rows, rows=rows, columns=columns)


def compare_profiles(before: Profile, after: Profile) -> tuple[ColumnDifference, ...]:
    """Column by column, in the order of `after`; those that went come last."""
    found = [_column(before.column(column.name), column) for column in after.columns]
    gone = [column for column in before.columns if after.column(column.name) is None]
    return (*found, *(ColumnDifference(name=column.name, status="removed", before=column) for column in gone))


def shift(before: ColumnProfile, after: ColumnProfile) -> float | None:
    """See `ColumnDifference`."""
    if not before.valid or not after.valid:
        return None
    if before.edges and after.edges:
        at = np.union1d(before.edges, after.edges)
        return float(np.abs(_share_below(before, at) - _share_below(after, at)).max())
    if before.top and after.top:
        left, right = dict(before.top), dict(after.top)
        gaps = [abs(left.get(name, 0) / before.valid - right.get(name, 0) / after.valid) for name in {**left, **right}]
        rest = [1 - sum(counts.values()) / column.valid for counts, column in ((left, before), (right, after))]
        return min((sum(gaps) + abs(rest[0] - rest[1])) / 2, 1.0)
    return None


def _column(before: ColumnProfile | None, after: ColumnProfile) -> ColumnDifference:
    if before is None:
        return ColumnDifference(name=after.name, status="added", after=after)
    if before.kind != after.kind:
        return ColumnDifference(name=after.name, status="retyped", before=before, after=after)
    return ColumnDifference(name=after.name, status="same", before=before, after=after, shift=shift(before, after))


def _share_below(column: ColumnProfile, at: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The share of values below each of some points; between two edges as if spread evenly."""
    below = np.array([0, *accumulate(column.counts)], dtype=np.float64)
    return cast("Any", np.interp(at, np.array(column.edges, dtype=np.float64), below / below[-1] if below[-1] else below))


def _by_content(blobs: Blobs, before: Snapshot, after: Snapshot, columns: list[str]) -> Rows:
    left, right, alike = _apart(before, after)
    if not columns:
        return Rows(added=after.rows, removed=before.rows, same=0)
    old, new = _hashes(blobs, left, columns), _hashes(blobs, right, columns)
    gone, came = _surplus(old, new), _surplus(new, old)
    removed, added = int(sum(gone.values())), int(sum(came.values()))
    return Rows(
        added=added,
        removed=removed,
        same=alike + len(new) - added,
        added_samples=_samples(blobs, right, columns, new, came),
        removed_samples=_samples(blobs, left, columns, old, gone),
    )


def _apart(before: Snapshot, after: Snapshot) -> tuple[list[Chunk], list[Chunk], int]:
    """(chunks that only `before` has, that only `after` has, rows in those that both have)."""
    left, right = list(before.chunks), list[Chunk]()
    alike = 0
    there = {chunk.digest: chunk for chunk in left}
    for chunk in after.chunks:
        twin = there.pop(chunk.digest, None)
        if twin is None:
            right.append(chunk)
        else:
            left.remove(twin)
            alike += chunk.rows
    return left, right, alike


def _hashes(blobs: Blobs, chunks: Sequence[Chunk], columns: list[str]) -> Hashes:
    found = [snapshots.read(blobs, chunk, columns).hash_rows(seed=1).to_numpy() for chunk in chunks]
    return np.concatenate(found) if found else _NONE


def _surplus(some: Hashes, others: Hashes) -> dict[int, int]:
    """Hash -> how many times more it is among `some` than among `others`."""
    values, counts = np.unique(some, return_counts=True)
    known, times = np.unique(others, return_counts=True)
    at = np.searchsorted(known, values)
    there = np.where(np.append(known, 0)[np.minimum(at, len(known))] == values, np.append(times, 0)[np.minimum(at, len(known))], 0)
    there[at >= len(known)] = 0
    more = counts - there
    return {int(value): int(count) for value, count in zip(values[more > 0], more[more > 0], strict=True)}


def _samples(blobs: Blobs, chunks: Sequence[Chunk], columns: list[str], hashes: Hashes, wanted: dict[int, int]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    start = 0
    for chunk in chunks:
        here = hashes[start : start + chunk.rows]
        start += chunk.rows
        at = np.flatnonzero(np.isin(here, np.fromiter(wanted, dtype=np.uint64, count=len(wanted))))[: SAMPLES - len(found)]
        if len(at):
            found += snapshots.read(blobs, chunk)[at.tolist()].to_dicts()
        if len(found) >= SAMPLES:
            break
    return found


def _by_key(blobs: Blobs, before: Snapshot, after: Snapshot, columns: list[str], key: list[str]) -> Rows:
    left, right, alike = _apart(before, after)
    old, new = (
        pl.concat([snapshots.read(blobs, chunk, columns) for chunk in chunks], rechunk=False)
        if chunks
        else snapshots.read(blobs, after.chunks[0], columns).clear()
        for chunks in (left, right)
    )
    for what, frame in (("before", old), ("after", new)):
        twice = frame.height - frame.select(pl.struct(key).n_unique()).item() if frame.height else 0
        if twice:
            raise BadInput(
                f"{', '.join(key)} does not tell rows apart: {twice:,} rows of the snapshot {what} have a key that another has too."
            )
    rest = [name for name in columns if name not in key]
    both = old.join(new, on=key, how="inner", suffix=" (after)", nulls_equal=True, maintain_order="right")
    differs = [pl.col(name).ne_missing(pl.col(f"{name} (after)")).alias(name) for name in rest]
    marks = both.select(differs) if rest else pl.DataFrame()
    changed = (
        marks.select(pl.any_horizontal(pl.all())).to_series()
        if rest and both.height
        else pl.Series([False] * both.height, dtype=pl.Boolean)
    )
    came, gone = (one.join(other, on=key, how="anti", nulls_equal=True) for one, other in ((new, old), (old, new)))
    count = int(changed.sum())
    return Rows(
        added=came.height,
        removed=gone.height,
        same=alike + both.height - count,
        changed=count,
        changed_columns={name: int(total) for name in rest if (total := marks[name].sum())} if count else {},
        added_samples=came.head(SAMPLES).to_dicts(),
        removed_samples=gone.head(SAMPLES).to_dicts(),
        changed_samples=both.filter(changed).head(SAMPLES).to_dicts() if count else [],
    )
