"""The time column: text -> times, of one form in all that is read."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from everloop.core.errors import BadInput, unknown

# ISO 8601 and a few common forms; no text is a time by two of them.
_ZONED = "%Y-%m-%d %H:%M:%S%.f%#z"
_FORMS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m", "%m/%d/%Y", "%d.%m.%Y")
_ZONE = r"\d(?:Z|[+-]\d\d:?\d\d)$"
_EXPECTED = "Expected ISO 8601: 2026-11-20 18:30:00"


class _Known(NamedTuple):
    form: str
    example: str
    where: str


class TimeColumn:
    """Parses the column in one table after the other. The first one with a time decides the form that all must have."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found = False
        self._known: _Known | None = None
        self._number = ""

    def parse(self, table: pl.DataFrame, *, where: str, first_row: int = 1) -> pl.DataFrame:
        """Text is read as times, times stay, and a table without the column stays. BadInput, with row and value, for text that is no time, for times
        in two forms, and for text in one table where another has numbers."""
        if self.name not in table.columns:
            return table
        self.found = True
        cells = table[self.name]
        if cells.dtype != pl.String:
            if not cells.dtype.is_temporal() and cells.null_count() < cells.len():
                self._number = (
                    self._number or f"{cells.drop_nulls()[0]} ({where}, row {first_row + int(cells.is_not_null().arg_max() or 0)})"
                )
                self._same_type()
            return table
        if cells.null_count() == cells.len():
            return table.with_columns(cells.cast(pl.Datetime("us")))
        tidy: Any = cells.str.strip_chars().str.replace("T", " ", literal=True)
        if self._known is None:
            self._known = self._form(cells, tidy, where, first_row)
            self._same_type()
        times = _times(tidy, self._known.form)
        wrong = times.is_null() & cells.is_not_null()
        if wrong.any():
            at = int(wrong.arg_true()[0])
            raise self._misfit(str(cells[at]), str(tidy[at]), self._known, where, first_row + at)
        return table.with_columns(times.alias(self.name))

    def absent(self, columns: list[str], where: str) -> BadInput:
        return BadInput(f"{where}: {unknown('Time column', self.name, columns)}")

    def _form(self, cells: pl.Series, tidy: Any, where: str, first_row: int) -> _Known:
        forms = (_ZONED,) if tidy.str.contains(_ZONE).any() else _FORMS
        parsed = [_times(tidy, form) for form in forms]
        best = max(range(len(forms)), key=lambda at: (parsed[at].count(), -at))
        example = int(parsed[best].is_not_null().arg_max() or 0)
        return _Known(forms[best], str(cells[example]), f"{where}, row {first_row + example}")

    def _same_type(self) -> None:
        if self._number and self._known is not None:
            raise BadInput(
                f"The time column {self.name!r} holds text in one place, {self._known.example!r} ({self._known.where}), and a number in another, "
                f"{self._number}. Write all of them in one form. {_EXPECTED}"
            )

    def _misfit(self, cell: str, tidy: str, known: _Known, where: str, row: int) -> BadInput:
        one = pl.Series([tidy])
        if cell != known.example and any(_times(one, form).count() for form in (_ZONED, *_FORMS) if form != known.form):
            return BadInput(
                f"The time column {self.name!r} has times in two forms: {known.example!r} ({known.where}) and {cell!r} ({where}, row {row}). "
                f"Write all of them in one form. {_EXPECTED}"
            )
        return BadInput(f"{where}: {cell!r} in the time column {self.name!r} (row {row}) is not a time. {_EXPECTED}")


def _times(tidy: Any, form: str) -> pl.Series:
    return tidy.str.to_datetime(form, strict=False, time_unit="us")
