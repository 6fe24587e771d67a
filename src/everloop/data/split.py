"""Rows -> parts: 0 train, 1 valid, 2 test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import polars as pl

from everloop.core.errors import BadInput, unknown
from everloop.data.hashing import mix
from everloop.data.kinds import kind_of, normalise

How: TypeAlias = Literal["hash", "stratified", "group", "time"]
Bits: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
Parts: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Places: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

NEVER_EMPTY_FROM = 10
NO_PART = 255
"""Of a row without a target value, or too close in time to a later part."""
# More different values than that in a column are no classes to stratify by.
MAX_STRATA = 200


def assign(
    frame: pl.DataFrame,
    *,
    how: How = "hash",
    by: str | None = None,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    gap_s: float = 0.0,
) -> Parts:
    """The part of each row, (rows,). `fractions` are those of train, valid and test.

    `hash`: by the row's own content, so that a row keeps its part in every later snapshot and equal rows share one. `stratified`: the same, but in each class
    of the column `by` for itself: no class of 10 rows or more is absent from a part. `group`: by the content of the column `by` alone.
    `time`: by the column `by`, oldest first; equal times share a part, and rows less than `gap_s` seconds (of a numeric column: units) older than the
    first of the next part are in no part (`NO_PART`). From 10 rows on, no part with a fraction above zero is empty; BadInput when there are fewer
    different rows (groups, times) than parts.
    """
    check(frame.columns, how, by, fractions)
    if how == "time":
        assert by is not None
        return cut(age(frame[by]), fractions, how=how, by=by, times=frame[by], gap_s=gap_s)
    content = frame.select(by) if how == "group" and by is not None else frame
    classes = frame[by] if how == "stratified" and by is not None else None
    return cut(places(content, seed=seed), fractions, how=how, by=by, classes=classes)


def places(frame: pl.DataFrame, *, seed: int) -> Places:
    """Where between 0 and 1 the content of each row puts it, (rows,): a table may be asked about in pieces."""
    return (mix(row_hash(normalise(frame)) ^ np.uint64(_key(f"split {seed}"))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def cut(
    place: Places,
    fractions: tuple[float, float, float],
    *,
    how: How,
    by: str | None,
    classes: pl.Series | None = None,
    times: pl.Series | None = None,
    gap_s: float = 0.0,
) -> Parts:
    """Parts of rows at these places; see `assign`."""
    if times is not None:
        return _purged(_cut(place, fractions, how, by), times, gap_s)
    if classes is None:
        return _cut(place, fractions, how, by)
    distinct = classes.n_unique()
    if distinct > MAX_STRATA or (classes.dtype.is_float() and distinct > len(classes) // 2 > 0):
        raise BadInput(
            f"Split(how='stratified') by {by!r}, which has {distinct:,} different values. Stratify by a column of few, or split by hash."
        )
    strata: Any = classes.rank("dense").fill_null(0).to_numpy()
    parts = np.empty(len(place), dtype=np.uint8)
    wanted = sum(fraction > 0 for fraction in fractions)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        # A class of one or two different rows cannot be everywhere; it lies where its rows fall.
        fill = len(np.unique(place[rows])) >= wanted
        parts[rows] = _cut(place[rows], fractions, how, by, fill=fill)
    if len(parts) >= NEVER_EMPTY_FROM and len(np.unique(parts)) < wanted:
        return _cut(place, fractions, "hash", None)
    return parts


def _cut(place: Places, fractions: tuple[float, float, float], how: How, by: str | None, *, fill: bool = True) -> Parts:
    cuts = np.cumsum(fractions)[:2] / sum(fractions)
    parts = np.searchsorted(cuts, place, side="right").astype(np.uint8)
    # A fraction of zero is no part at all: its interval is empty, but the last cut may still round below 1.
    if fractions[2] == 0:
        parts[parts == 2] = 1 if fractions[1] else 0
    return _fill(parts, place, fractions, how, by) if fill and len(parts) >= NEVER_EMPTY_FROM else parts


def row_hash(frame: pl.DataFrame) -> Bits:
    """64 bits of each row's content, (rows,): the same on every platform and version, whatever order the columns are in.

    Nulls add nothing: a row keeps its hash when a column is added that it has no value in. Integers and floats of the same value are equal.
    """
    total: Bits = np.zeros(frame.height, dtype=np.uint64)
    for name in frame.columns:
        series = frame[name]
        cells = mix(_cells(series) + np.uint64(_key(name)))
        cells[series.is_null().to_numpy()] = 0
        total += cells
    return mix(total)


def _cells(series: pl.Series) -> Bits:
    kind = kind_of(series.dtype)
    if kind in ("int", "float", "bool"):
        # + 0.0 makes -0.0 and 0.0 one value; NaNs get one bit pattern.
        numbers: Any = series.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0
        return np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
    if kind == "time":
        moved = series.cast(pl.Datetime("us")) if series.dtype != pl.Time else series
        return moved.to_physical().cast(pl.Int64).fill_null(0).to_numpy().view(np.uint64)
    codes: Any
    values, codes = _distinct(series)
    hashes = np.fromiter((_key(value) for value in values), dtype=np.uint64, count=len(values))
    return hashes[codes]


def _distinct(series: pl.Series) -> tuple[list[str | bytes], Any]:
    """Different values, and the index into them of each row."""
    if kind_of(series.dtype) == "list":
        return [repr(value) for value in series.to_list()], np.arange(len(series))
    unique = series.unique(maintain_order=True)
    codes = pl.DataFrame({"v": series}).join(
        pl.DataFrame({"v": unique, "at": np.arange(len(unique), dtype=np.int64)}),
        on="v",
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return [b"" if value is None else value for value in unique.to_list()], codes["at"].to_numpy()


def _key(value: str | bytes) -> int:
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def age(times: pl.Series) -> Places:
    """The share of rows that are older, counted to the middle of a row, (rows,)."""
    if times.null_count():
        raise BadInput(f"{times.null_count()} rows have no time in {times.name!r}, by which the data is split. Fill or remove them.")
    if times.dtype == pl.String:
        raise BadInput(f"Column {times.name!r} is text, not a time. Name it where it is read: Files(..., time={times.name!r}).")
    ranks: Any = times.rank("min").to_numpy()
    return (ranks - 0.5) / max(len(times), 1)


def _purged(parts: Parts, times: pl.Series, gap_s: float) -> Parts:
    """Rows closer than the gap to the first row of a later part belong to none (Lopez de Prado 2018, ch. 7: what is told of them overlaps)."""
    if not gap_s:
        return parts
    seconds: Any = times.cast(pl.Datetime("us")).to_physical().to_numpy() / 1e6 if times.dtype.is_temporal() else times.to_numpy()
    firsts = [seconds[parts == later].min() for later in (1, 2) if (parts == later).any()]
    left = parts.copy()
    for first in firsts:
        left[(seconds < first) & (seconds > first - gap_s)] = NO_PART
    for part in np.unique(parts):
        if not (left == part).any():
            raise BadInput(
                f"The gap of {gap_s:g} s by {times.name!r} leaves no row of the {('train', 'valid', 'test')[int(part)]} part. Make it smaller: Split(gap_s=...)."
            )
    return left


def _fill(parts: Parts, place: np.ndarray[Any, Any], fractions: tuple[float, ...], how: How, by: str | None) -> Parts:
    """Give an empty part the nearest rows of the others; whole groups of equal rows, the same ones each time."""
    wanted = [part for part in range(3) if fractions[part] > 0]
    if all((parts == part).any() for part in wanted):
        return parts
    values, group = np.unique(place, return_inverse=True)
    if len(values) < len(wanted):
        what = {
            "hash": "different rows",
            "stratified": "different rows",
            "group": f"different values in {by!r}",
            "time": f"different times in {by!r}",
        }[how]
        raise BadInput(f"The data has {len(values)} {what}, too few for {len(wanted)} parts. Split it another way: Split(how=...).")
    sizes = np.bincount(group)
    share = np.array([fractions[part] for part in wanted]) / sum(fractions)
    middle: Any = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    owner = [int(at) for at in cast("Any", np.searchsorted(np.cumsum(share)[:-1], middle))]
    # Each part in order takes at least one group and leaves one for each that follows.
    for at in range(len(values)):
        low = 0 if at == 0 else owner[at - 1]
        owner[at] = min(max(owner[at], low, len(wanted) - len(values) + at), low + 1 if at else 0)
    return np.array(wanted, dtype=np.uint8)[owner][group]


def check(columns: Sequence[str], how: str, by: str | None, fractions: tuple[float, float, float]) -> None:
    if how not in get_args(How):
        raise BadInput(str(unknown("Split", how, get_args(How))))
    if how != "hash" and by is None:
        raise BadInput(f"Split(how={how!r}) needs a column: Split(how={how!r}, by='...').")
    if by is not None and by not in columns:
        raise BadInput(f"The data is to be split by {by!r}. {unknown('Column', by, columns)}")
    if min(fractions) < 0 or fractions[0] <= 0:
        raise BadInput(f"Fractions {fractions} of train, valid and test must not be negative, and train needs some.")
