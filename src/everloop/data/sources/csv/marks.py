"""What stands where in a block's bytes, looked at many at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_QUOTE, _RETURN, _NEWLINE, _ZERO = ord('"'), ord("\r"), ord("\n"), ord("0")
# Several looks at the same bytes, and what they find, stay in the processor's cache.
_CUT_BYTES = 1 << 17


class Survey(NamedTuple):
    """How many `lines` end in a block; whether in some field a number begins with a zero and another digit."""

    lines: int
    zeros: bool


def survey(data: bytes, separator: bytes, *, quoted: bool, cut_bytes: int = _CUT_BYTES) -> Survey:
    """Of whole records, of which the last ends in a newline; `quoted` says whether quotes enclose fields."""
    raw: Any = np.frombuffer(data, dtype=np.uint8)
    newline, begins, fits = (np.empty(cut_bytes, dtype=bool) for _ in range(3))
    digit: Any = np.empty(cut_bytes, dtype=np.uint8)
    sep, *others = (separator[0], _QUOTE) if quoted else (separator[0],)
    lines = 0
    zeros = data[:1] == b"0" and _numbers(raw, np.zeros(1, dtype=np.int64), separator)
    for start in range(0, len(data), cut_bytes):
        cut = raw[start : start + cut_bytes]
        lines += int(np.count_nonzero(np.equal(cut, _NEWLINE, out=newline[: len(cut)])))
        if zeros:
            continue
        # A mark before the field, a zero, and a digit.
        second = raw[start + 2 : start + 2 + cut_bytes]
        size = len(second)
        found, other = begins[:size], fits[:size]
        np.bitwise_or(newline[:size], np.equal(cut[:size], sep, out=other), out=found)
        for mark in others:
            found |= np.equal(cut[:size], mark, out=other)
        found &= np.equal(raw[start + 1 : start + 1 + size], _ZERO, out=other)
        found &= np.less(np.subtract(second, _ZERO, out=digit[:size]), 10, out=other)
        zeros = bool(found.any()) and _numbers(raw, np.flatnonzero(found) + (start + 1), separator)
    return Survey(lines, zeros)


def count(data: bytes, mark: bytes) -> int:
    """As `bytes.count` of one byte, which takes several times as long where there are many."""
    raw: Any = np.frombuffer(data, dtype=np.uint8)
    found: Any = np.empty(_CUT_BYTES, dtype=bool)
    total = 0
    for start in range(0, len(data), _CUT_BYTES):
        cut = raw[start : start + _CUT_BYTES]
        total += int(np.count_nonzero(np.equal(cut, mark[0], out=found[: len(cut)])))
    return total


def record_end(data: bytes) -> int:
    """Where the last whole record ends, 0 if none does; only for regular quotes."""
    end = data.rfind(b"\n") + 1
    odd = data.count(b'"', 0, end) % 2
    while odd and end:
        opens = data.rfind(b'"', 0, end)
        before = data.rfind(b"\n", 0, opens) + 1
        odd ^= data.count(b'"', before, end) % 2
        end = before
    return end


def regular(data: bytes, separator: bytes) -> bool:
    """Whether each quote opens a field, closes one or is doubled inside one. What the last byte does nobody knows yet."""
    raw: Any = np.frombuffer(data, dtype=np.uint8)
    marks = np.flatnonzero(raw == _QUOTE)
    opens, closes = marks[0::2], marks[1::2]
    mark = separator[0]
    if opens[0] == 0:
        opens = opens[1:]
    if len(closes) and closes[-1] == len(data) - 1:
        closes = closes[:-1]
    before, after = raw[opens - 1], raw[closes + 1]
    return bool(
        ((before == mark) | (before == _NEWLINE) | (before == _QUOTE)).all()
        and ((after == mark) | (after == _NEWLINE) | (after == _QUOTE) | (after == _RETURN)).all()
    )


def lone_returns(data: bytes) -> bool:
    """Whether a carriage return stands without a newline behind it."""
    if b"\r" not in data:
        return False
    raw: Any = np.frombuffer(data, dtype=np.uint8)
    marks = np.flatnonzero(raw == _RETURN)
    return bool(marks[-1] == len(data) - 1 or (raw[marks + 1] != _NEWLINE).any())


def runs_over(data: bytes, separator: bytes, width: int) -> int:
    """The first line (from 1) of a record over several lines each of which would be a record too if quotes meant nothing; 0 if there is none."""
    start, odd, whole = 0, False, True
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        if not odd:
            start, whole = number, True
        whole = whole and line.count(separator) == width - 1
        if line.count(b'"') % 2:
            odd = not odd
        if not odd and whole and number > start:
            return start
    return 0


def _numbers(raw: Any, at: Any, separator: bytes) -> bool:
    """Whether a field that begins with a zero at one of the places looks like a number of several digits."""
    at = at[raw[at + 1] - _ZERO < 10]
    # What follows the digits tells a date or a time of day from a number; the last byte of a block is a line end.
    while len(at):
        at = at + 1
        mark = raw[at]
        if (_ends(mark, separator) | (mark | 32 == ord("e"))).any():
            return True
        at = at[(mark - _ZERO < 10) | (mark == ord("."))]
    return False


def blanks_alone(data: bytes, separator: bytes) -> bool:
    """Whether some field has blanks in it and nothing else."""
    raw: Any = np.frombuffer(data, dtype=np.uint8)
    for blank in b" \t".replace(separator, b""):
        at = _starting_with(bytes([blank]), data, separator)
        while len(at):
            at = at + 1
            mark = raw[at]
            if _ends(mark, separator).any():
                return True
            at = at[(mark == ord(" ")) | (mark == ord("\t"))]
    return False


def _starting_with(mark: bytes, data: bytes, separator: bytes) -> Any:
    """Where fields begin that begin with the mark. Two bytes are compared at once, those at even places and those at odd ones."""
    found: list[Any] = [np.zeros(1, dtype=np.int64)] if data[:1] == mark else []
    for before in (separator[0], _NEWLINE, *((_QUOTE,) if b'"' in data else ())):
        pair = before | mark[0] << 8
        for offset in (0, 1):
            pairs: Any = np.frombuffer(data, dtype="<u2", offset=offset, count=(len(data) - offset) // 2)
            found.append(np.flatnonzero(pairs == pair) * 2 + offset + 1)
    return np.concatenate(found)


def _ends(mark: Any, separator: bytes) -> Any:
    return (mark == separator[0]) | (mark == _NEWLINE) | (mark == _RETURN) | (mark == _QUOTE)
