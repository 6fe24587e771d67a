"""A stream of bytes -> blocks of whole records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from everloop.core.errors import BadInput
from everloop.data.sources.csv.marks import count, record_end, regular, runs_over, survey
from everloop.data.sources.csv.records import Misquoted, Record, Records, rewrite, unclosed

# A record larger than this is refused: mostly it is a quote that is not closed, and no memory holds what may follow.
RECORD_BYTES = 128 << 20
_LINE = re.compile(rb"[^\r\n]+")


class Block(NamedTuple):
    """Whole records, each with its line end. `line` is the number of the first; `quoted` whether quotes enclose values in it; `lines` how many
    end in it; `zeros` whether some number has a zero in front; `exact` whether every record has been counted and found to have as many fields
    as the header."""

    data: bytes
    line: int
    quoted: bool
    lines: int
    zeros: bool
    exact: bool

    @classmethod
    def of(cls, data: bytes, line: int, separator: bytes, *, quoted: bool, exact: bool = False) -> Block:
        return cls(data, line, quoted, *survey(data, separator, quoted=quoted), exact)


class Cutter:
    """Takes records off the front of a stream.

    `quotes` says whether they enclose values; None leaves it to the file: they do, until one is met in a file of tabs that cannot (such files
    hold plain text more often than not). `switched` tells then that blocks with quotes had been given before.
    """

    def __init__(self, blocks: Iterable[bytes], *, name: str, quotes: bool | None, record_bytes: int = RECORD_BYTES) -> None:
        self._blocks, self._name, self._most = iter(blocks), name, record_bytes
        self.quotes = quotes
        self.line, self.taken = 1, 0
        self.switched = self.quoted = False
        self._data, self._final = b"", False

    def first(self, separator: bytes) -> Record | None:
        """The first record that is not blank, taken off; None when there is none."""
        while True:
            records = Records(self._data, separator, name=self._name, line=self.line, final=self._final)
            while (record := records.next()) is not None:
                if any(field.strip() for field in record.fields):
                    self._take(record.end)
                    return record
            if self._final:
                return None
            self._more()

    def line_ahead(self) -> bytes:
        """The first line that is not blank, left where it is."""
        while True:
            whole = len(self._data) if self._final else self._data.rfind(b"\n") + 1
            for line in _LINE.finditer(self._data, 0, whole):
                if line[0].strip():
                    return line[0]
            if self._final:
                return b""
            self._more()

    def blocks(self, separator: bytes, width: int) -> Iterator[Block]:
        while True:
            if self._data or not self._final:
                found = self._next(separator, width)
                if found is not None:
                    yield found
                    continue
            if self._final:
                return
            self._more()

    def _next(self, separator: bytes, width: int) -> Block | None:
        data, line = self._data, self.line
        if not data:
            return None
        if self._final and not data.endswith(b"\n"):
            data += b"\n"
        quoted = self.quotes is not False and b'"' in data
        if not quoted:
            return self._cut(data, data.rfind(b"\n") + 1, separator, width, quoted=False)
        try:
            if regular(data, separator):
                end = record_end(data)
                if end:
                    ambiguous = self._unsure(separator) and runs_over(data[:end], separator, width)
                    if ambiguous:
                        raise _ambiguous(self._name, line + ambiguous - 1)
                    return self._cut(data, end, separator, width, quoted=True)
                if self._final:
                    raise unclosed(self._name, line + data.count(b"\n", 0, data.find(b'"')))
                self._refuse_giant()
                return None
            whole = len(data) if self._final else data.rfind(b"\n") + 1
            found = rewrite(data[:whole], width=width, separator=separator, name=self._name, line=line, final=self._final)
            if not found.taken:
                self._refuse_giant()
                return None
            self._take(found.taken)
            self.quoted = True
            return Block.of(found.data, line, separator, quoted=True, exact=True) if found.rows else None
        except Misquoted:
            if not self._unsure(separator):
                raise
            self.quotes, self.switched = False, self.quoted
            return self._next(separator, width)

    def _unsure(self, separator: bytes) -> bool:
        return self.quotes is None and separator == b"\t"

    def _cut(self, data: bytes, end: int, separator: bytes, width: int, *, quoted: bool) -> Block | None:
        if width == 1 and end:
            # Blank lines are rows here, but not those that end the file.
            kept = len(data[:end].rstrip(b"\r\n"))
            end = data.index(b"\n", kept) + 1 if kept else 0
            if not end and self._final:
                self._take(len(self._data))
                return None
        if not end:
            self._refuse_giant()
            return None
        block = Block.of(data[:end], self.line, separator, quoted=quoted)
        self._take(end, block.lines)
        self.quoted = self.quoted or quoted
        return block

    def _take(self, end: int, lines: int | None = None) -> None:
        self.line += count(self._data[:end], b"\n") if lines is None else lines
        self.taken += min(end, len(self._data))
        self._data = self._data[end:]

    def _more(self) -> None:
        """At least as many bytes again as are waiting, so that a giant record is not looked at over and over."""
        parts, got = [self._data] if self._data else [], 0
        while got < max(1, len(self._data)):
            block = next(self._blocks, None)
            if block is None:
                self._final = True
                break
            parts.append(block)
            got += len(block)
        # One alone is not copied.
        self._data = b"".join(parts)

    def _refuse_giant(self) -> None:
        if len(self._data) > self._most:
            message = (
                f"{self._name}, line {self.line}: the record that starts there has more than {self._most / 1e6:,.0f} MB. Is a quote not closed? "
                "Values of that size belong in files of their own."
            )
            raise Misquoted(message) if b'"' in self._data else BadInput(message)


def _ambiguous(name: str, line: int) -> BadInput:
    return BadInput(
        f"{name}, line {line}: a quote opens there and closes on a later line, but each of these lines is a whole row too if quotes are characters "
        "like any other. Say which it is: quotes=True, or quotes=False."
    )
