"""The rows of a query -> one table."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.data.sources.retry import patiently
from everloop.data.sources.secrets import refuse_secret
from everloop.data.sources.sql.statement import checked, of_table

_SHOWN = 160


class _Query(msgspec.Struct, frozen=True):
    query: str


class Sql(_Query, frozen=True, kw_only=True):
    """The rows of a query: `Sql("select * from rides", url="env:WAREHOUSE_URL")`, or of a table: `Sql.table("rides", url=…)`.

    `url` is `sqlite:///rides.db` (relative to the project), `postgresql://user@host/db`, `mysql://user@host/db`, any other that SQLAlchemy knows, or
    `env:NAME` for one in the environment, where it may hold a password; PostgreSQL also takes PGPASSWORD and `~/.pgpass`. Needs `everloop[sql]`
    (MySQL `everloop[mysql]`; SQLite is read without, but slower).

    The query runs in a transaction that only reads, and sees the database as of one moment. With `cursor`, a column that never falls (a time of change, a
    number that is counted up), rows come in its order, and later readings ask only for those from its last value on. Rows that were changed without it, or
    that get a lower value than was read already, are not seen then; deleted ones stay. Decimal numbers are floats where no digit is lost by it, else text;
    what has no counterpart (uuid, json, intervals) is text. `stamp_query` is a cheap query whose first row changes when the data does: without it and
    `cursor` the server computes a checksum of all rows (SQLite looks at its file).
    `time` names the column with each row's time, where the database has it as text.
    """

    url: str
    cursor: str | None = None
    stamp_query: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        refuse_secret(self.url, of="Sql")
        msgspec.structs.force_setattr(self, "query", checked(self.query, of="Sql"))
        if self.stamp_query is not None:
            msgspec.structs.force_setattr(self, "stamp_query", checked(self.stamp_query, of="Sql: stamp_query"))
        if self.cursor is not None and (not self.cursor or "\0" in self.cursor):
            raise BadInput(f"cursor={self.cursor!r} is no name of a column.")

    @classmethod
    def table(cls, name: str, *, url: str, cursor: str | None = None, stamp_query: str | None = None, time: str | None = None) -> Sql:
        """All rows of a table, `name` or `schema.name`."""
        return cls(of_table(name), url=url, cursor=cursor, stamp_query=stamp_query, time=time)

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        query = " ".join(self.query.split())
        return f"sql {self.url}: {query if len(query) <= _SHOWN else query[:_SHOWN] + '…'}"

    def stamp(self, place: Place) -> str:
        """What `stamp_query` gives; else the last value of the cursor and how many rows have it; else a checksum, which the server computes."""
        from everloop.data.sources.sql.session import opened

        def attempt() -> str:
            session = opened(self.url, place, self.describe(), set())
            try:
                if self.stamp_query is not None:
                    return digest(list(map(str, session.ask(self.stamp_query))))
                return session.stamp(self.query, self.cursor)
            finally:
                session.close()

        return patiently(attempt)

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """With `since` and `cursor`: rows with a higher value, and those with the same that were not read yet. Else all of them."""
        from everloop.data.sources.sql.reading import Reading

        return Reading(self, place, since).extract
