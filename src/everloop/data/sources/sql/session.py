"""What every kind of database can do for a source, and where its URL leads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from everloop.core.errors import BadInput
from everloop.core.ports import Place
from everloop.data.sources.secrets import resolved, scrubbed, secrets_of

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.sql.latest import Latest


class Session(Protocol):
    """A connection that only reads, and sees the database as of one moment. All of it may raise Transient for a connection that is lost."""

    exact: set[str]
    """Columns, of the batches so far, of decimal numbers, which come as text."""

    def stamp(self, query: str, cursor: str | None) -> str:
        """What changes when the rows do."""
        ...

    def ask(self, query: str) -> tuple[object, ...]:
        """The first row."""
        ...

    def ties(self, query: str, cursor: str, value: Latest) -> int:
        """How many rows have this value."""
        ...

    def batches(self, query: str, cursor: str | None, after: Latest | None, *, strictly: bool) -> Iterator[pl.DataFrame]:
        """The rows; with a cursor in its order, and with `after` those from that value on, or `strictly` behind it."""
        ...

    def close(self) -> None: ...


class Told:
    """What people are told of a database: where it is as they declared it, and what its driver says without any secret."""

    def __init__(self, said: str, url: str, *, declared: str) -> None:
        self.said, self.url = said, url
        self._secrets = secrets_of(url) if declared != url else ()

    def clean(self, error: BaseException) -> str:
        """The first line of the driver's words."""
        words = scrubbed(str(error), self._secrets).strip()
        line = next((line.strip() for line in words.splitlines() if line.strip()), type(error).__name__)
        return line[:300].rstrip(". ")


def opened(url: str, place: Place, said: str, taught: set[str]) -> Session:
    """A session at an URL, which may be `env:NAME`. `taught` is what earlier sessions of the same reading found, and learns from this one."""
    real = resolved(url, of=said)
    told = Told(said, real, declared=url)
    scheme = real.partition("://")[0].partition("+")[0].lower()
    if "://" not in real:
        raise BadInput(
            f"{said}: there is no scheme in the URL. Expected one such as postgresql://host/db, sqlite:///file.db or mysql://host/db."
        )
    if scheme == "sqlite":
        from everloop.data.sources.sql.sqlite import Sqlite

        return Sqlite(told, place, taught)
    if scheme in ("postgresql", "postgres"):
        from everloop.data.sources.sql.postgres import Postgres

        return Postgres(told)
    from everloop.data.sources.sql.alchemy import Alchemy

    return Alchemy(told)
