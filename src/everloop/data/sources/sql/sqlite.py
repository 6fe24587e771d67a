"""A query of an SQLite file, through ADBC where it is installed and the columns have one type each, else row by row."""

from __future__ import annotations

import difflib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from everloop.core.digest import digest
from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import Place, Restart
from everloop.data.sources.columnar import sliced
from everloop.data.sources.retry import Transient, translated
from everloop.data.sources.sql.rows import FIRST_ROWS, gathered, one_name_each, rows_at_once
from everloop.data.sources.sql.statement import around, quoted
from everloop.data.sources.steady import state

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.sql.latest import Latest
    from everloop.data.sources.sql.session import Told

# Of the first so many rows ADBC tells the types of the columns.
_ROWS = 1024
_MIXED = "mixed"
_LOCKED_S = 5.0
# Times of change tick every few milliseconds: a change within the tick of the one before would not show.
_TICK_S = 0.02


class Sqlite:
    def __init__(self, told: Told, place: Place, taught: set[str]) -> None:
        """`taught` is what reading this taught before, and learns whether a column has values of several types."""
        self.told, self.taught = told, taught
        self.exact: set[str] = set()
        name = told.url.partition("://")[2].removeprefix("/").partition("?")[0]
        if not name or name == ":memory:":
            raise BadInput(f"{told.said}: an SQLite database in memory cannot be read from here. Name its file: sqlite:///rides.db.")
        self.path = place.project / Path(name)
        if not self.path.is_file():
            near = sorted(path.name for path in self.path.parent.iterdir() if path.is_file()) if self.path.parent.is_dir() else []
            close = difflib.get_close_matches(self.path.name, near, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise NotFound(f"{told.said}: there is no file {self.path}.{hint}")
        if self.path.resolve().is_relative_to(place.home.resolve()):
            # ADBC brings an SQLite of its own, and two in one process do not see each other's locks: not where this process may write.
            taught.add(_MIXED)
        self.uri = f"file:{quote(str(self.path.absolute()))}?mode=ro"
        self.plain = self._guarded(
            lambda: sqlite3.connect(self.uri, uri=True, isolation_level=None, timeout=_LOCKED_S, check_same_thread=False)
        )
        self._guarded(lambda: self.plain.execute("pragma query_only = on"))
        # One moment for all that is asked: a reader's transaction does not see what comes later.
        self._guarded(lambda: self.plain.execute("begin"))

    def close(self) -> None:
        self.plain.close()

    def stamp(self, query: str, cursor: str | None) -> str:
        """Every transaction changes the file or its log. They are not opened: whoever closes a file gives up the locks that its process has on it."""
        paths = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        newest = max((state(path).mtime_ns for path in paths), default=0)
        age_s = time.time() - newest / 1e9
        if 0 <= age_s < _TICK_S:
            time.sleep(_TICK_S - age_s)
        return digest([list(state(path)) for path in paths])

    def ask(self, query: str) -> tuple[object, ...]:
        return self._guarded(lambda: self.plain.execute(query).fetchone()) or ()

    def ties(self, query: str, cursor: str, value: Latest) -> int:
        asked = around(query, select="count(*)", where=f"q.{quoted(cursor)} = ?")
        return int(self._guarded(lambda: self.plain.execute(asked, (value.value(),)).fetchone())[0])

    def batches(self, query: str, cursor: str | None, after: Latest | None, *, strictly: bool) -> Iterator[pl.DataFrame]:
        params: tuple[Any, ...] = ()
        if cursor is not None:
            name = f"q.{quoted(cursor)}"
            # What has no value would be new each time, and is refused where it shows.
            where = f"({name} {'>' if strictly else '>='} ? or {name} is null)" if after else ""
            params = (after.value(),) if after else ()
            query = around(query, where=where, order=name)
        try:
            adbc: Any = import_module("adbc_driver_sqlite.dbapi")
        except ImportError:
            adbc = None
        if adbc is None or _MIXED in self.taught:
            yield from self._by_row(query, params)
        else:
            yield from self._typed(adbc, query, params)

    def _typed(self, adbc: Any, query: str, params: tuple[Any, ...]) -> Iterator[pl.DataFrame]:
        connection: Any = self._guarded(lambda: adbc.connect(self.uri))
        try:
            cursor: Any = connection.cursor()
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_ROWS)})
            self._guarded(lambda: cursor.execute(query, params))
            reader: Any = self._guarded(cursor.fetch_record_batch)
            one_name_each(reader.schema.names, self.told.said)
            if self._mixed(reader.schema, query, params):
                self.taught.add(_MIXED)
                yield from self._by_row(query, params)
                return
            yield from gathered(self._batches(reader))
        finally:
            with suppress(Exception):
                connection.close()

    def _mixed(self, schema: Any, query: str, params: tuple[Any, ...]) -> bool:
        """Whether there are numbers among texts: of these ADBC would write six digits. It says by itself what it cannot put among numbers."""
        pa: Any = import_module("pyarrow")
        kinds: dict[str, str] = {
            field.name: "blob" if pa.types.is_binary(field.type) else "text" for field in schema if field.type not in _numbers()
        }
        if not kinds:
            return False
        tests = [f"max(typeof(q.{quoted(name)}) not in ('{kind}', 'null'))" for name, kind in kinds.items()]
        found = self._guarded(lambda: self.plain.execute(around(query, select=", ".join(tests)), params).fetchone())
        return any(found)

    def _batches(self, reader: Any) -> Iterator[Any]:
        while True:
            try:
                batch = next(reader, None)
            except Exception as error:
                if "Type mismatch" not in str(error):
                    raise self._error(error) from None
                self.taught.add(_MIXED)
                raise Restart from None
            if batch is None:
                return
            yield batch

    def _by_row(self, query: str, params: tuple[Any, ...]) -> Iterator[pl.DataFrame]:
        cursor: sqlite3.Cursor = self._guarded(lambda: self.plain.execute(query, params))
        names = [column[0] for column in cursor.description]
        one_name_each(names, self.told.said)
        at_once, given = FIRST_ROWS, False
        while rows := self._guarded(partial(cursor.fetchmany, at_once)):
            table = by_value(names, rows)
            given = True
            at_once = rows_at_once(table)
            yield from sliced(table)
        if not given:
            yield by_value(names, [])

    def _guarded(self, call: Any) -> Any:
        return translated(call, self._error, passing=(ImportError,))

    def _error(self, error: Exception) -> Exception:
        said, words = self.told.said, self.told.clean(error)
        if "database is locked" in words or "database table is locked" in words:
            return Transient(f"{said}: somebody writes to the database and has it locked")
        if "no such" in words:
            return NotFound(f"{said}: {words[words.index('no such') :]}. {self._there(words)}".rstrip())
        if "not a database" in words or "malformed" in words:
            return BadInput(f"{said}: {self.path} is no sound SQLite database. Restore it, or check the path.")
        if "readonly" in words:
            return BadInput(f"{said}: the query writes. A source only reads.")
        return BadInput(f"{said}: {words}.")

    def _there(self, words: str) -> str:
        if "no such table" not in words:
            return ""
        with suppress(sqlite3.Error):
            names = [row[0] for row in self.plain.execute("select name from sqlite_master where type in ('table', 'view') order by 1")]
            return f"There: {', '.join(names[:8])}." if names else "There are no tables."
        return ""


def by_value(names: list[str], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Each column as its values are: SQLite gives a type to values, not to columns. What is mixed becomes text."""
    import polars as pl

    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pl.DataFrame([_column(name, list(cells)) for name, cells in zip(names, columns, strict=True)])


def _column(name: str, cells: list[Any]) -> pl.Series:
    import polars as pl

    kinds: set[type] = {type(cell) for cell in cells if cell is not None}
    one: dict[frozenset[type], Any] = {
        frozenset(): pl.Null, frozenset({int}): pl.Int64, frozenset({bytes}): pl.Binary, frozenset({float}): pl.Float64, frozenset({int, float}): pl.Float64,
    }  # fmt: skip
    dtype = one.get(frozenset(kinds), pl.String)
    if dtype == pl.String:
        cells = [cell if cell is None or isinstance(cell, str) else _text(cell) for cell in cells]
    elif dtype == pl.Float64:
        cells = [None if cell is None else float(cell) for cell in cells]
    return pl.Series(name, cells, dtype=dtype)


def _text(cell: Any) -> str:
    return cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else str(cell)


def _numbers() -> tuple[Any, ...]:
    pa: Any = import_module("pyarrow")
    return pa.int64(), pa.float64()
