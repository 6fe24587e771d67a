"""Files that match a pattern -> one table."""

from __future__ import annotations

import difflib
import glob
import hashlib
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import Extract, Place, Source
from everloop.data.sources.chain import Chain

if TYPE_CHECKING:
    import polars as pl

FORMATS = {
    "csv": "csv", "tsv": "tsv", "txt": "csv", "parquet": "parquet", "pq": "parquet", "jsonl": "jsonl", "ndjson": "jsonl",
    "json": "json", "arrow": "arrow", "ipc": "arrow", "feather": "arrow",
}  # fmt: skip
_TRIES = 4
_PAUSE_S = 0.1
# Files are stamped by a clock that ticks every few milliseconds: a change within the tick of the one before does not show.
_TICK_S = 0.02


class _Pattern(msgspec.Struct, frozen=True):
    pattern: str


class Files(_Pattern, frozen=True, kw_only=True):
    """Local files, `pattern` relative to the project (`data/*.csv`, `**` for folders in between), read in the order of their names.

    CSV, TSV, JSON, JSON lines, Parquet and Arrow by suffix (also with `.gz`), or all as `format`. `time` names the column with each row's
    time: text in it is parsed. `missing` are CSV cells that mean null besides the empty one. Files that differ are united: a column
    that some lack is null there; types that disagree become float or text.
    """

    time: str | None = None
    format: str | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "missing", tuple(self.missing))
        if self.format is not None and self.format not in FORMATS:
            close = difflib.get_close_matches(self.format, FORMATS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise BadInput(f"Format {self.format!r} does not exist.{hint} Known: {', '.join(sorted(set(FORMATS.values())))}.")

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"files {self.pattern}"

    def stamp(self, place: Place) -> str:
        """Names, sizes and times of change; nothing is read."""
        return digest([[_relative(path, place), *_state(path)] for path in self._paths(place)])

    def read(self, place: Place) -> Extract:
        from everloop.data.sources.parse import parse, parse_time
        from everloop.data.sources.union import union

        tables: list[pl.DataFrame] = []
        parts: list[dict[str, str | int]] = []
        for path in self._paths(place):
            name = _relative(path, place)
            data = _steady_bytes(path, name)
            table = parse(data, name=name, format=self._format(path), missing=self.missing)
            tables.append(table)
            parts.append({"locator": name, "sha256": hashlib.sha256(data).hexdigest(), "rows": table.height})
        whole = union(tables)
        if whole.height == 0:
            raise BadInput(
                f"{self.describe()} holds no rows: {', '.join(str(part['locator']) for part in parts[:3])} has at most a header."
            )
        if self.time is not None:
            whole = parse_time(whole, self.time, where=self.describe())
        return Extract(whole, tuple(parts))

    def _format(self, path: Path) -> str:
        suffixes = [suffix.removeprefix(".").lower() for suffix in path.suffixes]
        last = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == "gz" else suffixes[-1] if suffixes else ""
        found = FORMATS.get(self.format or last)
        if found is None:
            known = ", ".join(f".{suffix}" for suffix in FORMATS)
            raise BadInput(f"{path.name} has no suffix that tells its format ({known}). Say which: Files({self.pattern!r}, format='csv').")
        return found

    def _paths(self, place: Place) -> list[Path]:
        if "://" in self.pattern:
            raise BadInput(f"Files({self.pattern!r}) is a URL. Files reads local files: give a path or a pattern such as 'data/*.csv'.")
        literal = place.project / self.pattern
        if literal.is_dir():
            raise BadInput(f"{self.pattern} is a folder. Say which files in it: Files('{self.pattern.rstrip('/')}/*.csv').")
        if literal.is_file():
            return [self._inside(literal, place)]
        names = sorted(glob.glob(self.pattern, root_dir=place.project, recursive=True))
        found = [path for name in names if (path := place.project / name).is_file()]
        if not found:
            raise NotFound(f"No file matches {self.pattern!r} in {place.project}.{_nearest(literal)}")
        return [self._inside(path, place) for path in found]

    def _inside(self, path: Path, place: Place) -> Path:
        """A link may lead out of the project only when the pattern says so itself."""
        explicit = Path(self.pattern).is_absolute() or ".." in Path(self.pattern).parts
        if not explicit and not path.resolve().is_relative_to(place.project.resolve()):
            raise BadInput(
                f"{_relative(path, place)} is a link to {path.resolve()}, outside the project. Name that place in the pattern itself."
            )
        return path


def _nearest(wanted: Path) -> str:
    folder = wanted.parent
    if not folder.is_dir():
        return f" The folder {folder} does not exist." if not glob.has_magic(str(folder)) else ""
    siblings = sorted(path.name for path in folder.iterdir() if path.is_file())
    close = difflib.get_close_matches(wanted.name, siblings, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = f" There: {', '.join(siblings[:8])}{' …' if len(siblings) > 8 else ''}." if siblings else " There are no files there."
    return hint + listed


def _relative(path: Path, place: Place) -> str:
    return path.relative_to(place.project).as_posix() if path.is_relative_to(place.project) else path.as_posix()


def _state(path: Path) -> tuple[int, int, int]:
    try:
        state = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (state.st_size, state.st_mtime_ns, state.st_ino)


def _steady_bytes(path: Path, name: str) -> bytes:
    """The file's bytes, read while nobody changed it."""
    for attempt in range(_TRIES):
        if attempt:
            clock.sleep(_PAUSE_S)
        before = _state(path)
        age_s = clock.time() - before[1] / 1e9
        if 0 <= age_s < _TICK_S:
            clock.sleep(_TICK_S - age_s)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BadInput(f"{name} cannot be read: {error.strerror}.") from error
        if _state(path) == before and len(data) == before[0]:
            return data
    raise Busy(f"{name} kept changing while it was read ({_TRIES} tries). Wait until its writer is done, and run again.")
