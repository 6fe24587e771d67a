"""A Delta table -> one table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy, EverloopError, Missing, NotFound
from everloop.core.ports import BATCH_BYTES, Extract, Place, Restart, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.data.sources.retry import Transient, patiently, translated
from everloop.data.sources.secrets import refuse_secret

if TYPE_CHECKING:
    import polars as pl

_TRIES = 4
_ROWS = 1 << 16
_DENIED = re.compile(
    r"(?i)InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|AccessDenied|AuthenticationFailed|\b40[13]\b|credential|169\.254\."
)


class _Path(msgspec.Struct, frozen=True):
    path: str


class Delta(_Path, frozen=True, kw_only=True):
    """A Delta Lake table: its folder (relative to the project), or its URL (`s3://bucket/rides`, `gs://…`, `az://…`). Needs `everloop[delta]`.

    `version` is a number, or a time (`"2026-11-20"`) as of which the table is read; without it, its newest version. Rows come file by file, the
    oldest first. Credentials are those that the environment names for the provider's own tools.
    """

    version: int | str | None = None

    def __post_init__(self) -> None:
        refuse_secret(self.path, of="Delta")
        if isinstance(self.version, str):
            msgspec.structs.force_setattr(self, "version", _as_time(self.version))
        elif self.version is not None and (isinstance(self.version, bool) or self.version < 0):
            raise BadInput(f"version={self.version!r} is no version of a table. Expected a number from 0, or a time such as '2026-11-20'.")

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        at = "" if self.version is None else f" as of {self.version}" if isinstance(self.version, str) else f" version {self.version}"
        return f"delta {self.path}{at}"

    def stamp(self, place: Place) -> str:
        """The table's id and version, from its log."""
        table = self.open(place)
        return digest(table.metadata().id, table.version())

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """With `since`: the rows of files that were added, when none was removed or rewritten since."""
        reading = _Reading(self, place, since)
        return reading.extract

    def open(self, place: Place, version: int | None = None) -> Any:
        """NotFound without such a table or version, BadInput where we are not let in, Busy when the store does not answer."""
        try:
            from deltalake import DeltaTable
        except ImportError:
            raise Missing("Delta needs the library deltalake. Install it: pip install 'everloop[delta]'") from None
        where = self.path if "://" in self.path else str(place.project / Path(self.path))
        wanted = self.version if version is None else version

        def attempt() -> Any:
            table = self._guarded(lambda: DeltaTable(where, version=wanted if isinstance(wanted, int) else None))
            if isinstance(wanted, str):
                self._guarded(lambda: table.load_as_version(wanted))
                self._refuse_too_early(table, wanted)
            return table

        return patiently(attempt)

    def _refuse_too_early(self, table: Any, wanted: str) -> None:
        """The library gives the first version for a time before it."""
        from datetime import datetime

        first = table.history()[-1].get("timestamp")
        if table.version() == 0 and first is not None and first / 1000 > datetime.fromisoformat(wanted).timestamp():
            raise NotFound(f"{self.describe()}: the table was not there yet. Its first version is of {_time(first)}.")

    def _guarded(self, call: Any) -> Any:
        """The call, whose errors are ours; what the library says may hold more than people should read."""
        return translated(call, self.said)

    def said(self, error: Exception) -> Exception:
        kind, said = type(error).__name__, str(error)
        first = re.sub(r"\?\S*", "?…", (said.splitlines() or [kind])[0])[:200].rstrip(". ")
        if "version" in said.lower() and self.version is not None and kind != "TableNotFoundError":
            return NotFound(f"{self.describe()} is not there ({first}). Leave out version= for the newest one.")
        if "://" in self.path and _DENIED.search(said):
            return BadInput(
                f"{self.describe()}: the store does not let us in. Set the credentials in the environment, such as AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_REGION, with the right to list and to read."
            )
        if (
            kind == "TableNotFoundError"
            or isinstance(error, FileNotFoundError)
            or "NoSuchBucket" in said
            or re.search("No files in log segment|Invalid table location", said)
        ):
            return NotFound(f"{self.describe()} is no Delta table: there is no log in {self.path}/_delta_log. Check the path.")
        if "://" in self.path and re.search("(?i)error sending request|timed? ?out|connection|50[0234]", said):
            return Transient(f"{self.describe()}: the store does not answer as it should ({first})")
        return BadInput(f"{self.describe()} cannot be read: {first}.")


class _File(NamedTuple):
    """In the order of reading."""

    at: int
    path: str
    size: int
    rows: int


class _Reading:
    def __init__(self, source: Delta, place: Place, since: Sequence[Origin]) -> None:
        self.source, self.place = source, place
        self.tries = 0
        self.table: Any = source.open(place)
        self.old = since[0] if len(since) == 1 and "version" in since[0] else None
        self.before: set[_File] = self._before() if self.old is not None else set()
        self.extract = Extract(self.batches, whole=self.old is None)

    def batches(self) -> Iterator[pl.DataFrame]:
        from deltalake.exceptions import DeltaError

        self.extract.origins.clear()
        files = _files(self.table)
        rows = int(self.old["rows"]) if self.old is not None else 0
        try:
            for table in self._tables([file for file in files if file not in self.before]):
                rows += table.height
                yield table
        except (FileNotFoundError, OSError, DeltaError) as error:
            failed = self._vanished(error)
        else:
            if self.extract.whole and not rows:
                raise BadInput(f"{self.source.describe()} holds no rows.")
            self.extract.origins.append(
                {
                    "locator": self.source.describe(),
                    "sha256": hashlib.sha256(msgspec.json.encode(sorted(files))).hexdigest(),
                    "rows": rows,
                    "table": self.table.metadata().id,
                    "version": self.table.version(),
                }
            )
            return
        raise failed

    def _tables(self, files: list[_File]) -> Iterator[pl.DataFrame]:
        if not files:
            return
        if _plain(self.table):
            yield from self._by_file(files)
        else:
            yield from _by_query(self.table)

    def _by_file(self, files: list[_File]) -> Iterator[pl.DataFrame]:
        dataset = self.table.to_pyarrow_dataset()
        fragments = {fragment.path: fragment for fragment in dataset.get_fragments()}
        for file in files:
            per_row = max(1, 4 * file.size // max(1, file.rows))
            batches = fragments[file.path].to_batches(
                schema=dataset.schema,
                batch_size=max(1, min(_ROWS, BATCH_BYTES // per_row)),
                batch_readahead=1,
                use_threads=False,
            )
            yield from _frames(batches)

    def _vanished(self, error: Exception) -> Exception:
        """A file that the log names is gone: somebody cleans up what is not of the newest version. That one may be read."""
        self.tries += 1
        gone = isinstance(error, FileNotFoundError) or re.search("(?i)not found|no such file", str(error))
        if not gone:
            found = self.source.said(error)
            return Busy(f"{found}. Run again later.") if isinstance(found, Transient) else found
        if self.source.version is None and self.tries < _TRIES:
            newest = self.source.open(self.place)
            if newest.version() != self.table.version():
                self.table, self.old, self.before, self.extract.whole = newest, None, set(), True
                return Restart()
        return NotFound(
            f"{self.source.describe()}: a file of version {self.table.version()} is gone, as after VACUUM. Read a newer version, or restore the table."
        )

    def _before(self) -> set[_File]:
        """The files that were read before; None are when rows of them may be other ones or gone."""
        old, self.old = self.old, None
        assert old is not None
        if old.get("table") != self.table.metadata().id or not _plain(self.table):
            return set()
        try:
            past = self.table if old["version"] == self.table.version() else self.source.open(self.place, int(old["version"]))
        except EverloopError:
            # Its log was cleaned up.
            return set()
        was, now = set(_files(past)), set(_files(self.table))
        if not was <= now or not _continued(past, self.table):
            return set()
        self.old = old
        return was


def _files(table: Any) -> list[_File]:
    adds: list[dict[str, Any]] = (
        _arrow().table(table.get_add_actions(flatten=True)).select(["path", "size_bytes", "modification_time", "num_records"]).to_pylist()
    )
    return sorted(_File(add["modification_time"], add["path"], add["size_bytes"], add["num_records"] or 0) for add in adds)


def _plain(table: Any) -> bool:
    """Whether a row is in the table because it is in one of its files, under the same names."""
    return not {"deletionVectors", "columnMapping"} & set(table.protocol().reader_features or ())


def _continued(past: Any, table: Any) -> bool:
    """Whether old rows are still the same under the new schema: columns may only have been added."""
    was = {field.name: str(field.type) for field in past.schema().fields}
    now = {field.name: str(field.type) for field in table.schema().fields}
    return all(now.get(name) == kind for name, kind in was.items())


def _by_query(table: Any) -> Iterator[pl.DataFrame]:
    """Where rows were deleted apart from their files, or columns renamed. In one partition, so that files come in order."""
    from deltalake import QueryBuilder

    query = QueryBuilder()
    list(query.execute("SET datafusion.execution.target_partitions = 1"))
    query.register("rows", table)
    yield from _frames(_arrow().RecordBatchReader.from_stream(query.execute("select * from rows")))


def _frames(batches: Any) -> Iterator[pl.DataFrame]:
    import polars as pl

    from everloop.data.sources.columnar import sliced

    for batch in batches:
        if batch.num_rows:
            found = pl.from_arrow(_arrow().Table.from_batches([batch]))  # pyright: ignore[reportUnknownMemberType]
            assert isinstance(found, pl.DataFrame)
            yield from sliced(found)


def _arrow() -> Any:
    return import_module("pyarrow")


def _as_time(text: str) -> str:
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"version={text!r} is no time. Expected a number, or a time such as '2026-11-20' or '2026-11-20T18:30:00+00:00'."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _time(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
