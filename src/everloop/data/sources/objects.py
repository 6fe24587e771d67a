"""Objects in a bucket -> one table."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

from everloop.core.digest import digest
from everloop.core.errors import BadInput, EverloopError, NotFound
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.data.sources.formats import format_of
from everloop.data.sources.remote import Downloads, Fetched, Item, Moved, Sink, Written
from everloop.data.sources.retry import Transient, patiently

_PIECE_BYTES = 4 << 20
_SCHEMES = {
    "s3": ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (with temporary ones AWS_SESSION_TOKEN) and AWS_REGION", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT (a key file) or GOOGLE_APPLICATION_CREDENTIALS", "the network"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN)", "AZURE_STORAGE_ENDPOINT"),
}
_ALSO = {"gcs": "gs", "s3a": "s3", "abfs": "az", "abfss": "az", "azure": "az", "adl": "az"}
_MAGIC = re.compile(r"[*?\[]")
_DENIED = re.compile(
    r"(?i)InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|TokenRefreshRequired|InvalidToken|AccessDenied|AuthenticationFailed|AuthorizationFailure"
    r"|Unauthorized|Forbidden|status\D{0,12}40[13]\b|credential|permission"
)


class Objects(Written, frozen=True):
    """Objects that match a URL: `s3://bucket/rides/*.parquet`, `gs://…`, `az://container/…`, with `**` for folders in between; in order of their names.

    Formats and the other settings are those of `Files`. Credentials, region and endpoint are those that the environment names for the provider's
    own tools (`AWS_ACCESS_KEY_ID` and the like); a public bucket needs none: `anonymous=True`.
    """

    url: str
    anonymous: bool = False
    max_mb: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        scheme, found, rest = self.url.partition("://")
        if not found or _ALSO.get(scheme, scheme) not in _SCHEMES:
            other = {"http": " That is read by Http(…).", "https": " That is read by Http(…).", "file": " That is read by Files(…)."}
            raise BadInput(f"Objects reads s3://, gs:// and az:// URLs, such as s3://bucket/rides/*.parquet.{other.get(scheme, '')}")
        bucket, _, key = rest.partition("/")
        if "@" in bucket or ":" in bucket or ("?" in rest and "=" in rest):
            # A wildcard has no "=" behind it, a signature always has.
            raise BadInput(
                "Objects: the URL holds more than bucket and names. Credentials come from the environment: "
                + _SCHEMES[_ALSO.get(scheme, scheme)][0]
                + "."
            )
        if not bucket:
            raise BadInput(f"Objects({self.url!r}) names no bucket. Expected {scheme}://bucket/rides/*.parquet.")
        if not key or key.endswith("/"):
            raise BadInput(f"Objects({self.url!r}) is a folder. Say which objects in it: {self.url.rstrip('/')}/*.parquet.")
        if ".." in key.split("/") or "\0" in key:
            raise BadInput(f"Objects({self.url!r}): names in a bucket have no '..'.")
        if self.max_mb <= 0:
            raise BadInput(f"max_mb={self.max_mb} must be above 0.")

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"objects {self.url}"

    def stamp(self, place: Place) -> str:
        """Names, etags, sizes and versions; nothing is read but the listing."""
        return digest(self.url, [[entry.key, entry.mark] for entry in Bucket(self).listed()])

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """With `since`: objects that are new; everything when one was changed since, or is gone."""
        bucket = Bucket(self)
        return Downloads(self.describe(), bucket.items, bucket.fetch, self, since=since).extract


class Entry(NamedTuple):
    key: str
    mark: str
    size: int


class Bucket:
    """The store behind the URL, and what is in it under the pattern."""

    def __init__(self, source: Objects) -> None:
        self.source = source
        scheme, _, rest = source.url.partition("://")
        self.bucket, _, self.pattern = rest.partition("/")
        self.root = f"{scheme}://{self.bucket}"
        self.kind = _ALSO.get(scheme, scheme)
        self.entries: dict[str, Entry] = {}

    @cached_property
    def store(self) -> Any:
        from obstore.store import from_url

        # The library waits for minutes by itself; we try again where we can say so.
        patience: Any = {
            "max_retries": 3,
            "retry_timeout": timedelta(seconds=20),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2},
        }
        settings: Any = {"skip_signature": True} if self.source.anonymous else {}
        # By itself it would give up on an object that takes half a minute.
        options: Any = {"connect_timeout": "10 seconds", "timeout": "2 hours", "allow_http": _plain_http()}
        try:
            return from_url(self.root, retry_config=patience, client_options=options, **settings)
        except Exception as error:
            raise BadInput(
                f"{self.root} cannot be opened: {_first(error)}. Expected {_SCHEMES[self.kind][0]} in the environment."
            ) from None

    def items(self) -> list[Item]:
        self.entries = {entry.key: entry for entry in self.listed()}
        return [Item(f"{self.root}/{entry.key}", entry.mark, self._format(entry.key)) for entry in self.entries.values()]

    def listed(self) -> list[Entry]:
        """In order of the names. NotFound, with what is there, when nothing matches."""
        return patiently(lambda: self._guarded(self._list))

    def _list(self) -> list[Entry]:
        import obstore

        if not _MAGIC.search(self.pattern):
            try:
                return [_entry(obstore.head(self.store, self.pattern))]
            except FileNotFoundError:
                # A listing tells whether there is a bucket, and what is in it.
                pass
        folder = _MAGIC.split(self.pattern)[0].rpartition("/")[0]
        match = pattern(self.pattern)
        seen, found = 0, list[Entry]()
        near: list[str] = []
        for page in obstore.list(self.store, prefix=folder or None, chunk_size=1000):
            for meta in page:
                seen += 1
                if match.fullmatch(meta["path"]) and not meta["path"].endswith("/"):
                    found.append(_entry(meta))
                elif len(near) < 8:
                    near.append(meta["path"])
        if not found:
            there = f" There: {', '.join(near)}{' …' if seen > len(near) else ''}." if near else f" Nothing is under {self.root}/{folder}."
            raise NotFound(f"No object matches {self.source.url}.{there}")
        return sorted(found)

    def fetch(self, item: Item) -> Fetched:
        """Into a temporary file. Moved when it is another one than was listed."""
        entry = self.entries[item.name.removeprefix(f"{self.root}/")]
        sink = Sink(item.name, most_bytes=self.source.max_mb * 1_000_000)
        sink.expect(entry.size)
        try:
            patiently(lambda: self._guarded(lambda: self._download(entry, sink)))
            return sink.fetched(item)
        except BaseException:
            sink.file.close()
            raise

    def _download(self, entry: Entry, sink: Sink) -> None:
        import obstore
        from obstore.exceptions import PreconditionError

        sink.again()
        try:
            got = obstore.get(self.store, entry.key)
            if _entry(got.meta).mark != entry.mark:
                raise Moved
            for piece in got.stream(min_chunk_size=_PIECE_BYTES):
                sink.write(bytes(piece))
        except (PreconditionError, FileNotFoundError):
            raise Moved from None
        if sink.size != entry.size:
            raise Transient(f"Of {sink.name} {sink.size:,} bytes came, not {entry.size:,}")

    def _guarded(self, call: Any) -> Any:
        """The call, whose errors are ours. What the library says is let go: it may hold requests with signatures."""
        from obstore.exceptions import BaseError

        raised: Exception
        try:
            return call()
        except (EverloopError, Transient, Moved):
            raise
        except (BaseError, OSError, ValueError) as error:
            raised = self._error(error)
        raise raised

    def _error(self, error: Exception) -> Exception:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        said = str(error)
        names, place = _SCHEMES[self.kind]
        if re.search("NoSuchBucket|ContainerNotFound|bucket does not exist", said):
            return NotFound(f"There is no bucket {self.root}. Check its name, the region and the account.")
        if isinstance(error, FileNotFoundError):
            return NotFound(
                f"{self.source.url} is not there. Check the name; with a wildcard, such as {self.root}/*.parquet, the error lists what is."
            )
        if "169.254." in said or "metadata.google" in said:
            # Without credentials the library asks the cloud's machine that it might run on.
            return BadInput(f"There are no credentials for {self.root}. Set {names}; for a public bucket say Objects(…, anonymous=True).")
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(said):
            code = re.search(r"<Code>(\w+)</Code>", said)
            told = f" ({code[1]})" if code else ""
            expired = " They have expired: renew them." if code and "Expired" in code[1] else ""
            return BadInput(
                f"{self.root} does not let us in{told}.{expired} Set {names}; for a public bucket say Objects(…, anonymous=True). "
                "If they are set, give them the right to list the bucket and to get its objects."
            )
        return Transient(f"{self.root} does not answer as it should ({_first(error)}); look at {place}")

    def _format(self, key: str) -> str:
        return self.source.format or format_of(key)


def pattern(text: str) -> re.Pattern[str]:
    """A wildcard as files have it: `*` and `?` stay within a name, `**` is any folders, `[a-c]` a character."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "*":
            stars = len(text) - at - len(text[at:].lstrip("*"))
            # As part of a name two stars are no more than one.
            folders = stars == 2 and text[at - 1 : at] in ("", "/") and text[at + 2 : at + 3] in ("", "/")
            below = folders and text[at + 2 : at + 3] == "/"
            parts.append("(?:[^/]+/)*" if below else ".*" if folders else "[^/]*")
            at += stars + below
        elif text[at] == "?":
            parts.append("[^/]")
            at += 1
        elif text[at] == "[" and (end := text.find("]", at + 2)) > 0:
            inside = text[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            parts.append(
                f"[{'^' + inside[1:] if inside[0] == '!' else inside.replace('^', chr(92) + '^', 1) if inside[0] == '^' else inside}]"
            )
            at = end + 1
        else:
            parts.append(re.escape(text[at]))
            at += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        raise BadInput(f"{text!r} is no pattern that can be understood. Expected one such as rides/*.parquet.") from None


def _plain_http() -> bool:
    """As the provider's settings in the environment say, which the library leaves aside when it is given others."""
    return any(os.environ.get(f"{provider}_ALLOW_HTTP", "").lower() in ("true", "1") for provider in ("AWS", "AZURE", "GOOGLE"))


def _entry(meta: Any) -> Entry:
    """Known by what a listing and an answer both tell: not by the version, which only answers have, nor by the quotes, which Azure's listings lack."""
    etag = str(meta.get("e_tag") or "").removeprefix("W/").strip('"')
    return Entry(meta["path"], f"{etag or meta['last_modified'].strftime('%Y-%m-%dT%H:%M:%S')} {meta['size']}", int(meta["size"]))


def _first(error: Exception) -> str:
    """The first sentence of what the library says, without addresses: these may be signed."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"\?\S*", "?…", said)[:200].rstrip(". ")
