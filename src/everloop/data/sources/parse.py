"""A file's bytes -> a table, by format."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from everloop.core.errors import BadInput, unknown
from everloop.data.sources.csv import read_csv
from everloop.data.sources.json import read_json, read_json_lines

_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m", "%m/%d/%Y", "%d.%m.%Y")


def parse(data: bytes, *, name: str, format: str, missing: Sequence[str] = ()) -> pl.DataFrame:
    """BadInput, naming file and line where there are lines, when the bytes are not what `format` says."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(f"{name} is not a whole gzip file: {error}.") from error
    match format:
        case "csv":
            return read_csv(data, name=name, missing=missing)
        case "tsv":
            return read_csv(data, name=name, separator="\t", missing=missing)
        case "jsonl":
            return read_json_lines(data, name=name)
        case "json":
            return read_json(data, name=name)
        case _:
            return _columnar(data, name, format)


def _columnar(data: bytes, name: str, format: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data)) if format == "parquet" else pl.read_ipc(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
        raise BadInput(f"{name} is not a whole {format.capitalize()} file: {str(error).splitlines()[0]}.") from error


def parse_time(table: pl.DataFrame, column: str, *, where: str) -> pl.DataFrame:
    """The table with text in `column` read as times (ISO 8601 and a few common forms); other types stay."""
    if column not in table.columns:
        raise BadInput(f"{where}: {unknown('Time column', column, table.columns)}")
    text = table[column]
    if text.dtype != pl.String:
        return table
    zoned = text.str.contains(r"\d(?:Z|[+-]\d\d:?\d\d)$").any()
    tidy: Any = text.str.strip_chars().str.replace("T", " ", literal=True)
    attempts = (
        [tidy.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", strict=False, time_unit="us")]
        if zoned
        else (tidy.str.to_datetime(form, strict=False, time_unit="us") for form in _TIME_FORMATS)
    )
    best = None
    for found in attempts:
        if best is None or found.null_count() < best.null_count():
            best = found
        if best.null_count() == text.null_count():
            return table.with_columns(best.alias(column))
    assert best is not None
    row = int((best.is_null() & text.is_not_null()).arg_true()[0])
    raise BadInput(
        f"{where}: {text[row]!r} in the time column {column!r} (row {row + 1}) is not a time. Expected ISO 8601: 2026-11-20 18:30:00"
    )
