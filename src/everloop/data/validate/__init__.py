"""Table, or its profile, and schema -> the verdict on the data.

Schema skew (columns missing, renamed, added, of another kind or empty, also in a part of the rows; too few rows or too many) stops; value skew (a few nulls,
values out of range, new categories, texts of another form, rows that contradict themselves) warns and asks for retraining, unless the person says
that it stops. Each finding carries which of the two it is (`core/schemas.py: skew`).

A whole table is counted in one query (`compile.py`), a stream batch by batch (`checks.py`), and where only statistics are left the counts are read off
them (`estimate.py`). Rows that break a rule are looked for only once a rule is broken.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from everloop.core.profiles import Profile
from everloop.core.schemas import Schema, Stage
from everloop.core.tables import Column
from everloop.core.verdict import Verdict, verdict
from everloop.data.validate import numbers
from everloop.data.validate.checks import Checks
from everloop.data.validate.compile import Check
from everloop.data.validate.estimate import estimate
from everloop.data.validate.judge import judge
from everloop.data.validate.samples import fetch

__all__ = ["Check", "Checks", "validate"]


def validate(
    profile: Profile | None,
    columns: Sequence[Column],
    schema: Schema,
    *,
    about: str,
    frame: pl.DataFrame | pl.LazyFrame | None = None,
    now: float | None = None,
    stage: Stage = "training",
) -> Verdict:
    """The verdict "data". `columns` are those that were really there.

    With the `frame` itself, whole or lazy (then read in bounded memory), counts are exact and findings carry rows and values. Without it they are read
    off the profile: exact to one bin of a range, and what a profile does not tell is said to be unchecked. `now`, seconds since the epoch, is needed
    where the schema asks for freshness (`schema.timely`), and only there: the verdict depends on nothing else that changes.
    Raises BadInput when a pattern or an expression of the schema is not understood.
    """
    if frame is None:
        assert profile is not None
        counts, rules = estimate(profile, schema, {column.name: column.kind for column in columns}, stage=stage)
        return verdict("data", about, judge(schema, columns, rules, counts, samples=lambda _: (), texts={}, now=now, stage=stage))
    check = Check(schema, frame.collect_schema(), stage=stage)
    names = numbers.candidates(check.rules, check.kinds, frame)
    amounts = numbers.count(frame, names) if names else {}
    counts = check(frame)
    texts = {name: (amount, numbers.odd_ones(frame, name) if amount < counts.valid(name) else []) for name, amount in amounts.items()}
    return verdict(
        "data",
        about,
        judge(schema, columns, check.rules, counts, samples=lambda which: fetch(frame, check, which), texts=texts, now=now, stage=stage),
    )
