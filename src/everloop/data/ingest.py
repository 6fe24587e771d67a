"""Source -> snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import polars as pl

from everloop.core.errors import BadInput, Busy, unknown
from everloop.core.ports import Extract, Place, Restart, Source
from everloop.core.tables import Chunk, Snapshot
from everloop.data.gather import Gathering
from everloop.data.growth import Growth, Upsert
from everloop.data.kinds import columns_of
from everloop.data.upsert import last_of_each, replaced
from everloop.store import datasets, snapshots
from everloop.store.blobs import Blobs
from everloop.store.chunks import Written
from everloop.store.workspace import current

__all__ = ["columns_of", "take"]

# Sources know when to give up by themselves; this is for those that do not.
_TRIES = 20


def take(source: Source, *, dataset: str, place: Place, growth: Growth = "full", before: Snapshot | None = None) -> Snapshot:
    """Read what the source has, and keep it. Unchanged data gives the same snapshot, whatever file format it came in.

    Rows pass through memory in batches; statistics are taken of each chunk on the way. `before` is the snapshot that the new one grows
    from unless `growth` is full: then the source is asked only for what came after it. Nothing refers to what was written until all of it is:
    a reading that fails leaves no half snapshot. Raises BadInput for a table without rows or columns, and Broken when the disk has no room.
    """
    blobs = current().blobs
    # What was lost from the store is not grown from: everything is read again.
    grows = before is not None and growth != "full" and all(blobs.has(chunk.blob) for chunk in before.chunks)
    extract = source.read(place, since=before.origins if before is not None and grows else ())
    known = _known(dataset)
    for _ in range(_TRIES):
        try:
            if before is None or not grows or (extract.whole and not isinstance(growth, Upsert)):
                written = _whole(blobs, extract, dataset, known)
                if isinstance(growth, Upsert) and written.rows:
                    written = _unique(blobs, written, dataset, growth.key)
            elif isinstance(growth, Upsert):
                written = _upserted(blobs, before, extract, growth.key, known)
            else:
                written = _appended(blobs, before, extract)
            break
        except Restart:
            continue
    else:
        raise Busy(f"The source of {dataset!r} ({source.describe()}) asked to be read again {_TRIES} times. Run again when it is at rest.")
    if not written.rows or not written.schema:
        raise BadInput(f"The source of {dataset!r} ({source.describe()}) has no rows. A snapshot needs at least one.")
    return Snapshot(
        dataset=dataset,
        content=written.content,
        rows=written.rows,
        columns=columns_of(pl.DataFrame(schema=written.schema)),
        chunks=written.chunks,
        pieces=written.pieces,
        source=source.describe(),
        origins=tuple(extract.origins),
    )


def _known(dataset: str) -> tuple[Chunk, ...]:
    """The chunks of the dataset's present snapshot: where to look first for rows that are stored already."""
    with current().read() as tx:
        newest = datasets.newest(tx, dataset)
    return newest.chunks if newest is not None and not newest.collected else ()


def _appended(blobs: Blobs, before: Snapshot, extract: Extract) -> Written:
    """The old rows are neither read nor written again, unless the new ones ask for other types or columns."""
    with Gathering(blobs, before.dataset) as gathering:
        gathering.behind(before)
        return gathering.add_all(extract.batches())


def _upserted(blobs: Blobs, before: Snapshot, extract: Extract, key: tuple[str, ...], known: Sequence[Chunk]) -> Written:
    """All old rows pass by once; the chunks in which nothing was replaced are recognised and not written again."""
    with Gathering(blobs, before.dataset, known=known) as gathering:
        return gathering.add_all(replaced(snapshots.batches(blobs, before), extract.batches(), key=key))


def _whole(blobs: Blobs, extract: Extract, dataset: str, known: Sequence[Chunk]) -> Written:
    with Gathering(blobs, dataset, known=known) as gathering:
        return gathering.add_all(extract.batches())


def _unique(blobs: Blobs, written: Written, dataset: str, key: tuple[str, ...]) -> Written:
    """A first reading may have a key several times, as a journal of changes has: the last row counts."""
    for name in key:
        if name not in written.schema:
            raise BadInput(f"{unknown('Key column', name, written.schema)}")
    stays = last_of_each((snapshots.read(blobs, chunk, key) for chunk in written.chunks), key=key)
    if stays is None:
        return written
    starts = accumulate((chunk.rows for chunk in written.chunks), initial=0)
    with Gathering(blobs, dataset) as gathering:
        return gathering.add_all(
            snapshots.read(blobs, chunk).filter(stays.slice(start, chunk.rows))
            for chunk, start in zip(written.chunks, starts, strict=False)
        )
