"""Blocks of records -> tables, under the kinds that the file's cells so far ask for."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from everloop.core.errors import BadInput
from everloop.data.sources.csv.cells import BLANK, DTYPES, GIANT, LEADING_ZERO, Kinds, beyond, look, typed
from everloop.data.sources.csv.cut import Block
from everloop.data.sources.csv.marks import blanks_alone, count, lone_returns
from everloop.data.sources.csv.records import ragged, rewrite
from everloop.data.sources.csv.text import not_utf8

_NUMBER = re.compile(r"[ \t]*[+-]?[0-9]+(\.[0-9]*)?")


class Values:
    def __init__(
        self, header: Sequence[str], separator: bytes, *, missing: Sequence[str], given_names: bool, name: str, kinds: Kinds
    ) -> None:
        self.header, self.separator, self.name, self.kinds = list(header), separator, name, kinds
        self.missing, self.given_names = missing, given_names
        self.width = len(header)
        self.begun = any(kind != "n" for kind in kinds.now)

    def table(self, block: Block) -> pl.DataFrame | None:
        if b"\0" in block.data:
            line = block.line + block.data.count(b"\n", 0, block.data.index(b"\0"))
            raise BadInput(
                f"{self.name}, line {line}: a zero byte, which no text has. Is the file damaged, or in another encoding (encoding='utf-16')?"
            )
        if not block.exact and lone_returns(block.data):
            block = self._exact(block)
        if self.begun:
            table = self._as_known(block)
            if table is not None:
                return table
        self.begun = True
        return self._as_found(block)

    def _as_known(self, block: Block) -> pl.DataFrame | None:
        """The block's values under the kinds known so far; None when they do not fit, or it takes a closer look to tell."""
        kinds = self.kinds.now
        try:
            table = self._csv(block, kinds)
        except (pl.exceptions.PolarsError, OverflowError):
            return None
        if not self._whole(table, block):
            return None
        nothing = [at for at, kind in enumerate(kinds) if kind in "nq"]
        if nothing and not all(table.select(pl.nth(nothing).is_null().all()).row(0)):
            return None
        floats = [at for at, kind in enumerate(kinds) if kind == "f"]
        far = [floats[at] for at in beyond(table.select(pl.nth(floats)))]
        if far and self._matches(block, far, GIANT):
            return None
        numbers = [at for at, kind in enumerate(kinds) if kind in "if"]
        if numbers and block.zeros and self._matches(block, numbers, LEADING_ZERO):
            return None
        # Polars takes blanks for a null where it expects a number.
        lacking = [at for at, nulls in enumerate(table.null_count().row(0)) if nulls and kinds[at] in "if"]
        if lacking and blanks_alone(block.data, self.separator) and self._matches(block, lacking, BLANK):
            return None
        table.columns = self.header
        return table

    def _as_found(self, block: Block) -> pl.DataFrame | None:
        """The block's values under the kinds that it and all before it ask for."""
        text = self._text(block)
        if text is None and not block.exact:
            block = self._exact(block)
            if not block.data:
                return None
            text = self._text(block)
        if text is None:
            wrong = not_utf8(block.data, name=self.name, line=block.line)
            raise wrong or BadInput(f"{self.name}, from line {block.line} on, cannot be read as CSV. Check its quotes.")
        self.kinds.widen(look(text))
        if not self.given_names and self.kinds.now[0] in "if" and _is_row(self.header):
            raise BadInput(
                f"{self.name}, line 1: {self.header[0]!r} as the name of a column of numbers looks like a row, not like a header. If the file has none, name "
                "its columns: columns=['a', 'b', ...]; if it has, give its first column a name that is no number."
            )
        table = typed(text, self.kinds.now)
        table.columns = self.header
        return table

    def _text(self, block: Block) -> pl.DataFrame | None:
        try:
            table = self._csv(block, "t" * self.width)
        except (pl.exceptions.PolarsError, OverflowError):
            return None
        return table if self._whole(table, block) else None

    def _exact(self, block: Block) -> Block:
        wrong = not_utf8(block.data, name=self.name, line=block.line)
        if wrong is not None:
            raise wrong
        if not block.quoted:
            return Block.of(self._straight(block), block.line, self.separator, quoted=False, exact=True)
        found = rewrite(block.data, width=self.width, separator=self.separator, name=self.name, line=block.line, final=True)
        return Block.of(found.data, block.line, self.separator, quoted=True, exact=True)

    def _straight(self, block: Block) -> bytes:
        """As `rewrite`, where quotes mean nothing: a quote stays what it is."""
        out: list[bytes] = []
        for line, row in enumerate(block.data[:-1].split(b"\n"), block.line):
            for part in row.removesuffix(b"\r").split(b"\r"):
                fields = part.count(self.separator) + 1
                if fields == self.width:
                    out.append(part)
                elif fields > 1 or part.strip():
                    raise ragged(self.name, line, fields, self.width, self.separator)
        return b"".join(row + b"\n" for row in out)

    def _whole(self, table: pl.DataFrame, block: Block) -> bool:
        """Whether the table has every record of the block and every record as many fields as the header.

        Polars refuses a record with more fields and fills one with fewer with nulls: then the last column has one, and the separators are counted.
        """
        inner = table.select(pl.col(pl.String)) if block.quoted else pl.DataFrame()
        if block.lines != table.height and block.lines - _inside(inner, "\n") != table.height:
            return False
        if block.exact or (self.width > 1 and not table[:, -1].null_count()):
            return True
        return count(block.data, self.separator) - _inside(inner, self.separator.decode()) == (self.width - 1) * table.height

    def _matches(self, block: Block, columns: list[int], pattern: str) -> bool:
        text = self._csv(block, "t" * self.width, columns)
        return any(text.select(pl.all().str.contains(pattern).any()).row(0))

    def _csv(self, block: Block, kinds: Sequence[str], columns: list[int] | None = None) -> pl.DataFrame:
        """Columns are called by their position: to Polars a name may mean more than itself."""
        # Polars unpacks what begins as zlib's files do; text that does is given a line in front.
        like_zlib = block.data[:2] in (b"x^", b"x\x01")
        table = pl.read_csv(
            self.separator * (self.width - 1) + b"\n" + block.data if like_zlib else block.data,
            has_header=False,
            schema={str(at): DTYPES[kind] for at, kind in enumerate(kinds)},
            columns=columns,
            separator=self.separator.decode(),
            quote_char='"' if block.quoted else None,
            null_values=list(self.missing) or None,
        )
        return table.slice(1) if like_zlib else table


def _is_row(header: Sequence[str]) -> bool:
    """Whether the first name is a number, and the names are not those of a table that had none, 0 1 2 ..."""
    numbered = any(list(header) == [str(at) for at in range(start, start + len(header))] for start in (0, 1))
    return _NUMBER.fullmatch(header[0]) is not None and not numbered


def _inside(text: pl.DataFrame, mark: str) -> int:
    return sum(text.select(pl.all().str.count_matches(mark, literal=True).sum()).row(0)) if text.width else 0
