"""Record by record: the exact reading, for what the fast one cannot take."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from everloop.core.errors import BadInput

_QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')


class Misquoted(BadInput):
    """A quote that is not closed, or text behind a closing quote."""


class Record(NamedTuple):
    """Raw `fields`, quotes included; where the record starts and where the next one does; the line it starts on."""

    fields: list[bytes]
    start: int
    end: int
    line: int


class Records:
    """Reads the records of `data` one after the other. `line` is the number of the first line; `final` says that nothing follows `data`."""

    def __init__(self, data: bytes, separator: bytes, *, name: str, line: int, final: bool) -> None:
        self.data, self.separator, self.name, self.line, self.final = data, separator, name, line, final
        self.at = 0

    def next(self) -> Record | None:
        """None when no whole record is left. Misquoted when it can be none, whatever follows."""
        pattern = _field(self.separator)
        fields: list[bytes] = []
        at, start = self.at, self.at
        if at >= len(self.data):
            return None
        while True:
            found = pattern.match(self.data, at)
            if found is None:
                return self._broken(at, start)
            end = found[2]
            # The carriage return or nothing at the end of what is there may go on.
            if not self.final and found.end() == len(self.data) and end not in {b"\n", b"\r\n"}:
                return None
            fields.append(found[1])
            at = found.end()
            if end != self.separator:
                break
        line = self.line
        self.at = at
        self.line += self.data.count(b"\n", start, at) + (end == b"\r")
        return Record(fields, start, at, line)

    def _broken(self, at: int, start: int) -> None:
        closed = _QUOTED.match(self.data, at)
        if closed is not None:
            if closed.end() == len(self.data) and not self.final:
                return
            line = self.line + self.data.count(b"\n", start, closed.end())
            raise Misquoted(
                f"{self.name}, line {line}: text follows the closing quote of {_short(closed[0])}; expected {self.separator.decode()!r} or the end of "
                f"the line. A value with a quote, {self.separator.decode()!r} or a line end in it stands in quotes, its own quotes doubled."
            )
        if self.final:
            raise unclosed(self.name, self.line + self.data.count(b"\n", start, at))


def unclosed(name: str, line: int) -> Misquoted:
    return Misquoted(
        f"{name}, line {line}: the quote that opens there is not closed before the file ends. "
        "A value with a quote, a separator or a line end in it stands in quotes, its own quotes doubled."
    )


def ragged(name: str, line: int, fields: int, width: int, separator: bytes) -> BadInput:
    return BadInput(
        f"{name}, line {line}: {fields} field{'s' if fields != 1 else ''}, but the header has {width}. "
        f"Complete the line, or put a value that contains {separator.decode()!r} in quotes."
    )


class Rewritten(NamedTuple):
    """Records written plainly, how many they are, and how many bytes of the original they took."""

    data: bytes
    rows: int
    taken: int


def rewrite(data: bytes, *, width: int, separator: bytes, name: str, line: int, final: bool) -> Rewritten:
    """Every whole record of `data` on a line of its own, each quote in quotes, blank lines left out (in a file of one column a blank line is a
    null). BadInput for a record with another number of fields than `width`, by its line."""
    records = Records(data, separator, name=name, line=line, final=final)
    out: list[bytes] = []
    taken = 0
    while (record := records.next()) is not None:
        fields = record.fields
        if len(fields) != width:
            if len(fields) > 1 or fields[0].strip():
                raise ragged(name, record.line, len(fields), width, separator)
        else:
            out.append(separator.join([plain(field) for field in fields]))
        taken = record.end
    out.append(b"")
    return Rewritten(b"\n".join(out), len(out) - 1, taken)


def plain(field: bytes) -> bytes:
    """A quote inside a value that is not in quotes is a character like any other: said so in quotes."""
    return field if field[:1] == b'"' or b'"' not in field else b'"' + field.replace(b'"', b'""') + b'"'


def value(field: bytes) -> str:
    """What a raw field stands for."""
    return (field[1:-1].replace(b'""', b'"') if field[:1] == b'"' else field).decode()


@cache
def _field(separator: bytes) -> re.Pattern[bytes]:
    mark = re.escape(separator)
    return re.compile(
        rb'("[^"]*+(?:""[^"]*+)*+"|[^"\r\n' + mark + rb"][^\r\n" + mark + rb"]*+|)(" + mark + rb"|\r\n|\n|\r|\Z)",
    )


def _short(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    return text if len(text) <= 40 else text[:38] + '…"'
