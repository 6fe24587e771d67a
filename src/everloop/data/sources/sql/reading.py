"""One reading of a query: what is new since an earlier one, and what the provenance says of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy, unknown
from everloop.core.ports import Extract, Place, Restart
from everloop.core.tables import Origin
from everloop.data.sources.retry import Transient, patiently
from everloop.data.sources.sql.exact import fits, floats
from everloop.data.sources.sql.latest import Latest
from everloop.data.sources.sql.session import Session, opened

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.sql.source import Sql

_TRIES = 4
# Of so many rows with the last value of the cursor is known which ones they are; of more, how many.
_TIES = 1000


class Reading:
    """However often it begins again."""

    def __init__(self, source: Sql, place: Place, since: Sequence[Origin]) -> None:
        self.source, self.place = source, place
        self.way = digest(source.query, source.cursor, source.time)[:16]
        self.taught: set[str] = set()
        self.texts: set[str] = set()
        self.lost = 0
        self.old = since[0] if len(since) == 1 and source.cursor and since[0].get("way") == self.way and "latest" in since[0] else None
        self.extract = Extract(self.batches, whole=self.old is None)
        if self.old is not None and "tied" not in self.old:
            self._look_at_ties(self.old)

    def batches(self) -> Iterator[pl.DataFrame]:
        from everloop.data.sources.times import TimeColumn

        source = self.source
        self.extract.origins.clear()
        time = TimeColumn(source.time) if source.time is not None else None
        past = _Past(self.old)
        begun = patiently(self._begin)
        session, table, rest = begun
        wrong = False
        try:
            while table is not None:
                self._look_at(table, past)
                table = past.without_known(table, source.cursor)
                exact = session.exact & set(table.columns)
                for name in sorted(exact - self.texts):
                    wrong = self._must_be_text(table[name]) or wrong
                first_row = past.row
                past.add(table, source.cursor, exact)
                if not wrong and table.height:
                    table = table.with_columns([floats(table[name]) for name in exact - self.texts])
                    yield time.parse(table, where=source.describe(), first_row=first_row) if time is not None else table
                table = next(rest, None)
        except Transient as error:
            self.lost += 1
            if self.lost >= _TRIES:
                raise Busy(f"{error} ({_TRIES} tries). What was read so far was let go. Run again later.") from None
            raise Restart from None
        finally:
            session.close()
        if wrong:
            raise Restart
        if self.extract.whole and not past.rows:
            raise BadInput(f"{source.describe()} gives no rows.")
        self.extract.origins.append(past.origin(source, self.way))

    def _begin(self) -> tuple[Session, pl.DataFrame | None, Iterator[pl.DataFrame]]:
        """A connection that has given its first rows: up to there a lost one can be had again without anybody noticing."""
        source = self.source
        session = opened(source.url, self.place, source.describe(), self.taught)
        try:
            after = Latest(str(self.old["kind"]), str(self.old["latest"])) if self.old is not None else None
            strictly = self.old is not None and "tied" not in self.old
            rest = session.batches(source.query, source.cursor, after, strictly=strictly)
            return session, next(rest, None), rest
        except BaseException:
            session.close()
            raise

    def _look_at(self, table: pl.DataFrame, past: _Past) -> None:
        cursor = self.source.cursor
        if cursor is None:
            return
        if cursor not in table.columns:
            raise BadInput(f"{self.source.describe()}: {unknown('Cursor column', cursor, table.columns)}")
        if nulls := table[cursor].null_count():
            raise BadInput(
                f"{self.source.describe()}: {nulls} rows have no {cursor}, so nobody can tell when they came. Leave them out in the query "
                f"(where {cursor} is not null), or give them one."
            )
        if self.old is not None and table.height and self.old.get("columns") != digest(table.columns)[:16]:
            # Rows that were read before have these columns as well now.
            self._all_anew()

    def _must_be_text(self, numbers: pl.Series) -> bool:
        if fits(numbers):
            return False
        self.texts.add(numbers.name)
        return True

    def _look_at_ties(self, old: Origin) -> None:
        """Where too many rows had the last value to know which ones: all is read again when there are others by now."""
        source = self.source

        def attempt() -> int:
            session = opened(source.url, self.place, source.describe(), self.taught)
            try:
                return session.ties(source.query, source.cursor or "", Latest(str(old["kind"]), str(old["latest"])))
            finally:
                session.close()

        if patiently(attempt) != old["ties"]:
            self.old, self.extract.whole = None, True

    def _all_anew(self) -> None:
        self.old, self.extract.whole = None, True
        raise Restart


class _Past:
    """What is known of the rows so far, those of earlier readings included."""

    def __init__(self, old: Origin | None) -> None:
        self.old = old
        self.rows = int(old["rows"]) if old else 0
        self.row = 1
        self.columns = str(old["columns"]) if old else ""
        self.latest = Latest(str(old["kind"]), str(old["latest"])) if old else None
        self.ties = int(old["ties"]) if old else 0
        self.tied: list[str] | None = None
        if old is None:
            self.tied = []
        elif "tied" in old:
            self.tied = list(json.loads(str(old["tied"])))
        self._known: Counter[str] = Counter(self.tied or ()) if old else Counter()
        self._first: Any = None
        self._top: Any = None
        self._sink = hashlib.sha256()
        self._new = 0

    def without_known(self, table: pl.DataFrame, cursor: str | None) -> pl.DataFrame:
        """Without the rows that were read before. These have the last value of then, which comes first now, if any has."""
        if cursor is None or not self._known or not table.height:
            return table
        if self._first is None:
            self._first = table[cursor][0]
        ties = int((table[cursor] == self._first).sum())
        if not ties:
            self._known = Counter()
            return table
        keep: list[bool] = []
        for name in _names(table.head(ties)):
            keep.append(self._known[name] <= 0)
            self._known[name] -= 1
        import polars as pl

        return table.filter(pl.Series(keep + [True] * (table.height - ties)))

    def add(self, table: pl.DataFrame, cursor: str | None, exact: set[str]) -> None:
        from everloop.data.kinds import normalise
        from everloop.store.tables import piece_digest

        if not table.height:
            return
        self.rows, self.row, self._new = self.rows + table.height, self.row + table.height, self._new + table.height
        self._sink.update(piece_digest(normalise(table)).encode())
        if cursor is None:
            return
        self.columns = digest(table.columns)[:16]
        last = table[cursor][-1]
        latest = Latest.of(last, column=cursor, exact=cursor in exact)
        if latest != self.latest:
            self.ties, self.tied, self.latest = 0, [], latest
        tied = table.filter(table[cursor] == last)
        self.ties += tied.height
        if self.tied is not None:
            self.tied = [*self.tied, *_names(tied)] if self.ties <= _TIES else None

    def origin(self, source: Sql, way: str) -> Origin:
        sha = self._sink.hexdigest()
        if self.old is not None:
            sha = hashlib.sha256(f"{self.old['sha256']}{sha}".encode()).hexdigest() if self._new else str(self.old["sha256"])
        found: dict[str, str | int] = {"locator": source.describe(), "sha256": sha, "rows": self.rows, "way": way}
        if self.latest is None:
            return found
        found |= {"latest": self.latest.text, "kind": self.latest.kind, "ties": self.ties, "columns": self.columns}
        return found if self.tied is None else {**found, "tied": json.dumps(self.tied)}


def _names(table: pl.DataFrame) -> list[str]:
    """A name for each row, by what is in it, whichever type a driver gave it."""
    return [digest([_plain(value) for value in row])[:16] for row in table.iter_rows()]


def _plain(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else value.hex() if isinstance(value, bytes) else str(value)
