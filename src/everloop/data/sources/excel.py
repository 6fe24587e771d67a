"""A sheet of a workbook -> a table."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from typing import Any, BinaryIO

import polars as pl

from everloop.core.errors import BadInput, Missing, unknown
from everloop.data.sources.json import column

_RATIO = 200
_FREE_BYTES = 256 << 20
_PIECE_BYTES = 1 << 20


def excel(file: BinaryIO, *, name: str, sheet: str | int | None = None, columns: Sequence[str] = ()) -> pl.DataFrame:
    """.xlsx, .xlsm, .xlsb, .xls and .ods. `sheet` is a name or a number from 1, the first when None. The first row with anything in it is the header.

    Numbers that are whole in every cell of a column are integers; dates become times; a column of several types becomes text. A workbook
    holds at most a million rows a sheet, and is read whole.
    """
    try:
        calamine: Any = import_module("python_calamine")
    except ImportError as error:
        raise Missing(f"{name} is an Excel workbook, for which everloop needs one library more: pip install 'everloop[excel]'") from error

    _refuse_bomb(file, name)
    try:
        with calamine.load_workbook(file) as book:
            rows = book.get_sheet_by_name(_sheet(book.sheet_names, sheet, name)).to_python(skip_empty_area=True)
    except (calamine.CalamineError, OSError) as error:
        raise BadInput(f"{name} is not a whole workbook: {error}. Is it protected by a password, or of another kind?") from error
    rows = [[None if cell == "" else cell for cell in row] for row in rows]
    while rows and all(cell is None for cell in rows[0]):
        rows.pop(0)
    while rows and all(cell is None for cell in rows[-1]):
        rows.pop()
    header: list[Any] = list(columns) or (rows.pop(0) if rows else [])
    if rows and len(rows[0]) != len(header):
        raise BadInput(f"{name}: the sheet has {len(rows[0])} columns, but {len(header)} names are given.")
    found: dict[str, pl.Series] = {}
    names = [_text(cell) if cell is not None else f"column_{at}" for at, cell in enumerate(header, 1)]
    twice = sorted(one for one, times in Counter(names).items() if times > 1)
    if twice:
        raise BadInput(f"{name}: several columns are named {', '.join(map(repr, twice))}. Give each column a name of its own.")
    for at, (label, cell) in enumerate(zip(names, header, strict=True)):
        cells = [row[at] for row in rows]
        if cell is not None or any(value is not None for value in cells):
            found[label] = _column(label, cells)
    return pl.DataFrame(found)


def _sheet(names: Sequence[str], sheet: str | int | None, name: str) -> str:
    if isinstance(sheet, str):
        if sheet not in names:
            raise BadInput(f"{name}: {unknown('Sheet', sheet, names)}")
        return sheet
    at = 1 if sheet is None else sheet
    if not 1 <= at <= len(names):
        raise BadInput(
            f"{name} has {len(names)} sheet{'s' if len(names) != 1 else ''} ({', '.join(map(repr, names))}), none with the number {at}."
        )
    return names[at - 1]


def _column(name: str, cells: list[Any]) -> pl.Series:
    types: set[type[Any]] = {type(cell) for cell in cells if cell is not None}
    if types and types <= {dt.datetime, dt.date}:
        return pl.Series(name, [_moment(cell) for cell in cells], dtype=pl.Datetime("us"))
    if types == {dt.time}:
        return pl.Series(name, cells, dtype=pl.Time)
    if types == {dt.timedelta}:
        return pl.Series(name, cells, dtype=pl.Duration("us"))
    if (
        types
        and types <= {int, float}
        and all(cell is None or float(cell).is_integer() for cell in cells)
        and max(map(_size, cells)) < 2**53
    ):
        return pl.Series(name, [None if cell is None else int(cell) for cell in cells], dtype=pl.Int64)
    if len(types - {int, float}) + bool(types & {int, float}) > 1:
        return pl.Series(name, [None if cell is None else _text(cell) for cell in cells], dtype=pl.String)
    return column(name, cells)


def _size(cell: Any) -> float:
    return 0.0 if cell is None else abs(float(cell))


def _moment(cell: dt.date | None) -> dt.datetime | None:
    return cell if cell is None or isinstance(cell, dt.datetime) else dt.datetime(cell.year, cell.month, cell.day)


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell)


def _refuse_bomb(file: BinaryIO, name: str) -> None:
    """A workbook is a zip file, and what it says of its own size need not be true: unpack it once to nowhere."""
    file.seek(0, 2)
    packed = file.tell()
    file.seek(0)
    if file.read(4) == b"PK\x03\x04":
        file.seek(0)
        size = 0
        try:
            with zipfile.ZipFile(file) as archive:
                for item in archive.infolist():
                    with archive.open(item) as member:
                        while piece := member.read(_PIECE_BYTES):
                            size += len(piece)
                            if size > _FREE_BYTES and size > _RATIO * packed:
                                raise BadInput(
                                    f"{name} unpacks to more than {_RATIO} times its size, as files do that are made to fill a memory."
                                )
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadInput(f"{name} is not a whole workbook: {error}. Copy or download it again.") from error
    file.seek(0)
