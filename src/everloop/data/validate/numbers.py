"""Text that is nearly always a number was probably meant as one: eleven blanks make a column of charges text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from everloop.core.schemas import ColumnRule
from everloop.core.tables import Kind
from everloop.core.verdict import Finding

MOSTLY_NUMBERS_SHARE = 0.95
SAMPLES = 5
# Reading a text as a number costs more than all other checks of it. A few rows tell what names and notes never are.
_FIRST_ROWS = 1000
_FIRST_SHARE = 0.8


def candidates(rules: Mapping[str, ColumnRule], kinds: Mapping[str, Kind], frame: pl.DataFrame | pl.LazyFrame) -> list[str]:
    """Columns of free text whose first values are mostly numbers."""
    names = [
        name
        for name, rule in rules.items()
        if kinds[name] == "text" and rule.kind == "text" and rule.vocabulary is None and rule.pattern is None
    ]
    if not names:
        return []
    first = frame.lazy().select(names).head(_FIRST_ROWS).collect()
    shares = first.select([_is_number(name).sum() / pl.col(name).count() for name in names]).row(0)
    return [name for name, share in zip(names, shares, strict=True) if share is not None and share >= _FIRST_SHARE]


def count(frame: pl.DataFrame | pl.LazyFrame, names: list[str]) -> dict[str, int]:
    """How many values of these columns are numbers."""
    return frame.lazy().select([_is_number(name).sum() for name in names]).collect().row(0, named=True)


def odd_ones(frame: pl.DataFrame | pl.LazyFrame, name: str) -> list[str]:
    """Some different values that are not."""
    odd = frame.lazy().select(name).filter(~_is_number(name)).unique(maintain_order=True).head(SAMPLES)
    return odd.collect()[name].to_list()


def finding(rule: ColumnRule, numbers: int, valid: int, samples: list[str]) -> Finding | None:
    if not valid or numbers < MOSTLY_NUMBERS_SHARE * valid or numbers == valid:
        return None
    odd = valid - numbers
    shown = repr(samples[0]) if samples else "another"
    return Finding(
        check="text_of_numbers",
        passed=False,
        message=(
            f"column {rule.name!r} is text because of {odd:,} values such as {shown}; all others are numbers. "
            f"If these mean nothing, read them as missing: Files(..., missing=[{shown}])"
        ),
        subject=rule.name,
        observed=odd,
        limit=0,
        severity=rule.weight("text_of_numbers"),
        evidence={"skew": "value", "count": odd, "of": valid, "share": round(odd / valid, 6), "samples": samples},
    )


def _is_number(name: str) -> Any:
    column: Any = pl.col(name)
    return column.str.strip_chars().cast(pl.Float64, strict=False).is_not_null() & column.is_not_null()
