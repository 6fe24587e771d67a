"""A snapshot in the store, or what a query leaves of it -> rows, with the query in their provenance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, NotFound, unknown
from everloop.core.ports import BATCH_BYTES, Extract, Place, Source
from everloop.core.tables import Origin, Snapshot
from everloop.data.sources.chain import Chain
from everloop.store import datasets, records, snapshots
from everloop.store.workspace import current

if TYPE_CHECKING:
    import polars as pl

# What a query may begin with, and what it may not call: rows of files have a source of their own, which says where they came from.
_SELECTS = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
_READS = re.compile(r"\bread_(csv|parquet|ipc|json|ndjson)\s*\(", re.IGNORECASE)
# A name before a bracket that is no word of SQL is a call; a condition without any looks at one row at a time.
_CALL = re.compile(r"\b(?!(?:and|or|not|in|between|like|ilike|is)\b)[a-z_]\w*\s*\(", re.IGNORECASE)
_UNORDERED = ("AGGREGATE", "JOIN", "UNION", "UNIQUE")


class _Past(NamedTuple):
    """How many rows of the snapshot were read before, and how many of them were given."""

    read: int
    given: int


class _Named(msgspec.Struct, frozen=True):
    snapshot: str


class Dataset(_Named, frozen=True, kw_only=True):
    """Rows of another dataset's snapshot: `bike` or `bike@latest`, `bike@3`, `bike@golden`, `bike@2026-11-20`, or a snapshot's id.

    `where` is a condition and `columns` the names to keep; or `query` says both and more, as SQL over the table `self`:
    `Dataset("bike@golden", where="temp > 0.5 and season = 1")`, `Dataset("bike", query="select season, avg(cnt) as cnt from self group by season")`.
    Rows come in the snapshot's order. Where a query groups, joins or unites they are sorted by all columns, unless it orders them itself;
    then let it leave no ties. The provenance holds the snapshot's id and what was asked of it.
    """

    where: str | None = None
    columns: tuple[str, ...] = ()
    query: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.columns, str):
            raise BadInput(f"columns must be a list of names, not the text {self.columns!r}.")
        msgspec.structs.force_setattr(self, "columns", tuple(self.columns))
        if self.query is None:
            return
        if self.where is not None or self.columns:
            raise BadInput("A query says which rows and columns by itself. Leave out where= and columns=, or query=.")
        if not _SELECTS.match(self.query):
            raise BadInput(f"query={self.query!r} is no query. It begins with select or with, and its table is named self.")
        if _READS.search(self.query):
            raise BadInput(f"query={self.query!r} reads a file. Take its rows by a source of their own, such as Files, and add the two.")

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        asked = self._asked()
        return f"dataset {self.snapshot}: {asked}" if asked else f"dataset {self.snapshot}"

    def stamp(self, place: Place) -> str:
        """The snapshot's id."""
        return self._resolve(place).id

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        snapshot = self._resolve(place)
        if snapshot.collected:
            raise NotFound(f"The rows of {self.snapshot} ({snapshot.id}) were collected: only what is known about them is still there.")
        unknown_names = [name for name in self.columns if name not in {column.name for column in snapshot.columns}]
        if unknown_names:
            raise unknown(f"Column of {self.snapshot}", unknown_names[0], [column.name for column in snapshot.columns])
        past = self._past(snapshot, since)
        extract = Extract(lambda: self._batches(extract, snapshot, past), whole=past is None)
        return extract

    def _resolve(self, place: Place) -> Snapshot:
        with current().read() as tx:
            found = datasets.resolve(tx, self.snapshot)
        name, _, which = self.snapshot.partition("@")
        if name == place.loop and which in ("", datasets.LATEST):
            raise BadInput(
                f"{self.describe()}: {name!r} would be taken from its own newest snapshot, and change with each taking. "
                f"Name one that stays, such as {name}@1 or an alias."
            )
        return found

    def _past(self, snapshot: Snapshot, since: Sequence[Origin]) -> _Past | None:
        """What needs not be read again: all when it is the same snapshot, its beginning when the snapshot grew from one that was read."""
        if len(since) != 1 or since[0].get("settings") != digest(self):
            return None
        noted: Any = since[0]
        if noted["locator"] == snapshot.id:
            return _Past(snapshot.rows, noted["rows"])
        if self.query is not None or (self.where is not None and _CALL.search(self.where)):
            return None
        try:
            with current().read() as tx:
                before = records.load(tx, str(noted["locator"]), Snapshot)
        except NotFound:
            return None
        return _Past(before.rows, noted["rows"]) if _begins_with(snapshot, before) else None

    def _batches(self, extract: Extract, snapshot: Snapshot, past: _Past | None) -> Iterator[pl.DataFrame]:
        extract.origins.clear()
        given = past.given if past else 0
        for batch in self._rows(snapshot, past.read if past else 0):
            if batch.height:
                given += batch.height
                yield batch
        extract.origins.append(
            {
                "locator": snapshot.id,
                "sha256": snapshot.content,
                "rows": given,
                "dataset": self.snapshot,
                "asked": self._asked(),
                "settings": digest(self),
            }
        )

    def _rows(self, snapshot: Snapshot, start: int) -> Iterator[pl.DataFrame]:
        import polars as pl

        if start >= snapshot.rows:
            return
        try:
            if self.query is None and (self.where is None or not _CALL.search(self.where)):
                # One row at a time: chunk by chunk, which leaves out those that were read before.
                for chunk in _behind(snapshot, start):
                    yield from _cut(self._narrowed(chunk.lazy()).collect())
            else:
                yield from self._answer(snapshot)
        except pl.exceptions.PolarsError as error:
            raise BadInput(f"{self.describe()}: {str(error).splitlines()[0]}.") from error

    def _narrowed(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        import polars as pl

        if self.where is not None:
            rows = rows.filter(pl.sql_expr(self.where))
        return rows.select(self.columns) if self.columns else rows

    def _answer(self, snapshot: Snapshot) -> Iterator[pl.DataFrame]:
        """What looks at several rows at once is asked of all of them, as a stream where it keeps their order."""
        blobs = current().blobs
        rows = snapshots.scan(blobs, snapshot)
        asked = rows.sql(self.query) if self.query is not None else self._narrowed(rows)
        plan = asked.explain()
        if any(word in plan for word in _UNORDERED):
            found = asked.collect()
            if not re.search(r"\border\s+by\b", self.query or "", re.IGNORECASE):
                found = found.sort([name for name, dtype in found.schema.items() if not dtype.is_nested()], nulls_last=True)
            yield from _cut(found)
            return
        first = snapshots.read(blobs, snapshot.chunks[0])
        at_once = max(1, BATCH_BYTES * first.height // max(1, int(first.estimated_size())))
        del first
        for batch in asked.collect_batches(chunk_size=at_once, maintain_order=True):
            yield from _cut(batch)

    def _asked(self) -> str:
        """In one line."""
        if self.query is not None:
            return " ".join(self.query.split())
        kept = f"select {', '.join(self.columns)}" if self.columns else ""
        return " ".join([*([kept] if kept else []), *(["where", *self.where.split()] if self.where is not None else [])])


def _cut(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    pieces = max(1, -(-int(table.estimated_size()) // BATCH_BYTES))
    yield from table.iter_slices(max(1, -(-table.height // pieces))) if pieces > 1 else (table,)


def _behind(snapshot: Snapshot, start: int) -> Iterator[pl.DataFrame]:
    """The rows from `start` on, a chunk at a time."""
    blobs = current().blobs
    ends = accumulate(chunk.rows for chunk in snapshot.chunks)
    for chunk, end in zip(snapshot.chunks, ends, strict=True):
        if end > start:
            yield snapshots.read(blobs, chunk).slice(max(0, chunk.rows - (end - start)))


def _begins_with(snapshot: Snapshot, before: Snapshot) -> bool:
    """Whether the rows of one snapshot are the first ones of another. By the digests that it is named by, of which the last may be of fewer rows."""
    from everloop.store.tables import PIECE_ROWS, piece_digest

    if not before.pieces or before.columns != snapshot.columns or before.rows > snapshot.rows:
        return False
    full = before.rows // PIECE_ROWS
    if before.pieces[:full] != snapshot.pieces[:full]:
        return False
    if before.rows == full * PIECE_ROWS:
        return True
    rest = snapshots.rows(current().blobs, snapshot, full * PIECE_ROWS, before.rows)
    return piece_digest(rest) == before.pieces[-1]
