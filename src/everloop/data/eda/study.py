"""A snapshot, or two of them -> all that a report shows, in memory that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from msgspec.structs import replace

from everloop.core.errors import unknown
from everloop.core.profiles import Profile
from everloop.core.tables import Snapshot
from everloop.core.verdict import Finding
from everloop.data.difference import ColumnDifference, compare_profiles
from everloop.data.eda.relations import Relation, relations
from everloop.data.profile import hints
from everloop.data.tallies import duplicates_of, profile_of
from everloop.store import snapshots
from everloop.store.blobs import Blobs

# Rows that are looked at together with the target, evenly over the whole table.
SAMPLE_ROWS = 50_000
# Stretches of rows in the map of missing values, and columns of them.
STRETCHES = 60
MOST_COLUMNS = 200


class Missing(NamedTuple):
    """`shares[i][j]` is how much of column i is missing (null or NaN) in the j-th stretch of rows."""

    columns: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]


class Study(NamedTuple):
    """`against` is an earlier version to be shown beside, `differences` what is different column by column."""

    snapshot: Snapshot
    profile: Profile
    target: str | None
    findings: tuple[Finding, ...]
    missing: Missing
    relations: tuple[Relation, ...]
    sample_rows: int
    against: Snapshot | None = None
    before: Profile | None = None
    differences: tuple[ColumnDifference, ...] = ()


def study(blobs: Blobs, snapshot: Snapshot, *, target: str | None = None, against: Snapshot | None = None) -> Study:
    """The rows are read chunk by chunk. Raises NotFound when there is no such target, or the rows were collected."""
    names = [column.name for column in snapshot.columns]
    if target is not None and target not in names:
        raise unknown("Target column", target, names)
    profile = profile_of(blobs, snapshot)
    sample, missing = _pass(blobs, snapshot, profile)
    if profile.duplicates is None:
        profile = replace(profile, duplicates=duplicates_of(blobs, snapshot))
    before = profile_of(blobs, against) if against else None
    return Study(
        snapshot=snapshot,
        profile=profile,
        target=target,
        findings=hints(profile, target),
        missing=missing,
        relations=relations(sample, target) if target is not None else (),
        sample_rows=sample.height,
        against=against,
        before=before,
        differences=compare_profiles(before, profile) if before else (),
    )


def _pass(blobs: Blobs, snapshot: Snapshot, profile: Profile) -> tuple[pl.DataFrame, Missing]:
    """(rows evenly over the table, the map of missing values)."""
    gappy = [column.name for column in profile.columns if column.nulls + column.nans][:MOST_COLUMNS]
    counts = np.zeros((len(gappy), STRETCHES))
    sizes = np.zeros(STRETCHES)
    every = max(snapshot.rows // SAMPLE_ROWS, 1)
    sample: list[pl.DataFrame] = []
    start = 0
    for batch in snapshots.batches(blobs, snapshot):
        where = ((np.arange(start, start + batch.height)) * STRETCHES) // snapshot.rows
        sizes += np.bincount(where, minlength=STRETCHES)
        for at, name in enumerate(gappy):
            series = batch[name]
            gaps = series.is_null() | series.is_nan().fill_null(False) if series.dtype.is_float() else series.is_null()
            counts[at] += np.bincount(where[gaps.to_numpy()], minlength=STRETCHES)
        first = -start % every
        if first < batch.height:
            sample.append(batch.gather_every(every, offset=first))
        start += batch.height
    shares = np.divide(counts, sizes, out=np.zeros_like(counts), where=sizes > 0)
    missing = Missing(tuple(gappy), tuple(tuple(float(share) for share in row) for row in shares))
    return pl.concat(sample), missing


def shown(study: Study, limit: int = MOST_COLUMNS) -> Sequence[str]:
    """The columns in the order in which a report shows them: the target, what explains most of it, then the table's order; the most that changed
    first when two versions stand side by side."""
    names = [column.name for column in study.profile.columns]
    if study.differences:
        moved = {column.name: -1.0 if column.status != "same" else -(column.shift or 0.0) for column in study.differences}
        names.sort(key=lambda name: moved.get(name, 0.0))
    elif study.target is not None:
        strength = {relation.feature: -relation.explains for relation in study.relations}
        names.sort(key=lambda name: -2.0 if name == study.target else strength.get(name, 1.0))
    return names[:limit]
