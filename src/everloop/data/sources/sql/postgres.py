"""A query of PostgreSQL through ADBC: its own binary copy, batch by batch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Missing, NotFound
from everloop.data.sources.retry import Transient, translated
from everloop.data.sources.sql.rows import GATHERED_BYTES, gathered, one_name_each
from everloop.data.sources.sql.statement import around, newest, quoted

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.sql.latest import Latest
    from everloop.data.sources.sql.session import Told

# What comes over as it is; all else is asked for as text, which PostgreSQL writes without a loss.
_SAME = (
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "text",
    "varchar",
    "bpchar",
    "name",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
)
_LISTS = ("_bool", "_int2", "_int4", "_int8", "_float4", "_float8", "_text", "_varchar", "_timestamp", "_timestamptz", "_date")
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LATER = re.compile(r"08...|53...|57P0[123]|58...|40001|40P01|55P03|55006")
_LOST = re.compile(
    r"(?i)server closed the connection|terminating connection|could not receive data|no connection to the server|connection (refused|reset|timed out)"
    r"|timeout expired|network is unreachable|too many (clients|connections)|starting up|shutting down|SSL connection has been closed|EOF detected"
    r"|could not translate host name|Broken pipe|connection not open|connection pointer is NULL"
)
_SETTINGS = (
    "set transaction isolation level repeatable read, read only",
    "set local time zone 'UTC'",
    # Rows in the order of the table each time, not from where another reader happens to be.
    "set local synchronize_seqscans = off",
    "set local max_parallel_workers_per_gather = 0",
    "set local extra_float_digits = 1",
    "set local intervalstyle = 'postgres'",
)

# 0001-01-01 and 10000-01-01, in days from 1970.
_FIRST_DAY, _END_DAY = -719_162, 2_932_897


class Postgres:
    def __init__(self, told: Told) -> None:
        self.told = told
        self.exact: set[str] = set()
        try:
            adbc: Any = import_module("adbc_driver_postgresql.dbapi")
        except ImportError:
            raise Missing("Reading PostgreSQL needs its ADBC driver. Install it: pip install 'everloop[sql]'") from None
        url = re.sub(r"^postgres(?:ql)?(?:\+\w+)?://", "postgresql://", told.url)
        if "connect_timeout=" not in url:
            url += ("&" if "?" in url else "?") + "connect_timeout=10"
        self.connection: Any = self._guarded(lambda: adbc.connect(url))
        self.cursor: Any = self.connection.cursor()
        for setting in _SETTINGS:
            self._guarded(lambda setting=setting: self.cursor.execute(setting))
        self._guarded(lambda: self.cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(GATHERED_BYTES)}))

    def close(self) -> None:
        # A connection that broke says so once more.
        with suppress(Exception):
            self.cursor.close()
        with suppress(Exception):
            self.connection.close()

    def stamp(self, query: str, cursor: str | None) -> str:
        if cursor is not None:
            return digest(list(map(str, self.ask(newest(query, quoted(cursor), text="::text")))))
        # All rows are looked at, on the server.
        checksum = around(query, select="count(*)::text, sum(hashtextextended(q::text, 0))::text")
        return digest(list(map(str, self.ask(checksum))))

    def ask(self, query: str) -> tuple[object, ...]:
        def first() -> Any:
            self.cursor.execute(query)
            return self.cursor.fetchone()

        return tuple(self._guarded(first) or ())

    def ties(self, query: str, cursor: str, value: Latest) -> int:
        name = f"q.{quoted(cursor)}"
        found = self.ask(around(query, select="count(*)", where=f"{name} = {self._bound(query, cursor, value)}"))
        return int(str(found[0]))

    def batches(self, query: str, cursor: str | None, after: Latest | None, *, strictly: bool) -> Iterator[pl.DataFrame]:
        kinds = self._kinds(query)
        self.exact.clear()
        self.exact.update(name for name, kind in kinds.items() if kind == "numeric")
        where = ""
        if cursor is not None and cursor in kinds and after is not None:
            name = f"q.{quoted(cursor)}"
            # What has no value would be new each time, and is refused where it shows.
            where = f"({name} {'>' if strictly else '>='} {self._bound(query, cursor, after)} or {name} is null)"
        select = ", ".join(_taken(name, kind) for name, kind in kinds.items())
        asked = around(query, select=select, where=where, order=f"q.{quoted(cursor)}" if cursor is not None else "")

        def begin() -> Any:
            self.cursor.execute(asked)
            return self.cursor.fetch_record_batch()

        for table in gathered(self._record_batches(self._guarded(begin))):
            _refuse_infinite(table, self.told.said)
            yield table

    def _record_batches(self, reader: Any) -> Iterator[Any]:
        while (batch := self._guarded(lambda: next(reader, None))) is not None:
            yield batch

    def _kinds(self, query: str) -> dict[str, str]:
        """The types of the columns, as the server names them."""
        schema: Any = self._guarded(lambda: self.cursor.adbc_execute_schema(query))
        one_name_each(schema.names, self.told.said)
        metadata: dict[str, dict[bytes, bytes]] = {field.name: field.metadata or {} for field in schema}
        return {name: (told.get(b"POSTGRESQL:type") or b"unknown").decode() for name, told in metadata.items()}

    def _bound(self, query: str, cursor: str, value: Latest) -> str:
        """How the query speaks of the value, which is bound: a copy takes no parameters, but may look at a setting."""
        kind = self._kinds(query)[cursor]
        if not re.fullmatch(r"\w+", kind):
            raise BadInput(f"{self.told.said}: cursor={cursor!r} is of the type {kind}, which cannot be gone on from.")

        def bind() -> None:
            self.cursor.execute("select set_config('everloop.after', $1, true)", (value.text,))
            self.cursor.fetchone()

        self._guarded(bind)
        return f"current_setting('everloop.after')::{kind}"

    def _guarded(self, call: Any) -> Any:
        return translated(call, self._error)

    def _error(self, error: Exception) -> Exception:
        said, code = self.told.said, str(getattr(error, "sqlstate", None) or "")
        found = re.search(r"SQLSTATE: (\w{5})", str(error))
        code = code or (found[1] if found else "")
        words = _plainly(self.told.clean(error))
        if re.search(
            r"(?i)password authentication failed|no password supplied|authentication failed|no pg_hba.conf|role .* does not exist",
            str(error),
        ) or (code.startswith("28")):
            return BadInput(
                f"{said}: the server does not let us in ({words}). Look at the user and the password in the URL, in PGPASSWORD or in ~/.pgpass."
            )
        if re.search(r'database ".*" does not exist', str(error)) or code == "3D000":
            return NotFound(f"{said}: {words}. Check the URL.")
        if _LATER.fullmatch(code) or (not code and _LOST.search(str(error))):
            return Transient(f"{said}: the database does not answer as it should ({words})")
        if code in ("42P01", "42703", "3F000", "42883"):
            return NotFound(f"{said}: {words}. Check the query.")
        if code == "42501":
            return BadInput(f"{said}: {words}. Give the user the right to read it.")
        if code == "25006" or "data-modifying" in words:
            return BadInput(f"{said}: the query writes ({words}). A source only reads.")
        return BadInput(f"{said}: {words}.")


def _taken(name: str, kind: str) -> str:
    column = f"q.{quoted(name)}"
    if kind in _SAME or kind in _LISTS:
        return column
    return f"{column}::{'text[]' if kind.startswith('_') else 'text'} as {quoted(name)}"


def _plainly(line: str) -> str:
    """The server's words, without the driver's around them."""
    line = re.sub(r"^.*?(?:ERROR|FATAL):\s*", "", line)
    return re.sub(r"^\w+: (?:\[libpq\] )?", "", line)


def _refuse_infinite(table: pl.DataFrame, said: str) -> None:
    """PostgreSQL's infinite and far-off times are other times here, or none."""
    import polars as pl

    for name, dtype in table.schema.items():
        if not isinstance(dtype, pl.Date | pl.Datetime):
            continue
        a_day = 1 if isinstance(dtype, pl.Date) else 86_400_000_000
        numbers: Any = table[name].to_physical()
        low, high = numbers.min(), numbers.max()
        if low is not None and (low < _FIRST_DAY * a_day or high >= _END_DAY * a_day):
            raise BadInput(
                f"{said}: the column {name!r} has a time before the year 1 or behind 9999, or an infinite one. Say in the query what it means: "
                f"nullif({name}, 'infinity')."
            )
