"""Snapshot and schema -> the verdict on the data, in memory that does not grow with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from everloop.core.profiles import Profile
from everloop.core.schemas import Schema
from everloop.core.tables import Chunk, Snapshot
from everloop.core.verdict import Verdict
from everloop.data.validate import Checks, validate
from everloop.data.validate.told import told
from everloop.store import snapshots
from everloop.store.blobs import Blobs


def check(blobs: Blobs, snapshot: Snapshot, schema: Schema, *, profile: Profile | None = None, now: float | None = None) -> Verdict:
    """A snapshot of one chunk is looked at as a whole, a larger one in stretches of chunks, one a core: of its rows only
    what its `profile` (made without a reference) does not settle. See `validate` for `now` and errors."""
    if len(snapshot.chunks) == 1:
        frame = snapshots.load(blobs, snapshot)
        return validate(profile, snapshot.columns, schema, about=snapshot.id, frame=frame, now=now)
    types = snapshots.types(blobs, snapshot)
    known = told(profile, schema, {column.name: column.kind for column in snapshot.columns}) if profile is not None else None

    def counted(chunks: Sequence[Chunk]) -> Checks:
        checks = Checks(schema, types, told=known)
        for chunk in chunks:
            needed = [column.name for column in snapshot.columns if column.name in checks.needs]
            if not needed:
                break
            checks.add(snapshots.read(blobs, chunk, needed))
        return checks

    cores = min(os.cpu_count() or 1, 4, len(snapshot.chunks))
    cuts = [len(snapshot.chunks) * at // cores for at in range(cores + 1)]
    with ThreadPoolExecutor(cores, thread_name_prefix="check") as pool:
        first, *later = pool.map(counted, (snapshot.chunks[low:high] for low, high in pairwise(cuts)))
    for checks in later:
        first.merge(checks)
    return first.verdict(about=snapshot.id, now=now)
