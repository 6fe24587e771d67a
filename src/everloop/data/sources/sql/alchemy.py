"""A query of MySQL, MariaDB, or what else SQLAlchemy has a dialect for: by a cursor on the server, row by row."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Missing, NotFound
from everloop.data.sources.columnar import sliced
from everloop.data.sources.retry import Transient, translated
from everloop.data.sources.sql.rows import FIRST_ROWS, one_name_each, rows_at_once
from everloop.data.sources.sql.statement import around, newest, with_backticks

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.sql.latest import Latest
    from everloop.data.sources.sql.session import Told

_MYSQL = (
    "set session time_zone = '+00:00'",
    "set session transaction isolation level repeatable read",
    "set session transaction read only",
    "start transaction with consistent snapshot, read only",
)
_DRIVERS = {"mysql": "pymysql", "mariadb": "pymysql"}
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
_LATER = (1040, 1053, 1205, 1213, 2002, 2003, 2005, 2006, 2013, 2055)
_DENIED = (1044, 1045, 1130, 1142, 1143, 1227, 1698)
_UNKNOWN = (1049, 1051, 1054, 1146, 1305)
_WRITES = (1290, 1792)


class Alchemy:
    def __init__(self, told: Told) -> None:
        import sqlalchemy as sa
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        self.told = told
        self.exact: set[str] = set()
        self.left: Any = None
        try:
            url = sa.make_url(told.url)
        except (ArgumentError, ValueError):
            raise BadInput(f"{told.said}: this is no URL of a database. Expected one such as mysql://user@host/db.") from None
        self.mysql = url.get_backend_name() in _DRIVERS
        if self.mysql and "+" not in url.drivername:
            url = url.set(drivername=f"{url.drivername}+pymysql")
        connect: dict[str, Any] = {"connect_timeout": 10} if self.mysql and url.get_driver_name() == "pymysql" else {}
        try:
            self.engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=connect)
        except ModuleNotFoundError as error:
            extra = "everloop[mysql]" if self.mysql else str(error.name)
            raise Missing(f"Reading {url.drivername} needs {error.name}. Install it: pip install '{extra}'") from None
        except NoSuchModuleError:
            raise BadInput(
                f"{told.said}: there is no dialect for {url.drivername}://. Expected postgresql://, sqlite://, mysql://, or install it."
            ) from None
        self.connection: Any = self._guarded(self.engine.connect)
        if self.mysql:
            for setting in _MYSQL:
                self._guarded(lambda setting=setting: self.connection.exec_driver_sql(setting))

    def close(self) -> None:
        # A connection with rows left to fetch is not worth fetching them, which its driver would do.
        with suppress(Exception):
            self.left._result.unbuffered_active = False
            self.left.connection = None
        with suppress(Exception):
            self.connection.invalidate()
        with suppress(Exception):
            self.connection.close()
        self.engine.dispose()

    def stamp(self, query: str, cursor: str | None) -> str:
        query = self._own(query)
        if cursor is not None:
            return digest(list(map(str, self.ask(newest(query, self._quoted(cursor))))))
        if not self.mysql:
            # No checksum that every database knows: there may always be something new.
            return digest(time.time_ns())
        names = list(self._guarded(lambda: self.connection.execute(_text(around(query, where="1 = 0")))).keys())
        cells = ", ".join(f"isnull(q.{name}), ifnull(q.{name}, '')" for name in map(self._quoted, names))
        return digest(list(map(str, self.ask(around(query, select=f"count(*), sum(crc32(concat_ws('#', {cells})))")))))

    def ask(self, query: str) -> tuple[object, ...]:
        return tuple(self._guarded(lambda: self.connection.execute(_text(self._own(query))).fetchone()) or ())

    def ties(self, query: str, cursor: str, value: Latest) -> int:
        asked = around(self._own(query), select="count(*)", where=f"q.{self._quoted(cursor)} = :after")
        return int(self._guarded(lambda: self.connection.execute(_text(asked, after=True), {"after": value.value()}).scalar()))

    def batches(self, query: str, cursor: str | None, after: Latest | None, *, strictly: bool) -> Iterator[pl.DataFrame]:
        query, params = self._own(query), {}
        if cursor is not None:
            name = f"q.{self._quoted(cursor)}"
            where = f"({name} {'>' if strictly else '>='} :after or {name} is null)" if after else ""
            params = {"after": after.value()} if after else {}
            query = around(query, where=where, order=name)
        streamed: Any = self.connection.execution_options(stream_results=True, max_row_buffer=FIRST_ROWS)
        result: Any = self._guarded(lambda: streamed.execute(_text(query, after=bool(params)), params))
        self.left = result.cursor
        names = list(result.keys())
        one_name_each(names, self.told.said)
        self.exact.clear()
        at_once = FIRST_ROWS
        while rows := self._guarded(partial(result.fetchmany, at_once)):
            found = self._table(names, rows)
            at_once = rows_at_once(found)
            yield from sliced(found)

    def _table(self, names: list[str], rows: list[Any]) -> pl.DataFrame:
        import polars as pl

        columns: list[Any] = []
        for name, cells in zip(names, zip(*rows, strict=True), strict=True):
            kinds: set[type] = {type(cell) for cell in cells if cell is not None}
            if Decimal in kinds:
                self.exact.add(name)
            columns.append(_column(name, list(cells), kinds))
        return pl.DataFrame(columns)

    def _own(self, query: str) -> str:
        return with_backticks(query) if self.mysql else query

    def _quoted(self, name: str) -> str:
        marks: Any = self.engine.dialect.identifier_preparer
        return f"{marks.initial_quote}{name.replace(marks.final_quote, marks.final_quote * 2)}{marks.final_quote}"

    def _guarded(self, call: Any) -> Any:
        return translated(call, self._error)

    def _error(self, error: Exception) -> Exception:
        said, original = self.told.said, cast("Any", getattr(error, "orig", None) or error)
        arguments = cast("tuple[Any, ...]", original.args)
        code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
        words = self.told.clean(Exception(str(arguments[1]))) if len(arguments) > 1 else self.told.clean(original)
        if code in _DENIED:
            return BadInput(f"{said}: the server does not let us in ({words}). Look at the user, the password and what the user may read.")
        if code in _UNKNOWN:
            return NotFound(f"{said}: {words}. Check the query and the URL.")
        if code in _WRITES:
            return BadInput(f"{said}: the query writes ({words}). A source only reads.")
        if code in _LATER or getattr(error, "connection_invalidated", False) or isinstance(original, ConnectionError | TimeoutError):
            return Transient(f"{said}: the database does not answer as it should ({words})")
        return BadInput(f"{said}: {words}.")


def _text(query: str, *, after: bool = False) -> Any:
    """A query whose colons are its own, but for the one parameter."""
    import sqlalchemy as sa

    escaped = re.sub(r":(?=\w)", r"\\:", query)
    return sa.text(escaped.replace("\\:after", ":after") if after else escaped)


def _column(name: str, cells: list[Any], kinds: set[type]) -> pl.Series:
    import polars as pl

    simple: dict[frozenset[type], Any] = {
        frozenset(): pl.Null, frozenset({bool}): pl.Boolean, frozenset({float}): pl.Float64, frozenset({str}): pl.String,
        frozenset({bytes}): pl.Binary, frozenset({date}): pl.Date, frozenset({time_of_day}): pl.Time,
    }  # fmt: skip
    dtype = simple.get(frozenset(kinds))
    if kinds == {int}:
        large = any(cell is not None and not -(2**63) <= cell < 2**63 for cell in cells)
        dtype = (pl.UInt64 if all(cell is None or 0 <= cell < 2**64 for cell in cells) else None) if large else pl.Int64
    if kinds == {datetime}:
        zoned = {cell.tzinfo is not None for cell in cells if cell is not None}
        dtype = (pl.Datetime("us", "UTC") if True in zoned else pl.Datetime("us")) if len(zoned) == 1 else None
    if dtype is not None:
        return pl.Series(name, cells, dtype=dtype)
    return pl.Series(name, [None if cell is None else _written(cell) for cell in cells], dtype=pl.String)


def _written(cell: Any) -> str:
    match cell:
        case str():
            return cell
        case Decimal():
            return f"{cell:f}" if cell.is_finite() else str(cell)
        case timedelta():
            seconds, micro = divmod(abs(cell) // timedelta(microseconds=1), 1_000_000)
            sign, fraction = "-" if cell < timedelta() else "", f".{micro:06}" if micro else ""
            return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"
        case UUID() | datetime() | date():
            return str(cell)
        case bytes():
            return cell.decode("utf-8", "backslashreplace")
        case dict() | list():
            import msgspec

            return msgspec.json.encode(cell).decode()
        case _:
            return str(cell)
