"""Files of pictures or sound -> one row a file: its path, its bytes, what its header says, and labels read off its path."""

from __future__ import annotations

import glob
import hashlib
import re
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import BATCH_BYTES, Extract, Place, Restart, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.data.sources.paths import matches, relative
from everloop.data.sources.steady import Changed, Steady

if TYPE_CHECKING:
    import polars as pl

FOLDER = "folder"
_TRIES = 4
# How many broken files are named in a snapshot's provenance; the others are counted.
_NAMED = 50
# A batch of very small files ends here.
_BATCH_FILES = 20_000


class BrokenFile(BadInput):
    """A file that is not what it should be: refused, or left out with `skip_broken`."""


class _State(NamedTuple):
    """What tells a file from what it was. `since_ns` is when its inode last changed: unlike the time of its content, nobody can set it back."""

    name: str
    size: int
    mtime_ns: int
    since_ns: int


class _Seen(NamedTuple):
    """What an earlier reading noted. `digest` is that of the states of all files, of which none was younger than `until_ns`."""

    sha256: str
    rows: int
    digest: str
    until_ns: int
    skipped: int
    broken: str


class _Pattern(msgspec.Struct, frozen=True):
    pattern: str


class Media(_Pattern, frozen=True, kw_only=True):
    """`pattern` is relative to the project, as in `Files`; a folder means all files of the kind in it and below.

    `label` is "folder" (a column `label` with the name of the folder that the file lies in), None, or a regular expression with named
    groups that is searched in the path, each group a column: `r"(?P<digit>\\d)_(?P<speaker>\\w+)_"`. Files that are not whole, or larger
    than `max_mb`, are refused by name, or with `skip_broken` left out and listed in the snapshot's provenance.
    """

    label: str | None = FOLDER
    skip_broken: bool = False
    max_mb: float = 64.0

    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    facts: ClassVar[Mapping[str, type]]
    """Columns that `look` gives, with their types."""

    def __post_init__(self) -> None:
        if "://" in self.pattern:
            raise BadInput(
                f"{self.pattern!r} is a URL. {type(self).__name__} reads local files: give a folder or a pattern such as 'data/**/*'."
            )
        if not self.max_mb > 0:
            raise BadInput(f"max_mb must be more than 0, not {self.max_mb:g}.")
        if self.label in (FOLDER, None):
            return
        try:
            groups = list(re.compile(str(self.label)).groupindex)
        except re.error as error:
            raise BadInput(f"label={self.label!r} is no regular expression: {error}.") from error
        if not groups:
            raise BadInput(f"label={self.label!r} names no group. Write (?P<name>...) for each column, or 'folder' for the folder's name.")
        taken = [group for group in groups if group in ("path", "bytes", *self.facts)]
        if taken:
            raise BadInput(f"label={self.label!r}: {taken[0]!r} is a column already ({', '.join(['path', 'bytes', *self.facts])}).")

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def look(self, data: bytes, name: str) -> Mapping[str, Any]:
        """The facts of one file from its bytes. Raises BrokenFile, naming the file, when it is not whole or declares more than is allowed."""
        raise NotImplementedError

    def describe(self) -> str:
        return f"{self.kind} {self.pattern}"

    def stamp(self, place: Place) -> str:
        """Names, sizes and times of change; nothing is read."""
        return digest([list(_state(path, name)) for path, name in self._files(place)])

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """With `since`, only the files that came after it, unless one of the others changed or is gone."""
        seen = self._unchanged(place, since)
        tries = iter(range(_TRIES))
        extract = Extract(lambda: self._batches(extract, place, seen, tries), whole=seen is None)
        return extract

    def _unchanged(self, place: Place, since: Sequence[Origin]) -> _Seen | None:
        """What was read before, if it was asked in the same way and all of it is still as it was."""
        if len(since) != 1 or since[0].get("settings") != digest(self):
            return None
        noted: Any = since[0]
        skipped, broken = noted.get("skipped", 0), noted.get("broken", "")
        seen = _Seen(noted["sha256"], noted["rows"], noted["digest"], noted["until_ns"], skipped, broken)
        states = (_state(path, name) for path, name in self._files(place))
        return seen if _digest([state for state in states if state.since_ns <= seen.until_ns]) == seen.digest else None

    def _files(self, place: Place) -> list[tuple[Path, str]]:
        folder = (place.project / self.pattern).is_dir()
        found = matches(f"{glob.escape(self.pattern.rstrip('/'))}/**/*" if folder else self.pattern, place)
        if folder:
            found = [path for path in found if path.suffix.lower().removeprefix(".") in self.suffixes]
        if not found:
            kinds = ", ".join(f".{suffix}" for suffix in self.suffixes)
            raise NotFound(f"No file in {self.pattern!r} ends in {kinds}. Name another folder, or the files by a pattern.")
        return [(path, relative(path, place)) for path in found]

    def _batches(self, extract: Extract, place: Place, seen: _Seen | None, tries: Iterator[int]) -> Iterator[pl.DataFrame]:
        extract.origins.clear()
        sink = hashlib.sha256(seen.sha256.encode() if seen else b"")
        states: list[_State] = []
        broken: list[str] = []
        rows: list[dict[str, Any]] = []
        given = size = 0
        for path, name in self._files(place):
            before = _state(path, name)
            if seen is not None and before.since_ns <= seen.until_ns:
                states.append(before)
                continue
            try:
                data, sha256, state = self._bytes(path, name)
                row = self._row(data, name)
            except FileNotFoundError:
                # Gone between the listing and now.
                if next(tries, None) is None:
                    raise Busy(
                        f"{self.describe()}: files kept disappearing while they were read. Run again when their writer is done."
                    ) from None
                raise Restart from None
            except BrokenFile as error:
                if not self.skip_broken:
                    raise
                states.append(_state(path, name))
                broken.append(str(error))
                continue
            states.append(state)
            sink.update(sha256)
            if rows and (size + len(data) > BATCH_BYTES or len(rows) >= _BATCH_FILES):
                yield self._table(rows)
                rows, size = [], 0
            rows.append(row)
            given, size = given + 1, size + len(data)
        if rows:
            yield self._table(rows)
        if not given and seen is None:
            raise BadInput(f"{self.describe()}: none of {len(broken)} files is whole. The first: {broken[0]}")
        extract.origins.append(self._origin(sink.hexdigest(), given, states, broken, seen))

    def _origin(self, sha256: str, given: int, states: Sequence[_State], broken: Sequence[str], seen: _Seen | None) -> Origin:
        """One for all files, however many: their own digests are in `sha256`, in the order that they were read in."""
        before = seen or _Seen("", 0, "", 0, 0, "")
        origin: dict[str, str | int] = {
            "locator": self.pattern,
            "sha256": sha256 if given or seen is None else seen.sha256,
            "rows": before.rows + given,
            "settings": digest(self),
            "digest": _digest(states),
            "until_ns": max((state.since_ns for state in states), default=0),
        }
        if before.skipped or broken:
            named = broken[: max(_NAMED - before.skipped, 0)]
            origin |= {"skipped": before.skipped + len(broken), "broken": " ".join([before.broken, *named]).strip()}
        return origin

    def _bytes(self, path: Path, name: str) -> tuple[bytes, bytes, _State]:
        """The file's bytes and their SHA-256, read while nobody changed it, and what it was then."""
        for attempt in range(_TRIES):
            if attempt:
                clock.sleep(0.1)
            before = _state(path, name)
            if before.size > self.max_mb * 1e6:
                raise BrokenFile(
                    f"{name} has {before.size / 1e6:,.0f} MB; {self.max_mb:g} are allowed. Raise max_mb, or take the file away."
                )
            try:
                with Steady(path, name) as file:
                    data = b"".join(file.blocks())
            except Changed:
                if not path.exists():
                    raise FileNotFoundError(name) from None
                continue
            if _state(path, name) == before:
                return data, bytes.fromhex(file.sha256), before
        raise Busy(f"{name} kept changing while it was read ({_TRIES} tries). Wait until its writer is done, and run again.")

    def _row(self, data: bytes, name: str) -> dict[str, Any]:
        if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise BrokenFile(f"{name!a} is no name in UTF-8. Rename the file.")
        return {"path": name, "bytes": data, **self.look(data, name), **self._labels(name)}

    def _labels(self, name: str) -> Mapping[str, str | None]:
        if self.label is None:
            return {}
        if self.label == FOLDER:
            return {"label": Path(name).parent.name or None}
        found = re.search(self.label, name)
        if found is None:
            raise BadInput(
                f"{name} does not have the form that label={self.label!r} describes. Mend the expression, or narrow the pattern."
            )
        return found.groupdict()

    def _table(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        import polars as pl

        columns: list[pl.Series] = [pl.Series("path", [row["path"] for row in rows], dtype=pl.String)]
        columns.append(pl.Series("bytes", [row["bytes"] for row in rows], dtype=pl.Binary))
        dtypes: dict[type, Any] = {int: pl.Int64, float: pl.Float64, str: pl.String}
        columns += [pl.Series(fact, [row[fact] for row in rows], dtype=dtypes[kind]) for fact, kind in self.facts.items()]
        named = [key for key in rows[0] if key not in ("path", "bytes", *self.facts)]
        columns += [pl.Series(key, [row[key] for row in rows], dtype=pl.String) for key in named]
        return pl.DataFrame(columns)


def _state(path: Path, name: str) -> _State:
    try:
        state = path.stat()
    except FileNotFoundError:
        return _State(name, 0, 0, 0)
    return _State(name, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _digest(states: Sequence[_State]) -> str:
    return digest(sorted(list(state) for state in states))
