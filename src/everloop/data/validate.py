"""Profile and schema -> the verdict on the data.

Schema skew (columns missing, added, of another kind or empty, also in a part of the rows; too few rows) stops; value skew (a few nulls,
values out of range, new categories) warns and asks for retraining.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from everloop.core.tables import Column, ColumnProfile, ColumnRule, Profile, Schema
from everloop.core.verdict import Finding, Verdict, verdict

OUT_OF_RANGE_SHARE = 0.01
# A column that must have values and lacks them in more rows than this is missing from a batch, not a slip of the pen in one row.
MISSING_SHARE = 0.01
MOSTLY_NUMBERS_SHARE = 0.95
SAMPLES = 5


def validate(profile: Profile, columns: Sequence[Column], schema: Schema, *, about: str, frame: pl.DataFrame | None = None) -> Verdict:
    """The verdict "data". `columns` are those that were really there. With the `frame` itself shares are exact and findings carry sample
    values; without it they are read off the profile's bins, exact to one bin."""
    return verdict("data", about, [*_structure(profile, columns, schema), *_values(profile, columns, schema, frame)])


def _structure(profile: Profile, columns: Sequence[Column], schema: Schema) -> Iterator[Finding]:
    enough = profile.rows >= schema.min_rows
    yield Finding(
        check="rows",
        passed=enough,
        message=f"{profile.rows:,} rows" if enough else f"only {profile.rows:,} rows: the schema requires at least {schema.min_rows:,}",
        observed=profile.rows,
        limit=schema.min_rows,
    )
    kinds = {column.name: column.kind for column in columns}
    known = {rule.name for rule in schema.columns}
    sound = True
    for rule in schema.columns:
        finding = _missing_or_changed(rule, kinds.get(rule.name), profile.column(rule.name))
        if finding is not None:
            sound = False
            yield finding
    for name, kind in kinds.items():
        if name not in known:
            sound = False
            yield Finding(
                check="extra_column",
                passed=False,
                message=f"column {name!r} ({kind}) is not in the schema",
                subject=name,
                observed=kind,
                severity=schema.extra_columns,
            )
    if sound:
        yield Finding(
            check="columns",
            passed=True,
            message=f"all {len(known)} columns are as the schema requires",
            observed=len(kinds),
            limit=len(known),
        )


def _missing_or_changed(rule: ColumnRule, kind: str | None, seen: ColumnProfile | None) -> Finding | None:
    if kind is None:
        if not rule.required:
            return None
        return Finding(
            check="missing_column",
            passed=False,
            message=f"column {rule.name!r} is missing: the schema requires it ({rule.kind})",
            subject=rule.name,
            limit=rule.kind,
        )
    if seen is not None and seen.rows and seen.nulls == seen.rows:
        # An empty vocabulary was inferred from a column that never had a value.
        if rule.vocabulary == ():
            return None
        return Finding(
            check="empty_column",
            passed=False,
            message=f"column {rule.name!r} has no value in any row: the schema requires {rule.kind} values",
            subject=rule.name,
            observed=seen.nulls,
            limit=0,
        )
    if kind == rule.kind or {kind, rule.kind} == {"int", "float"}:
        return None
    return Finding(
        check="kind",
        passed=False,
        message=f"column {rule.name!r} is {kind}: the schema requires {rule.kind}",
        subject=rule.name,
        observed=kind,
        limit=rule.kind,
    )


def _values(profile: Profile, columns: Sequence[Column], schema: Schema, frame: pl.DataFrame | None) -> Iterator[Finding]:
    kinds = {column.name: column.kind for column in columns}
    for rule in schema.columns:
        seen, kind = profile.column(rule.name), kinds.get(rule.name)
        if seen is None or kind is None or seen.valid == 0:
            continue
        series = frame[rule.name] if frame is not None and rule.name in frame.columns else None
        for finding in (
            _nulls(rule, seen, series),
            _range(rule, kind, seen, series),
            _vocabulary(rule, kind, seen, series),
            _numbers(rule, kind, series),
        ):
            if finding is not None:
                yield finding


def _nulls(rule: ColumnRule, seen: ColumnProfile, series: pl.Series | None) -> Finding | None:
    empty = seen.nulls + seen.nans
    if rule.nullable or not empty:
        return None
    evidence: dict[str, object] = {}
    if series is not None:
        missing = series.is_null() | series.is_nan() if series.dtype.is_float() else series.is_null()
        evidence = {"rows": missing.arg_true().head(SAMPLES).to_list()}
    return Finding(
        check="nulls",
        passed=False,
        message=f"column {rule.name!r} has no value in {empty:,} of {seen.rows:,} rows: the schema allows none",
        subject=rule.name,
        observed=empty,
        limit=0,
        severity="stop" if empty > MISSING_SHARE * seen.rows else "warn",
        evidence=evidence,
    )


def _range(rule: ColumnRule, kind: str, seen: ColumnProfile, series: pl.Series | None) -> Finding | None:
    if kind not in ("int", "float") or (rule.low is None and rule.high is None):
        return None
    low, high = rule.low if rule.low is not None else float("-inf"), rule.high if rule.high is not None else float("inf")
    samples: list[object] = []
    if series is not None:
        outside = series.filter(
            ((series < low) | (series > high)).fill_null(False) & (series.is_finite() if series.dtype.is_float() else True)
        )
        count, samples = len(outside), outside.head(SAMPLES).to_list()
    else:
        count = _outside(seen, low, high)
    share = count / seen.valid
    if share <= OUT_OF_RANGE_SHARE:
        return None
    return Finding(
        check="range",
        passed=False,
        message=(
            f"column {rule.name!r}: {share:.1%} of the values are outside {_between(rule)}, up to 1 % are allowed"
            + (f"; such as {', '.join(map(str, samples[:3]))}" if samples else f"; seen {seen.low:g} to {seen.high:g}")
        ),
        subject=rule.name,
        observed=round(share, 6),
        limit=OUT_OF_RANGE_SHARE,
        severity="warn",
        evidence={"samples": samples, "low": seen.low, "high": seen.high},
    )


def _between(rule: ColumnRule) -> str:
    if rule.low is not None and rule.high is not None:
        return f"{rule.low:g} to {rule.high:g}"
    return f"{rule.low:g} and more" if rule.low is not None else f"{rule.high:g} and less"


def _outside(seen: ColumnProfile, low: float, high: float) -> int:
    """Values outside [low, high] by the profile's bins. An outer bin whose true extreme lies beyond counts whole: its edges do not tell."""
    below = sum(count for edge, count in zip(seen.edges, seen.counts, strict=False) if edge < low)
    above = sum(count for edge, count in zip(seen.edges, seen.counts, strict=False) if edge > high)
    if not below and seen.low is not None and seen.low < low and seen.counts:
        below = seen.counts[0]
    if not above and seen.high is not None and seen.high > high and seen.counts:
        above = seen.counts[-1]
    return min(below + above, seen.valid)


def _vocabulary(rule: ColumnRule, kind: str, seen: ColumnProfile, series: pl.Series | None) -> Finding | None:
    if kind != "text" or not rule.vocabulary:
        return None
    known = set(rule.vocabulary)
    if series is not None:
        counts: Any = series.drop_nulls().value_counts(sort=True)
        fresh = [(value, count) for value, count in counts.rows() if value not in known]
        count = sum(count for _, count in fresh)
    else:
        fresh = [(value, count) for value, count in seen.top if value not in known and count]
        # Beyond the top categories there is nothing that a vocabulary this short could know.
        count = sum(count for _, count in fresh) + seen.other + seen.unseen
    if not count:
        return None
    samples = [value for value, _ in fresh[:SAMPLES]]
    return Finding(
        check="categories",
        passed=False,
        message=f"column {rule.name!r}: {count:,} of {seen.valid:,} values are not in the schema's vocabulary"
        + (f", such as {', '.join(map(repr, samples[:3]))}" if samples else ""),
        subject=rule.name,
        observed=count,
        limit=0,
        severity="warn",
        evidence={"samples": samples},
    )


def _numbers(rule: ColumnRule, kind: str, series: pl.Series | None) -> Finding | None:
    """Text that is nearly always a number was probably meant as one."""
    if kind != "text" or rule.kind != "text" or rule.vocabulary is not None or series is None:
        return None
    valid = series.drop_nulls()
    odd = valid.filter(valid.str.strip_chars().cast(pl.Float64, strict=False).is_null())
    share = 1 - len(odd) / len(valid)
    if share < MOSTLY_NUMBERS_SHARE or not len(odd):
        return None
    samples = odd.unique(maintain_order=True).head(SAMPLES).to_list()
    return Finding(
        check="text_of_numbers",
        passed=False,
        message=(
            f"column {rule.name!r} is text because of {len(odd):,} values such as {samples[0]!r}; all others are numbers. "
            f"If these mean nothing, read them as missing: Files(..., missing=[{samples[0]!r}])"
        ),
        subject=rule.name,
        observed=len(odd),
        limit=0,
        severity="warn",
        evidence={"samples": samples},
    )
