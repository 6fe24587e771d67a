"""A file behind a URL -> one table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.data.sources.remote import Downloads, Item, Written
from everloop.data.sources.secrets import is_named, is_secret, named_in, refuse_secret

if TYPE_CHECKING:
    from everloop.data.sources.exchange import Exchange


class Http(Written, frozen=True):
    """A table behind an HTTP(S) URL, or behind one in the environment (`Http("env:FEED_URL")`), where it may hold passwords and signatures.

    Formats and the other settings are those of `Files`; the format is told by the URL, else by the answer's Content-Type. `headers` may
    name environment variables, and must where they open doors: `headers={"Authorization": "Bearer env:FEED_TOKEN"}`. They go to this
    host alone, never to one that it redirects to. Redirects are followed within a scheme, and from http to https. What takes longer
    than `timeout_s` without a byte is tried again, and so are busy servers and broken connections; a file of more than `max_mb` is refused.
    """

    url: str
    headers: tuple[tuple[str, str], ...] | Mapping[str, str] = ()
    timeout_s: float = 60.0
    max_mb: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.headers
        pairs = given.items() if isinstance(given, Mapping) else given
        msgspec.structs.force_setattr(self, "headers", tuple(sorted((str(name), str(value)) for name, value in pairs)))
        if not is_named(self.url):
            scheme = self.url.partition("://")[0].lower() if "://" in self.url else ""
            if scheme not in ("http", "https"):
                other = {"file": "Files", "s3": "Objects", "gs": "Objects", "az": "Objects"}.get(scheme)
                hint = f" That is read by {other}(…)." if other else ""
                raise BadInput(
                    f"Http reads http:// and https:// URLs (or one in the environment, 'env:NAME'), not {scheme or 'this'}.{hint}"
                )
        refuse_secret(self.url, of="Http")
        for name, value in self.pairs():
            if is_secret(name) and not named_in(value):
                raise BadInput(
                    f"Http({self.url!r}): the header {name} holds what opens doors, and what a source is declared with is kept and shown. "
                    f"Put it into an environment variable, and name that: headers={{{name!r}: 'env:NAME'}}."
                )
        if self.timeout_s <= 0 or self.max_mb <= 0:
            raise BadInput(f"timeout_s={self.timeout_s} and max_mb={self.max_mb} must be above 0.")

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"http {self.url}"

    def stamp(self, place: Place) -> str:
        """By the etag, or the time of change and the length, without the body. A server that tells neither is taken to have something new each time."""
        return digest(self.url, self._exchange().mark() or f"unknown {time.time_ns()}")

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """With `since`: nothing when the file is the same, else all of it."""
        exchange = self._exchange()

        def find() -> list[Item]:
            return [Item(self.url, exchange.mark() if since else "")]

        return Downloads(self.describe(), find, exchange.fetch, self, since=since).extract

    def pairs(self) -> tuple[tuple[str, str], ...]:
        return self.headers  # type: ignore[return-value]  # made so in __post_init__

    def _exchange(self) -> Exchange:
        from everloop.data.sources.exchange import Exchange

        return Exchange(self.url, self.pairs(), format=self.format, timeout_s=self.timeout_s, most_bytes=self.max_mb * 1_000_000)
