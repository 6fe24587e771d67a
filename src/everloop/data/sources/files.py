"""Files that match a pattern -> one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.data.sources.formats import check_format
from everloop.data.sources.paths import matches, relative
from everloop.data.sources.steady import BLOCK_BYTES, state

if TYPE_CHECKING:
    from everloop.data.sources.parse import Form


class _Pattern(msgspec.Struct, frozen=True):
    pattern: str


class Files(_Pattern, frozen=True, kw_only=True):
    """Local files, `pattern` relative to the project (`data/*.csv`, `**` for folders in between), read in the order of their names.

    CSV, TSV, JSON, JSON lines, Parquet, Arrow and Excel by suffix (also packed: `.gz`, `.zst`, `.bz2`, `.xz`, `.zip`), or all as `format`.
    `time` names the column with each row's time: text in it is parsed. Files that differ are united: a column that some lack is null there;
    types that disagree become float or text.

    For CSV: `missing` are cells that mean null besides the empty one, `separator` is read off the first line, `encoding` is UTF-8 (or UTF-16 that
    says so), `columns` are the names for files without a header line, and `quotes` says whether quotes enclose values, which otherwise the
    file shows. `sheet` is the name of an Excel sheet, or its number from 1.
    """

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
        if self.separator is not None and (len(self.separator.encode()) != 1 or self.separator in '"\r\n'):
            raise BadInput(
                f"separator={self.separator!r} is not one ASCII character other than a quote or a line end. Expected one such as ';'."
            )
        if len(set(self.columns)) < len(self.columns):
            raise BadInput(f"columns={list(self.columns)} names a column twice.")
        if self.format is not None:
            check_format(self.format)

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"files {self.pattern}"

    def stamp(self, place: Place) -> str:
        """Names, sizes and times of change; nothing is read."""
        return digest([[relative(path, place), *state(path)] for path in matches(self.pattern, place)])

    def read(self, place: Place, *, since: Sequence[Origin] = (), block_bytes: int = BLOCK_BYTES) -> Extract:
        """With `since`: rows of files that are new and, of CSV files that only grew, the new rows; everything when a file was changed otherwise,
        is gone, or is to be read in another way than then."""
        from everloop.data.sources.reading import Reading

        return Reading(
            self.describe(),
            lambda: {relative(path, place): path for path in matches(self.pattern, place)},
            self._form(),
            self.time,
            since=since,
            block_bytes=block_bytes,
        ).extract

    def _form(self) -> Form:
        from everloop.data.sources.csv.read import Dialect
        from everloop.data.sources.parse import Form

        dialect = Dialect(self.separator, self.quotes, self.columns, self.missing, self.encoding)
        return Form(self.format, dialect, self.sheet)
