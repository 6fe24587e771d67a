"""What a column's cells are: numbers, truth values, text, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

# Kinds, from what says least to what says most: none (no cell has anything in it), quotes (empty cells in quotes), bool, int, float, text.
DTYPES: Mapping[str, Any] = {"i": pl.Int64, "f": pl.Float64, "b": pl.Boolean, "t": pl.String, "n": pl.String, "q": pl.String}
_SAMPLE = 64
_BLANKS = " \t"
LEADING_ZERO = "^0[0-9]"
BLANK = r"^[ \t]+$"
# Whole numbers beyond 64 bits have no fewer digits.
GIANT = r"^[ \t]*[+-]?[0-9]{19,}$"
_INT64_EDGE = 2.0**63


def join(a: str, b: str) -> str:
    """The kind of a column that has cells of both."""
    if a == b:
        return a
    low, high = sorted((a, b), key="nqbift".index)
    if low in "nq":
        return high
    return "f" if low == "i" and high == "f" else "t"


def stands(given: str, final: str) -> bool:
    """Whether cells that were given as one kind are still right when the column turns out to be of another: integers widen to floats without
    loss of what was written, and nothing is null in any column but one of text, where an empty text is not a null."""
    return given in {final, "n"} or (given, final) == ("i", "f") or (given == "q" and final in "ifb")


def look(text: pl.DataFrame) -> list[str]:
    """The kind of each column of a table of text.

    Spaces may stand before a number, but spaces alone are none: `missing` is for that. A column in which any cell starts with a zero and
    another digit is text, as is one with a whole number of more than 64 bits: both would not come back as they were written.
    """
    if not text.width:
        return []
    # Most columns of text show it in their first rows, and no more need be done with them.
    head = text.head(_SAMPLE)
    numeric = head.select((_bare(pl.all()).str.contains(r"^[-+.0-9nNiI]|^$") | pl.all().is_null()).all()).row(0)
    boolean = head.select((_low(pl.all()).is_in(["true", "false", ""]) | pl.all().is_null()).all()).row(0)
    may = [at for at in range(text.width) if numeric[at] or boolean[at]]
    kinds = ["t"] * text.width
    for at, kind in zip(may, _kinds(text.select(pl.nth(may)), [boolean[at] for at in may]) if may else (), strict=True):
        kinds[at] = kind
    return kinds


def _kinds(text: pl.DataFrame, boolean: Sequence[bool]) -> list[str]:
    """`boolean` says which columns may be ones of truth values."""
    column: Any = pl.all()
    bare = text.select(_bare(column))
    there, zeros = text.select(column.count()).row(0), text.select(column.str.contains(LEADING_ZERO).sum()).row(0)
    said, full = text.select((column != "").sum()).row(0), bare.select((column != "").sum()).row(0)
    whole = bare.select(column.cast(pl.Int64, strict=False).count()).row(0)
    # What follows costs most, and only some columns ask for it.
    truth, real, giants = [0] * text.width, list(whole), [0] * text.width
    if may := [at for at in range(text.width) if boolean[at]]:
        _put(truth, may, text.select(_low(pl.nth(may)).is_in(["true", "false", ""]).sum()))
    if broken := [at for at in range(text.width) if whole[at] < full[at]]:
        numbers = bare.select(pl.nth(broken).cast(pl.Float64, strict=False))
        _put(real, broken, numbers.select(column.count()))
        if far := [broken[at] for at in beyond(numbers)]:
            of: Any = pl.nth(far)
            _put(giants, far, bare.select((of.str.contains(GIANT) & of.cast(pl.Int64, strict=False).is_null()).sum()))
    return [_kind(_Counts(*of)) for of in zip(there, full, said, whole, real, truth, zeros, giants, strict=True)]


def _put(counts: list[int], places: Sequence[int], found: pl.DataFrame) -> None:
    for at, count in zip(places, found.row(0), strict=True):
        counts[at] = count


def beyond(floats: pl.DataFrame) -> list[int]:
    """Which columns have a value beyond 64-bit integers, be it infinite: what has hundreds of digits is that too."""
    column: Any = pl.all()
    if not floats.width:
        return []
    ends = zip(floats.select(column.max()).row(0), floats.select(column.min()).row(0), strict=True)
    return [at for at, (high, low) in enumerate(ends) if high is not None and (high >= _INT64_EDGE or low <= -_INT64_EDGE)]


class _Counts(NamedTuple):
    """Cells that are there, that hold more than blanks, that hold anything, that are whole numbers, numbers, truth values; and those that
    begin with a zero and another digit, and whole numbers beyond 64 bits."""

    there: int
    full: int
    said: int
    whole: int
    real: int
    truth: int
    zeros: int
    giants: int


def _kind(of: _Counts) -> str:
    if not of.there:
        return "n"
    if not of.said:
        return "q"
    if of.said > of.full:
        return "t"
    if of.truth == of.there:
        return "b"
    if of.zeros or of.giants:
        return "t"
    return "i" if of.whole == of.full else "f" if of.real == of.full else "t"


def typed(text: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """A table of text as values of kinds that hold all of them."""
    return text.select([_values(pl.nth(at), kind) for at, kind in enumerate(kinds)])


def _values(column: Any, kind: str) -> Any:
    match kind:
        case "i" | "f":
            return _bare(column).cast(DTYPES[kind], strict=False)
        case "b":
            return pl.when(column == "").then(None).otherwise(_low(column) == "true").name.keep()
        case "t":
            return column
        case _:
            return pl.when(False).then(column).name.keep()


def _bare(column: Any) -> Any:
    return column.str.strip_chars_start(_BLANKS)


def _low(column: Any) -> Any:
    return column.str.to_lowercase()


@dataclass
class Kinds:
    """What is known of a file's columns so far, and what has been given as what. Outlives a reading that has to begin again."""

    now: list[str] = field(default_factory=list[str])
    given: list[str] = field(default_factory=list[str])
    """Kinds under which cells were given, a string of them a column."""

    def begin(self, width: int, before: Sequence[str] = ()) -> None:
        """Forget what was given in an earlier reading; `before` are the kinds of the same file's rows that were given long ago."""
        if before:
            self.now = list(before)
        if len(self.now) != width:
            self.now = ["n"] * width
        self.given = list(before) or [""] * width

    def widen(self, found: Iterable[str]) -> None:
        self.now = [join(known, kind) for known, kind in zip(self.now, found, strict=True)]

    def give(self) -> None:
        self.given = [known if kind in known else known + kind for known, kind in zip(self.given, self.now, strict=True)]

    def sound(self) -> bool:
        """Whether all that was given can stand."""
        return all(stands(kind, now) for given, now in zip(self.given, self.now, strict=True) for kind in given)

    def end(self) -> None:
        """No cell follows: empty texts that are all a column has are its text."""
        self.now = ["t" if kind == "q" else kind for kind in self.now]


def packed(kinds: Iterable[str]) -> str:
    """`iiift` -> `3ift`: kinds in a line, for an origin."""
    out: list[str] = []
    run, last = 0, ""
    for kind in [*kinds, ""]:
        if kind == last:
            run += 1
            continue
        out.append((str(run) if run > 1 else "") + last)
        run, last = 1, kind
    return "".join(out)


def unpacked(text: str) -> list[str]:
    out: list[str] = []
    count = ""
    for mark in text:
        if mark.isdigit():
            count += mark
        else:
            out += [mark] * int(count or 1)
            count = ""
    return out
