"""CSV bytes -> a table, or a sentence that names the line which is not what a CSV file is (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from everloop.core.errors import BadInput

_SEPARATORS = ";\t|"
_FIELD_LIMIT = 2**31 - 1


def read_csv(data: bytes, *, name: str, separator: str | None = None, missing: Sequence[str] = ()) -> pl.DataFrame:
    """The whole file decides each column's type. Without `separator` the header line decides it; `missing` are cells that mean null.

    A blank line is no row (in a file of one column it is a null). Raises BadInput for an undecodable byte, a line with another number of
    fields than the header, a quote that is not closed, and a column name that occurs twice.
    """
    text = _decoded(data, name)
    data = text.encode()
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        return pl.DataFrame()
    separator = separator or _separator(first)
    header = _header(text, separator, name)
    if b'"' in data:
        return _named(_read_quoted(text, header, separator, name, missing), header)
    return _named(_parse(_rectangular(data, header, separator, name), separator, missing, name), header)


def _decoded(data: bytes, name: str) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. "
            f"Save the file as UTF-8, for example: iconv -f latin1 -t utf-8 {name}"
        ) from error
    # Line ends of old Macs.
    return text.replace("\r", "\n") if "\r" in text and "\n" not in text else text


def _separator(first: str) -> str:
    return "," if "," in first else max(_SEPARATORS, key=first.count) if any(mark in first for mark in _SEPARATORS) else ","


def _records(text: str, separator: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each record; a blank line has no fields."""
    csv.field_size_limit(_FIELD_LIMIT)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise BadInput(
                f"{name}, line {rows.line_num}: {error}. A value with a quote, {separator!r} or a line end in it stands in quotes, its own quotes doubled."
            ) from error
        if row is None:
            return
        yield rows.line_num, row


def _header(text: str, separator: str, name: str) -> list[str]:
    """Column names. One without a name (as pandas writes its index) is called by its position."""
    _, row = next((line, row) for line, row in _records(text, separator, name) if any(cell.strip() for cell in row))
    header = [cell if cell.strip() else f"column_{at}" for at, cell in enumerate(row, 1)]
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise BadInput(f"{name} has several columns named {', '.join(map(repr, twice))}. Give each column a name of its own.")
    return header


def _ragged(name: str, line: int, fields: int, header: list[str], separator: str) -> BadInput:
    return BadInput(
        f"{name}, line {line}: {fields} field{'s' if fields != 1 else ''}, but the header has {len(header)}. "
        f"Complete the line, or put a value that contains {separator!r} in quotes."
    )


def _rectangular(data: bytes, header: list[str], separator: str, name: str) -> bytes:
    """The bytes without blank lines, once every line has as many fields as the header. Only for files without quotes."""
    data = data.strip(b"\r\n") + b"\n"
    if len(header) == 1:
        if separator.encode() in data:
            line = next(at for at, row in enumerate(data.split(b"\n"), 1) if separator.encode() in row)
            raise _ragged(name, line, 2, header, separator)
        return data
    raw: Any = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    marks = np.flatnonzero(raw == ord(separator))
    if len(marks) == (len(header) - 1) * len(ends):
        grid = marks.reshape(len(ends), -1)
        if (grid[:, -1] < ends).all() and (grid[1:, 0] > ends[:-1]).all():
            return data
    kept: list[bytes] = []
    for line, row in enumerate(data.split(b"\n"), 1):
        fields = row.count(separator.encode()) + 1
        if row.strip():
            if fields != len(header):
                raise _ragged(name, line, fields, header, separator)
            kept.append(row)
    return b"\n".join(kept) + b"\n"


def _read_quoted(text: str, header: list[str], separator: str, name: str, missing: Sequence[str]) -> pl.DataFrame:
    rows, blanks = 0, 0
    for line, row in _records(text, separator, name):
        if not any(cell.strip() for cell in row) and len(row) < len(header):
            blanks += 1
        elif len(row) != len(header):
            raise _ragged(name, line, len(row), header, separator)
        else:
            rows += 1
    if not blanks:
        try:
            frame = _parse(text.encode(), separator, missing, name)
        except BadInput:
            pass
        else:
            if frame.height == rows - 1:
                return frame
    # The two readers disagree about a quote inside a value: write it down plainly and read again.
    plain = io.StringIO(newline="")
    writer = csv.writer(plain, delimiter=separator, lineterminator="\n")
    writer.writerows(row for _, row in _records(text, separator, name) if len(row) == len(header))
    frame = _parse(plain.getvalue().encode(), separator, missing, name)
    if frame.height != rows - 1:
        raise BadInput(f"{name} holds {rows - 1} rows, but {frame.height} were understood. Check its quotes.")
    return frame


def _parse(data: bytes, separator: str, missing: Sequence[str], name: str) -> pl.DataFrame:
    try:
        return pl.read_csv(io.BytesIO(data), separator=separator, infer_schema_length=None, null_values=list(missing) or None)
    except (pl.exceptions.PolarsError, OverflowError) as error:
        raise BadInput(f"{name} cannot be read as CSV: {str(error).splitlines()[0]}.") from error


def _named(frame: pl.DataFrame, header: list[str]) -> pl.DataFrame:
    frame.columns = header
    return frame
