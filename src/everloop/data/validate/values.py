"""Value skew: what is in the columns. It warns, and asks for retraining, unless the person says that it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from everloop.core.rules.checks import bounds, row_checks
from everloop.core.schemas import ColumnRule, Key, RowRule, Schema, Weight, seconds
from everloop.core.tables import Kind
from everloop.core.verdict import Finding
from everloop.data.validate.counts import Counts, Which
from everloop.data.validate.samples import Sample
from everloop.data.validate.structure import mostly

Samples = Callable[[Which], Sequence[Sample]]
_SHOWN = 3


def values(
    schema: Schema, kinds: Mapping[str, Kind], rules: Mapping[str, ColumnRule], counts: Counts, samples: Samples, *, now: float | None
) -> Iterator[Finding]:
    """`rules` are those of columns that are there and of their kind; `samples` are fetched only for what is broken."""
    for rule in rules.values():
        if counts.valid(rule.name):
            yield from _column(rule, kinds[rule.name], counts, samples)
    for key in schema.keys:
        which = Which("keys", ", ".join(key.columns))
        if which in counts.broken:
            yield from _key(key, which, counts, samples)
    for rule in schema.rules:
        which = Which("rule", rule.title)
        if which in counts.broken:
            yield from _relation(rule, which, counts, samples)
    yield from _freshness(schema, counts, now)
    for which, reason in counts.unasked.items():
        yield _unasked(which, reason)


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that more values break than may: what a finding is made of."""

    which: Which
    count: int
    of: int
    weight: Weight
    allowed: float = 0.0
    samples: Sequence[Sample] = ()
    estimated: bool = False

    def finding(self, message: str) -> Finding:
        evidence: dict[str, object] = {"skew": "value", "count": self.count, "of": self.of, "share": round(self.count / self.of, 6)}
        if self.estimated:
            evidence["estimated"] = True
        if self.samples:
            single = all(len(sample.values) == 1 for sample in self.samples) and self.which.check not in ("keys", "rule")
            evidence["rows"] = [sample.row for sample in self.samples]
            evidence["samples"] = [sample.values[0] if single else list(sample.values) for sample in self.samples]
        return Finding(
            check=self.which.check,
            passed=False,
            message=message,
            subject=self.which.subject,
            observed=round(self.count / self.of, 6) if self.allowed else self.count,
            limit=self.allowed or 0,
            severity=self.weight,
            evidence=evidence,
        )

    def share(self) -> str:
        return f"{'about ' if self.estimated else ''}{self.count:,} of {self.of:,}"

    def up_to(self) -> str:
        return f", up to {self.allowed * 100:.4g} % are allowed" if self.allowed else ""

    def such_as(self) -> str:
        shown = [
            repr(sample.values[0]) if len(sample.values) == 1 else f"({', '.join(map(repr, sample.values))})"
            for sample in self.samples[:_SHOWN]
        ]
        return f"{';' if self.which.check == 'range' else ','} such as {', '.join(dict.fromkeys(shown))}" if shown else ""


def _column(rule: ColumnRule, kind: Kind, counts: Counts, samples: Samples) -> Iterator[Finding]:
    yield from _nulls(rule, counts, samples)
    checks = [check for check in row_checks(rule, kind) if check != "nulls"]
    for check in (*checks, *(["unique"] if rule.unique else [])):
        which = Which(check, rule.name)
        count, of, allowed = counts.broken.get(which, 0), counts.valid(rule.name), rule.allowed(check)
        if count > allowed * of:
            breach = Breach(which, count, of, rule.weight(check), allowed, samples(which), which in counts.estimated)
            share = f"{count / of:.1%} of the values" if check == "range" and allowed else f"{breach.share()} values"
            yield breach.finding(f"column {rule.name!r}: {share} {_said(rule, kind, check)}{breach.up_to()}{breach.such_as()}")


def _said(rule: ColumnRule, kind: Kind, check: str) -> str:
    match check:
        case "range":
            return f"are outside {_between(*bounds(rule, kind))}"
        case "categories":
            return "are not in the schema's vocabulary"
        case "pattern":
            return f"do not match {rule.pattern!r}"
        case "lengths":
            unit = {"text": "characters", "bytes": "bytes"}.get(kind, "members")
            return f"have not {_between(rule.min_length, rule.max_length)} {unit}"
        case _:
            return "were there before: each must be unique"


def _nulls(rule: ColumnRule, counts: Counts, samples: Samples) -> Iterator[Finding]:
    missing = counts.missing(rule.name)
    bound = mostly(rule)
    if not missing or (bound is not None and missing > bound * counts.rows):
        return  # none, or so many that it is structure
    if not rule.nullable:
        which = Which("nulls", rule.name)
        message = f"column {rule.name!r} has no value in {missing:,} of {counts.rows:,} rows: the schema allows none"
        yield Breach(which, missing, counts.rows, rule.weight("nulls"), 0.0, samples(which)).finding(message)
    elif rule.max_null_share is not None and missing > rule.max_null_share * counts.rows:
        breach = Breach(Which("null_share", rule.name), missing, counts.rows, rule.weight("null_share"), rule.max_null_share)
        yield breach.finding(f"column {rule.name!r} has no value in {missing / counts.rows:.1%} of the rows{breach.up_to()}")


def _key(key: Key, which: Which, counts: Counts, samples: Samples) -> Iterator[Finding]:
    count = counts.broken[which]
    if count:
        breach = Breach(which, count, counts.rows, key.severity, 0.0, samples(which), which in counts.estimated)
        names = " and ".join(map(repr, key.columns))
        yield breach.finding(f"{names} together are no key: {breach.share()} rows have values that were there before{breach.such_as()}")


def _relation(rule: RowRule, which: Which, counts: Counts, samples: Samples) -> Iterator[Finding]:
    count = counts.broken[which]
    if count > rule.tolerance * counts.rows:
        breach = Breach(which, count, counts.rows, rule.severity, rule.tolerance, samples(which))
        named = f"rule {rule.name!r} ({rule.check})" if rule.name else f"rule {rule.check}"
        said = f"{named} is broken by {count:,} of {counts.rows:,} rows{breach.up_to()}"
        if breach.samples:
            said += f", such as row {breach.samples[0].row} with {', '.join(map(repr, breach.samples[0].values))}"
        yield breach.finding(said)


def _freshness(schema: Schema, counts: Counts, now: float | None) -> Iterator[Finding]:
    fresh = schema.freshness
    if fresh is None:
        return
    limit = seconds(fresh.within)
    if now is None or limit is None or counts.newest is None:
        reason = "the time of the validation is not given" if now is None else f"column {fresh.column!r} holds no time"
        yield _unasked(Which("freshness", fresh.column), reason)
        return
    age = now - counts.newest
    newest = datetime.fromtimestamp(counts.newest, UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    fits = age <= limit
    message = f"the newest {fresh.column!r} is {newest} UTC, {_age(age)} before the validation; " + (
        f"within {fresh.within}" if fits else f"no more than {fresh.within} is allowed"
    )
    evidence: dict[str, object] = {"skew": "value", "newest": counts.newest, "now": now}
    yield Finding(
        check="freshness",
        passed=fits,
        message=message,
        subject=fresh.column,
        observed=round(age, 3),
        limit=limit,
        severity=fresh.severity,
        evidence=evidence,
    )


def _unasked(which: Which, reason: str) -> Finding:
    """A rule that could not be held against this table is no rule that was kept: it is said."""
    named = f"rule {which.subject!r}" if which.check == "rule" else f"{which.check} of {which.subject!r}"
    return Finding(check="not_checked", passed=False, message=f"{named} was not checked: {reason}", subject=which.subject, severity="info")


def _between(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"{low:g} and more" if low is not None else f"{high:g} and less"


def _age(seconds: float) -> str:
    if seconds < 0:
        return f"{_age(-seconds)} after, not"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
