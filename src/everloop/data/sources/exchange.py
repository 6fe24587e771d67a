"""What is said between us and an HTTP server: a file's mark, and its bytes."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx

from everloop.core.errors import BadInput, EverloopError, NotFound
from everloop.data.sources.formats import FORMATS, format_of
from everloop.data.sources.remote import Fetched, Item, Sink
from everloop.data.sources.retry import Transient, patiently
from everloop.data.sources.secrets import is_named, named_in, resolved, scrubbed, secrets_of

_REDIRECTS = 5
_CONNECT_S = 10.0
_MEDIA_TYPES = {
    "text/csv": "csv", "application/csv": "csv", "text/tab-separated-values": "tsv", "application/json": "json",
    "application/x-ndjson": "jsonl", "application/jsonl": "jsonl", "application/x-jsonlines": "jsonl",
    "application/vnd.apache.parquet": "parquet", "application/x-parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow", "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "excel", "application/vnd.ms-excel": "excel",
}  # fmt: skip
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")


class Exchange:
    """What is said between us and the server."""

    def __init__(self, said: str, headers: Sequence[tuple[str, str]], *, format: str | None, timeout_s: float, most_bytes: int) -> None:
        """`said` is the URL as it was declared, which names a variable of the environment where it holds secrets; so do `headers`."""
        self.said, self.headers, self.format = said, headers, format
        self.timeout_s, self.most_bytes = timeout_s, most_bytes
        self._of = f"http {said}"

    @cached_property
    def url(self) -> httpx.URL:
        url = resolved(self.said, of=self._of)
        try:
            found = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            raise BadInput(f"{self.said} is no URL that can be asked. Expected one such as https://host/table.csv.") from None
        if found.scheme not in ("http", "https") or not found.host:
            raise BadInput(f"{self.said} is no http:// or https:// URL.")
        return found

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        of = self._of
        values = [resolved(value, of=of) for _, value in self.headers if named_in(value)]
        url = secrets_of(resolved(self.said, of=of)) if is_named(self.said) else ()
        return (*url, *values, *(word for value in values for word in value.split()))

    def mark(self) -> str:
        """What changes when the file does, by HEAD, or by the first lines of an answer where the server knows no HEAD. Empty when it does not tell."""

        def attempt() -> str:
            try:
                with self._answer("HEAD") as response:
                    return _mark(response)
            except _NoHead:
                with self._answer("GET") as response:
                    return _mark(response)

        return patiently(attempt)

    def fetch(self, item: Item) -> Fetched:
        """Into a temporary file, going on where a connection broke if the server can, and from the beginning else."""
        sink = Sink(self.said, most_bytes=self.most_bytes)
        begun: dict[str, str] = {}

        def attempt() -> Item:
            more = {"Range": f"bytes={sink.size}-", "If-Range": begun["validator"]} if sink.size and begun.get("validator") else {}
            with self._answer("GET", more) as response:
                if not (response.status_code == 206 and response.headers.get("content-range", "").startswith(f"bytes {sink.size}-")):
                    sink.again()
                    begun.update(mark=_mark(response), validator=_validator(response), type=response.headers.get("content-type", ""))
                self._refuse_encoded(response)
                length = response.headers.get("content-length", "")
                if length.isdigit():
                    sink.expect(sink.size + int(length))
                for piece in response.iter_raw():
                    sink.write(piece)
            return Item(item.name, begun["mark"], self._format(begun["type"]))

        try:
            found = sink.fetched(patiently(attempt))
            self._refuse_page(found, begun["type"])
            return found
        except BaseException:
            sink.file.close()
            raise

    @contextmanager
    def _answer(self, method: str, more: Mapping[str, str] | None = None) -> Generator[httpx.Response]:
        """A good answer, its body not yet read. Transient, or the error for a person, for any other."""
        # Compressed on the way, the length would not be the file's; and whoever is asked must not say it in a log.
        headers = {"accept-encoding": "identity", "user-agent": "everloop", **(more or {})}
        timeout = httpx.Timeout(self.timeout_s, connect=min(_CONNECT_S, self.timeout_s))
        failed: str = ""
        after: BaseException | None = None
        with _unlogged():
            try:
                with httpx.Client(timeout=timeout, headers=headers, follow_redirects=False) as client:
                    response = self._followed(client, method)
                    try:
                        self._refuse(response, method)
                        yield response
                    finally:
                        response.close()
                return
            except httpx.TimeoutException as error:
                failed = f"{self.said} did not answer for {self.timeout_s:g} s"
                if isinstance(error, httpx.ConnectTimeout):
                    failed = f"{self.said}: {self.url.host} did not take the connection within {timeout.connect:g} s"
            except httpx.ConnectError as error:
                # A certificate stays wrong.
                after = BadInput(f"{self.said}: {self._clean(error)}.") if "certificate" in str(error).lower() else None
                failed = f"{self.said}: no server answers at {self.url.host} ({self._clean(error)})"
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.ProxyError) as error:
                failed = f"{self.said}: the connection broke before all was there ({self._clean(error)})"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                after = BadInput(f"{self.said} cannot be asked: {self._clean(error)}.")
        # Outside of the handlers: what the library says may hold what nobody should read.
        raise after or Transient(failed)

    def _followed(self, client: httpx.Client, method: str) -> httpx.Response:
        of = self._of
        own = {name: resolved(value, of=of) for name, value in self.headers}
        url, auth = self.url.copy_with(userinfo=b""), (self.url.username, self.url.password) if self.url.userinfo else None
        for _ in range(_REDIRECTS + 1):
            home = _same_host(url, self.url)
            request: Any = client.build_request(method, url, headers=own if home else None)
            response = client.send(request, stream=True, auth=auth if home and auth else None)
            if not response.has_redirect_location:
                return response
            response.close()
            to = url.join(response.headers["location"])
            if to.scheme not in ("http", "https") or (url.scheme == "https" and to.scheme == "http"):
                raise BadInput(
                    f"{self.said} redirects from {url.scheme}:// to {to.scheme}://{to.host}, where anybody could read along or answer. Not followed."
                )
            if to.userinfo:
                to = to.copy_with(userinfo=b"")
            url = to
        raise BadInput(f"{self.said} redirects more than {_REDIRECTS} times; the last time to {url.host}. Give the URL where the file is.")

    def _refuse(self, response: httpx.Response, method: str) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if method == "HEAD" and status in (400, 403, 404, 405, 501):
            raise _NoHead
        raise self._refusal(status, response)

    def _refusal(self, status: int, response: httpx.Response) -> EverloopError | Transient:
        said = f"{self.said} answers {status} {response.reason_phrase}".rstrip()
        if status in _TRANSIENT:
            return Transient(said, after_s=retry_after_s(response.headers.get("retry-after", ""), now=time.time()))
        if status in (401, 403, 407):
            names = named_in(self.said, *(value for _, value in self.headers))
            hint = (
                f"Look at {', '.join(names)}: expired, or without the right to read this?"
                if names
                else "If it needs a token, give it by name: headers={'Authorization': 'Bearer env:NAME'}."
            )
            return BadInput(f"{said}: it does not let us in. {hint}")
        if status in (404, 410):
            return NotFound(f"{said}: there is nothing. Check the URL.")
        if status == 416:
            # What was fetched so far is longer than the file is now.
            return Transient(said)
        return BadInput(f"{said}. Expected 200 and the file.")

    def _refuse_encoded(self, response: httpx.Response) -> None:
        found = response.headers.get("content-encoding", "identity").lower()
        if found not in ("identity", "gzip", "x-gzip", "zstd"):
            raise BadInput(
                f"{self.said} is sent as {found!r} although it was asked for as it is. Let the server send it plain, or packed by gzip."
            )

    def _refuse_page(self, found: Fetched, content_type: str) -> None:
        """Scripts that forget the type of their tables say text/html as well; a page begins as one."""
        found.file.seek(0)
        if _media_type(content_type) == "text/html" and found.file.read(1024).lstrip().startswith(b"<"):
            raise BadInput(f"{self.said} answers with a web page, not a table. Is it a page to log in at, or one that links to the file?")

    def _by_name(self) -> str | None:
        try:
            return format_of(urlsplit(str(self.url)).path)
        except BadInput:
            return None

    def _format(self, content_type: str) -> str:
        if self.format:
            return self.format
        found = self._by_name() or _MEDIA_TYPES.get(_media_type(content_type))
        if found is None:
            raise BadInput(
                f"Neither {self.said} nor its Content-Type ({content_type or 'none'}) tells the format. "
                f"Say which: format='csv'. Known: {', '.join(sorted(set(FORMATS.values())))}."
            )
        return found

    def _clean(self, error: BaseException) -> str:
        return scrubbed(str(error) or type(error).__name__, self.secrets).rstrip(".")


class _NoHead(Exception):
    """The server does not answer HEAD, as presigned URLs and small servers do not."""


def retry_after_s(value: str, *, now: float) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    value = value.strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None


def _mark(response: httpx.Response) -> str:
    """An etag, else the time of change with the length; empty when there is neither."""
    etag = response.headers.get("etag", "")
    if etag:
        return f"etag {etag}"
    changed = response.headers.get("last-modified", "")
    length = response.headers.get("content-length", "") if response.status_code != 206 else ""
    return f"modified {changed} {length}" if changed else ""


def _validator(response: httpx.Response) -> str:
    """RFC 9110, 13.1.5: only a strong etag proves that two parts are of one file."""
    etag = response.headers.get("etag", "")
    return "" if etag.startswith("W/") or response.headers.get("accept-ranges", "") != "bytes" else etag


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _same_host(url: httpx.URL, first: httpx.URL) -> bool:
    """Whether what opens doors at `first` may be shown at `url`: the same host, at the same port or by the safer scheme."""
    if url.host != first.host:
        return False
    return (url.scheme, url.port) == (first.scheme, first.port) or (first.scheme == "http" and url.scheme == "https" and first.port is None)


@contextmanager
def _unlogged() -> Generator[None]:
    """URLs and headers are logged by the library, and some of them open doors."""
    own = threading.get_ident()
    loggers = [logging.getLogger(name) for name in _LOGGERS]

    def others(record: logging.LogRecord) -> bool:
        return record.thread != own

    for logger in loggers:
        logger.addFilter(others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(others)
