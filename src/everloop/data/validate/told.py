"""Profile and schema -> what the statistics of the very rows settle for certain, so that the rows need not be asked.

Clean data are the usual case, and for these the lowest and highest value, the counts of nulls and the list of all words say that nothing is broken. What
they do not settle, or say is broken, is asked of the rows, for exact counts and samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from everloop.core.profiles import ColumnProfile, Profile
from everloop.core.rules.checks import alike, asked, bounds, row_checks
from everloop.core.schemas import ColumnRule, Schema, Stage
from everloop.core.tables import Kind
from everloop.data.validate.counts import Which

# From here on a float no longer tells whole numbers apart.
_EXACT = float(1 << 53)


class Told(NamedTuple):
    """Of a whole table: nulls and odd values of its columns, the rules that no row breaks, the newest time where the schema asks for it."""

    rows: int
    nulls: Mapping[str, int]
    odd: Mapping[str, int]
    kept: frozenset[Which]
    newest: float | None


def told(profile: Profile, schema: Schema, kinds: Mapping[str, Kind], *, stage: Stage = "training") -> Told:
    """`profile` is that of the rows that are asked about, made without a reference."""
    seen = {column.name: column for column in profile.columns}
    kept: set[Which] = set()
    for rule in asked(schema, stage):
        column, kind = seen.get(rule.name), kinds.get(rule.name)
        if column is None or kind is None or column.kind != kind or not alike(rule.kind, kind):
            continue
        kept.update(Which(check, rule.name) for check in row_checks(rule, kind) if _keeps(check, rule, kind, column))
        if rule.unique and column.exact_distinct and column.distinct == column.valid:
            kept.add(Which("unique", rule.name))
    fresh = seen.get(schema.freshness.column) if schema.freshness else None
    return Told(
        rows=profile.rows,
        nulls={name: column.nulls for name, column in seen.items()},
        odd={name: column.nans for name, column in seen.items()},
        kept=frozenset(kept),
        newest=fresh.high if fresh is not None and fresh.kind == "time" else None,
    )


def _keeps(check: str, rule: ColumnRule, kind: Kind, column: ColumnProfile) -> bool:
    if not column.valid:
        return check != "nulls"
    match check:
        case "range":
            low, high = bounds(rule, kind)
            if column.low is None or column.high is None or max(abs(column.low), abs(column.high)) >= _EXACT:
                return False
            return (low is None or column.low >= low) and (high is None or column.high <= high)
        case "categories":
            complete = kind == "text" and column.exact_distinct and not column.other and not column.unseen
            return complete and {value for value, count in column.top if count} <= set(rule.vocabulary or ())
        case "lengths":
            if column.lengths is None:
                return False
            return column.lengths.low >= (rule.min_length or 0) and (rule.max_length is None or column.lengths.high <= rule.max_length)
        case _:
            return False
