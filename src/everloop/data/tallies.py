"""The statistics that are kept with the chunks of a snapshot -> its profile, without its rows."""

from __future__ import annotations

from contextlib import suppress
from functools import reduce

import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.core.profiles import Profile
from everloop.core.tables import Chunk, Snapshot
from everloop.data.profile import Tally, merge_tallies
from everloop.store import snapshots
from everloop.store.blobs import Blobs

DUPLICATES_UP_TO = 500_000


def profile_of(blobs: Blobs, snapshot: Snapshot) -> Profile:
    """The statistics of a snapshot, put together from those of its chunks: only what is not known yet is read.

    Equal rows may lie in different chunks; they are counted by reading all of them, which is done for tables of up to `DUPLICATES_UP_TO` rows.
    """
    duplicates = duplicates_of(blobs, snapshot) if snapshot.rows <= DUPLICATES_UP_TO else None
    tallies = (_tally_of(blobs, chunk) for chunk in snapshot.chunks)
    return reduce(merge_tallies, tallies).profile(about=snapshot.id, duplicates=duplicates)


def duplicates_of(blobs: Blobs, snapshot: Snapshot) -> int:
    """How many rows equal an earlier one, by 64-bit hashes, which take 8 bytes a row."""
    # These never leave the process, so that it does not matter that they differ between versions of the library.
    hashes = np.sort(np.concatenate([batch.hash_rows(seed=1).to_numpy() for batch in snapshots.batches(blobs, snapshot)]))
    return int(np.count_nonzero(hashes[1:] == hashes[:-1]))


def _tally_of(blobs: Blobs, chunk: Chunk) -> Tally:
    """As it was kept with the chunk; made anew where it was not, or by an everloop that did it another way."""
    if chunk.tally:
        with suppress(BadInput):
            return Tally.decode(blobs.get(chunk.tally))
    return Tally.of(snapshots.read(blobs, chunk))


def tally(frame: pl.DataFrame) -> bytes:
    return Tally.of(frame).encode()
