"""A file's bytes -> tables, by format."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

import polars as pl

from everloop.data.sources.csv.cells import Kinds
from everloop.data.sources.csv.read import Dialect, Learned
from everloop.data.sources.formats import format_of
from everloop.data.sources.json import Kinds as NamedKinds
from everloop.data.sources.unpack import packing, spooled, unpacked


@dataclass(frozen=True)
class Form:
    """How files are written, as far as their names do not tell."""

    format: str | None = None
    dialect: Dialect = field(default_factory=Dialect)
    sheet: str | int | None = None


@dataclass
class Memory:
    """What reading a file taught about it. When `wrong` holds after a reading, what it gave must be thrown away, and the next reading with the
    same memory is right."""

    csv: Learned = field(default_factory=lambda: Learned(Kinds()))
    json: NamedKinds = field(default_factory=NamedKinds)

    @property
    def wrong(self) -> bool:
        return self.csv.wrong or not self.json.sound()


def tables(
    blocks: Iterable[bytes], *, name: str, form: Form, memory: Memory, file: BinaryIO | None = None
) -> Generator[pl.DataFrame, None, None]:
    """Tables of about `BATCH_BYTES` at most, one below the other, as they stand in the file. `blocks` are its bytes in stretches of
    `steady.BLOCK_BYTES` or less, packed as they are; `file` the same bytes to be read at any place, if there are such.

    BadInput, naming file and line where there are lines, when the bytes are not what the format says.
    """
    format = format_of(name, form.format)
    if format in ("csv", "tsv", "jsonl", "json"):
        yield from _text(unpacked(blocks, name=name), name, format, form, memory)
        return
    rest = iter(blocks)
    head = b""
    while len(head) < 10 and (block := next(rest, None)) is not None:
        head += block
    # A workbook is a zip file by itself.
    packed = packing(head) not in ((None, "zip") if format == "excel" else (None,))
    if packed or file is None:
        whole = chain([head], rest)
        with spooled(unpacked(whole, name=name) if packed else whole) as own:
            yield from _seekable(own, name, format, form)
        return
    for _ in rest:
        pass
    file.seek(0)
    yield from _seekable(file, name, format, form)


def _text(blocks: Iterator[bytes], name: str, format: str, form: Form, memory: Memory) -> Iterator[pl.DataFrame]:
    dialect = form.dialect
    if format in ("csv", "tsv"):
        from everloop.data.sources.csv.read import read

        yield from read(blocks, name=name, dialect=dialect, learned=memory.csv, separator="\t" if format == "tsv" else None)
    elif format == "jsonl":
        from everloop.data.sources.json_lines import read as read_lines

        yield from read_lines(blocks, name=name, kinds=memory.json, encoding=dialect.encoding)
    else:
        from everloop.data.sources.json_array import read as read_array

        yield from read_array(blocks, name=name, kinds=memory.json, encoding=dialect.encoding)


def _seekable(file: BinaryIO, name: str, format: str, form: Form) -> Iterator[pl.DataFrame]:
    if format == "excel":
        from everloop.data.sources.columnar import sliced
        from everloop.data.sources.excel import excel

        yield from sliced(excel(file, name=name, sheet=form.sheet, columns=form.dialect.columns))
        return
    from everloop.data.sources.columnar import arrow, parquet

    yield from (parquet if format == "parquet" else arrow)(file, name=name)
