"""CSV -> tables, each of a stretch of the file's records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field

import msgspec
import polars as pl

from everloop.core.errors import BadInput
from everloop.data.sources.csv.ahead import ahead
from everloop.data.sources.csv.cells import Kinds
from everloop.data.sources.csv.cut import RECORD_BYTES, Cutter
from everloop.data.sources.csv.records import value
from everloop.data.sources.csv.text import not_utf8, utf8
from everloop.data.sources.csv.values import Values

_SEPARATORS = ",;\t|"
_COMMENT = re.compile(r"#+\s")


class Dialect(msgspec.Struct, frozen=True):
    """How a file is written, where it does not say so itself. `columns` are the names for a file without a header line; `missing` cells that mean
    null besides the empty one; `quotes` whether quotes enclose values (None: as the file looks)."""

    separator: str | None = None
    quotes: bool | None = None
    columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    encoding: str | None = None


@dataclass
class Learned:
    """What a reading found out that the next reading of the same file begins with. `wrong` says that what was given must be thrown away."""

    kinds: Kinds = field(default_factory=Kinds)
    quotes: bool | None = None
    wrong: bool = False
    quoted: bool = False
    """Whether quotes enclosed values in what was read."""
    plain: bool = False
    """Whether the file's bytes were read as they are: UTF-8 without a mark, lines that end in a newline."""
    head: int = 0
    """Bytes up to the first line behind the header."""
    before: list[str] = field(default_factory=list[str])
    """For the rest of a file that grew: the kinds under which its first part was given, and how many lines that has."""
    lines_before: int = 0
    quoted_before: bool = False


def read(
    blocks: Iterable[bytes],
    *,
    name: str,
    dialect: Dialect,
    learned: Learned,
    separator: str | None = None,
    record_bytes: int = RECORD_BYTES,
) -> Generator[pl.DataFrame, None, None]:
    """Tables in the order of the file. Its whole decides each column's type: where a later block shows that an earlier one was given as another,
    `learned.wrong` is set, the rest is only looked at, and a second reading with the same `learned` gives all of it right.

    A blank line is no row (in a file of one column it is a null). Raises BadInput for an undecodable byte, a zero byte, a line with another
    number of fields than the header, a quote that is not closed, a record beyond `record_bytes`, and a column name that occurs twice.
    """
    quotes = dialect.quotes if dialect.quotes is not None else learned.quotes
    text = utf8(blocks, name=name, encoding=dialect.encoding)
    cutter = Cutter(text.blocks, name=name, quotes=quotes, record_bytes=record_bytes)
    learned.wrong, learned.plain = False, text.plain
    line = cutter.line_ahead()
    if not line:
        return
    mark = (dialect.separator or separator or separator_of(line)).encode()
    header = list(dialect.columns) or _header(cutter, mark, name)
    learned.head = cutter.taken
    cutter.line += learned.lines_before
    cutter.quoted = learned.quoted_before
    learned.kinds.begin(len(header), learned.before)
    values = Values(header, mark, missing=dialect.missing, given_names=bool(dialect.columns), name=name, kinds=learned.kinds)
    given = False
    with closing(ahead(cutter.blocks(mark, len(header)))) as cut:
        for block in cut:
            table = values.table(block)
            learned.wrong = learned.wrong or cutter.switched or not learned.kinds.sound()
            if table is not None and table.height and not learned.wrong:
                learned.kinds.give()
                given = True
                yield table
    learned.kinds.end()
    learned.quotes, learned.quoted = cutter.quotes, cutter.quoted
    learned.wrong = learned.wrong or not learned.kinds.sound()
    if not given and not learned.wrong:
        yield pl.DataFrame(schema=dict.fromkeys(header, pl.String))


def separator_of(line: bytes) -> str:
    """The mark of which the first line has most outside of quotes."""
    outside = b"".join(line.split(b'"')[0::2]).decode(errors="replace")
    return max(_SEPARATORS, key=outside.count)


def _header(cutter: Cutter, separator: bytes, name: str) -> list[str]:
    """Column names. One without a name (as pandas writes its index) is called by its position."""
    record = cutter.first(separator)
    if record is None:
        return []
    wrong = not_utf8(b"".join(record.fields), name=name, line=record.line)
    if wrong is not None:
        raise wrong
    cells = [value(cell) for cell in record.fields]
    if len(cells) == 1 and _COMMENT.match(cells[0]):
        raise BadInput(f"{name}, line {record.line}: {cells[0]!r} is a comment, not a header of column names. Remove such lines.")
    header = [cell if cell.strip() else f"column_{at}" for at, cell in enumerate(cells, 1)]
    once = Counter(header)
    twice = sorted(column for column, times in once.items() if times > 1)
    if twice:
        raise BadInput(
            f"{name}, line {record.line}: several columns are named {', '.join(map(repr, twice))}. Give each column a name of its own."
        )
    return header
