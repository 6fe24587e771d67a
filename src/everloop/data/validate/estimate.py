"""Profile -> the counts of what breaks which rule, as far as statistics tell: for a table whose rows are gone, or that need not be read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from everloop.core.profiles import ColumnProfile, Profile
from everloop.core.rules.checks import alike, asked, bounds, row_checks
from everloop.core.schemas import ColumnRule, Schema, Stage
from everloop.core.tables import Kind
from everloop.data.validate.counts import Counts, Which


def estimate(profile: Profile, schema: Schema, kinds: Mapping[str, Kind], *, stage: Stage) -> tuple[Counts, dict[str, ColumnRule]]:
    """Exact to one bin of a range; exact otherwise, or unasked. Also the rules of columns that are there and of their kind."""
    there = [rule for rule in asked(schema, stage) if rule.name in kinds]
    seen = {column.name: column for column in profile.columns}
    rules = {rule.name: rule for rule in there if rule.name in seen and alike(rule.kind, kinds[rule.name])}
    broken: dict[Which, int] = {}
    unasked: dict[Which, str] = {}
    for which, count in _columns(rules, kinds, seen):
        if count is None:
            unasked[which] = "the profile does not tell"
        else:
            broken[which] = count
    for key in schema.keys:
        unasked[Which("keys", ", ".join(key.columns))] = "the profile does not tell"
    for rule in schema.rules:
        unasked[Which("rule", rule.title)] = "the profile does not tell"
    fresh = seen.get(schema.freshness.column) if schema.freshness else None
    counts = Counts(
        rows=profile.rows,
        nulls={rule.name: seen[rule.name].nulls for rule in there if rule.name in seen},
        odd={rule.name: seen[rule.name].nans for rule in there if rule.name in seen},
        broken=broken,
        newest=fresh.high if fresh is not None and fresh.kind == "time" else None,
        unasked=unasked,
    )
    return counts, rules


def _columns(
    rules: Mapping[str, ColumnRule], kinds: Mapping[str, Kind], seen: Mapping[str, ColumnProfile]
) -> Iterator[tuple[Which, int | None]]:
    for name, rule in rules.items():
        column = seen[name]
        for check in row_checks(rule, kinds[name]):
            match check:
                case "nulls":
                    continue
                case "range":
                    yield Which(check, name), _outside(column, *bounds(rule, kinds[name]))
                case "categories" if kinds[name] == "text":
                    # Beyond the top categories there is nothing that a vocabulary this short could know.
                    fresh = sum(count for value, count in column.top if value not in set(rule.vocabulary or ()))
                    yield Which(check, name), fresh + column.other + column.unseen
                case "lengths" if column.lengths is not None and _inside(column, rule):
                    yield Which(check, name), 0
                case _:
                    yield Which(check, name), None
        if rule.unique:
            yield Which("unique", name), column.valid - column.distinct if column.exact_distinct else None


def _inside(column: ColumnProfile, rule: ColumnRule) -> bool:
    assert column.lengths is not None
    low, high = rule.min_length or 0, rule.max_length
    return column.lengths.low >= low and (high is None or column.lengths.high <= high)


def _outside(seen: ColumnProfile, low: float | None, high: float | None) -> int:
    """Values outside [low, high] by the profile's bins. An outer bin whose true extreme lies beyond counts whole: its edges do not tell."""
    below = above = 0
    if low is not None:
        below = sum(count for edge, count in zip(seen.edges, seen.counts, strict=False) if edge < low)
        if not below and seen.low is not None and seen.low < low and seen.counts:
            below = seen.counts[0]
    if high is not None:
        above = sum(count for edge, count in zip(seen.edges, seen.counts, strict=False) if edge > high)
        if not above and seen.high is not None and seen.high > high and seen.counts:
            above = seen.counts[-1]
    return min(below + above, seen.valid)
