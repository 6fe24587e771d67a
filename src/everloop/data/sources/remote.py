"""Files that lie elsewhere: fetched one after the other, then read as local ones are; and what of them is new since an earlier reading."""

from __future__ import annotations

import errno
import hashlib
import tempfile
import time as clock
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Broken, Busy
from everloop.core.ports import Extract, Restart
from everloop.core.tables import Origin
from everloop.data.sources.steady import BLOCK_BYTES

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.parse import Form, Memory

_TRIES = 4
_PAUSE_S = 0.1
# Of what had to be read a second time, so much is kept at hand rather than fetched again.
_KEPT_BYTES = 8 << 30


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """How files are written, as `Files` takes it."""

    time: str | None = None
    format: str | None = None
    missing: tuple[str, ...] = ()
    encoding: str | None = None
    separator: str | None = None
    quotes: bool | None = None
    columns: tuple[str, ...] = ()
    sheet: str | int | None = None

    def __post_init__(self) -> None:
        for name in ("missing", "columns"):
            given = getattr(self, name)
            msgspec.structs.force_setattr(self, name, (given,) if isinstance(given, str) else tuple(given))
        self.form_of("")

    def form_of(self, name: str, format: str | None = None) -> Form:
        """The form of a file of that name. BadInput when what was declared makes no sense."""
        from everloop.data.sources.files import Files

        found = Files(
            name,
            format=self.format or format,
            missing=self.missing,
            encoding=self.encoding,
            separator=self.separator,
            quotes=self.quotes,
            columns=self.columns,
            sheet=self.sheet,
        )
        return found._form()  # pyright: ignore[reportPrivateUsage]  # of the same house

    def way(self) -> str:
        """Rows that were read in another way are not what the same file gives now."""
        fields = (self.format, self.missing, self.encoding, self.separator, self.quotes, self.columns, self.sheet, self.time)
        return digest(fields)[:16]


class Item(NamedTuple):
    """A file elsewhere. `mark` changes whenever it does (an etag, say); empty when nothing tells. `format` is what the other side says it is."""

    name: str
    mark: str
    format: str | None = None


class Moved(Exception):
    """The file is not any more what was asked for: changed, or gone."""


class Fetched(NamedTuple):
    item: Item
    file: BinaryIO
    sha256: str
    size: int


class Sink:
    """Where a file is fetched to: hashed on the way, and given up when it is too large."""

    def __init__(self, name: str, *, most_bytes: int) -> None:
        self.name, self.most_bytes = name, most_bytes
        self.file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  # handed on
        self.again()

    def again(self) -> None:
        """Begin from the first byte."""
        self.file.seek(0)
        self.file.truncate()
        self.size = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.expect(self.size + len(data))
        try:
            self.file.write(data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Broken(
                f"{self.name} needs more room than {tempfile.gettempdir()} has. Free some space, or set TMPDIR to another folder."
            ) from error
        self._hash.update(data)
        self.size += len(data)

    def expect(self, size: int) -> None:
        if size > self.most_bytes:
            raise BadInput(
                f"{self.name} has more than {self.most_bytes / 1e6:,.0f} MB. If that is right, raise max_mb; nothing of it was taken."
            )

    def fetched(self, item: Item) -> Fetched:
        self.file.flush()
        return Fetched(item, self.file, self._hash.hexdigest(), self.size)


class Downloads:
    """One reading of files elsewhere, however often it begins again.

    `find` lists them in the order in which they are read; `fetch` brings one, and raises Moved when it is no longer the one that was listed.
    """

    def __init__(
        self,
        said: str,
        find: Callable[[], list[Item]],
        fetch: Callable[[Item], Fetched],
        written: Written,
        *,
        since: Sequence[Origin],
    ) -> None:
        self.said, self.find, self.fetch, self.written = said, find, fetch, written
        self.way = written.way()
        self.memories: dict[str, Memory] = {}
        self.kept: dict[str, Fetched] = {}
        self.changes = self.surprises = 0
        self.known = {str(origin["locator"]): origin for origin in since} if self._comparable(since) else {}
        self.extract = Extract(self.batches, whole=not self.known)

    def batches(self) -> Iterator[pl.DataFrame]:
        from everloop.data.sources.parse import Memory
        from everloop.data.sources.reading import one_case
        from everloop.data.sources.times import TimeColumn

        self.extract.origins.clear()
        items = self.find()
        if not self.known.keys() <= {item.name for item in items}:
            self._all_anew()
        column = self.written.time
        time = TimeColumn(column) if column is not None else None
        names: dict[str, tuple[str, str]] = {}
        wrong = False
        for item in items:
            old = self.known.get(item.name)
            memory = self.memories.setdefault(item.name, Memory())
            if old is not None and item.mark and item.mark == old.get("mark"):
                self.extract.origins.append(dict(old))
                continue
            row = 1
            for table in self._tables(item, old, memory):
                one_case(table.columns, names, item.name)
                if time is not None and row == 1 and not time.found and column not in table.columns and len(items) == 1:
                    raise time.absent(table.columns, self.said)
                first_row, row = row, row + table.height
                wrong = wrong or memory.wrong
                if not wrong:
                    yield time.parse(table, where=item.name, first_row=first_row) if time is not None else table
            wrong = wrong or memory.wrong
        if wrong:
            self.surprises += 1
            if self.surprises >= _TRIES:
                raise Busy(f"Columns in {self.said} had other types at each reading. Wait until its writer is done, and run again.")
            raise Restart
        self._drop_kept()
        if self.extract.whole and not any(origin["rows"] for origin in self.extract.origins):
            raise BadInput(f"{self.said} holds no rows: {items[0].name} has at most a header.")
        if time is not None and names and not time.found:
            raise time.absent([column for column, _ in names.values()], self.said)

    def _tables(self, item: Item, old: Origin | None, memory: Memory) -> Iterator[pl.DataFrame]:
        """The tables of one file; its origin is noted at the end."""
        from everloop.data.sources.parse import tables

        got = self._got(item)
        stays = False
        try:
            if old is not None:
                if old["sha256"] != got.sha256:
                    stays = True
                    self._all_anew()
                self.extract.origins.append({**old, "mark": got.item.mark})
                return
            got.file.seek(0)
            rows = 0
            blocks = iter(lambda: got.file.read(BLOCK_BYTES), b"")
            form = self.written.form_of(item.name, got.item.format)
            # What is made ahead reads from the file until it is closed.
            with closing(tables(blocks, name=item.name, form=form, memory=memory, file=got.file)) as found:
                for table in found:
                    rows += table.height
                    yield table
            self.extract.origins.append(
                {
                    "locator": item.name,
                    "sha256": got.sha256,
                    "rows": rows,
                    "size": got.size,
                    "mark": got.item.mark,
                    "way": self.way,
                }
            )
        finally:
            room = _KEPT_BYTES - sum(kept.size for name, kept in self.kept.items() if name != item.name)
            if (stays or memory.wrong) and got.size <= room:
                self.kept[item.name] = got
            else:
                got.file.close()

    def _got(self, item: Item) -> Fetched:
        kept = self.kept.pop(item.name, None)
        if kept is not None and item.mark in (kept.item.mark, ""):
            return kept
        if kept is not None:
            kept.file.close()
        try:
            return self.fetch(item)
        except Moved:
            self.changes += 1
            if self.changes >= _TRIES:
                raise Busy(
                    f"{self.said} kept changing while it was read ({_TRIES} tries). Wait until its writer is done, and run again."
                ) from None
            self.memories.clear()
            clock.sleep(_PAUSE_S)
            raise Restart from None

    def _comparable(self, since: Sequence[Origin]) -> bool:
        """Whether all that was read before is still there, and nothing tells that it is another. Without marks only its bytes can tell."""
        if not since or any(origin.get("way") != self.way for origin in since):
            return False
        now = {item.name: item.mark for item in self.find()}
        return all(
            now.get(str(origin["locator"])) is not None and now[str(origin["locator"])] in ("", origin.get("mark")) for origin in since
        )

    def _all_anew(self) -> None:
        self.known, self.extract.whole = {}, True
        self.memories.clear()
        raise Restart

    def _drop_kept(self) -> None:
        for kept in self.kept.values():
            kept.file.close()
        self.kept.clear()
