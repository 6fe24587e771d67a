"""Evaluation -> gate verdict: may this candidate become a version?

A gate is a frozen rule. `judge` compares metric values; their intervals are reported as evidence. An undefined metric fails.

Where a gate takes `by`, it means a difference for metrics in [0, 1] and R² (`by=0.02`: 0.93 against 0.95), and a part of the
reference for metrics with a unit (`by=0.02` on mae: 51 against 50).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from everloop.core import plugins
from everloop.core.errors import BadInput, public, unknown
from everloop.core.models import Evaluation, Metric
from everloop.core.verdict import Finding, Verdict, verdict
from everloop.evaluate import metrics

DUMMY = "dummy"


class Gate(Protocol):
    """A rule on an evaluation. `check` finds misspelt names before anything is trained."""

    def check(self, known_metrics: Iterable[str], known_columns: Iterable[str]) -> None: ...
    def slices(self) -> tuple[str, ...]: ...
    def judge(self, evaluation: Evaluation, champion: Evaluation | None) -> Sequence[Finding]: ...


class _OnMetric(msgspec.Struct, frozen=True):
    metric: str

    def check(self, known_metrics: Iterable[str], known_columns: Iterable[str]) -> None:
        """NotFound with the closest match, when the loop does not compute this metric."""
        del known_columns
        _known_metric(self.metric, known_metrics)

    def slices(self) -> tuple[str, ...]:
        """The columns that the evaluation must be sliced by."""
        return ()


class AtMost(_OnMetric, frozen=True):
    """The metric on the whole part is `limit` or less."""

    limit: float

    def judge(self, evaluation: Evaluation, champion: Evaluation | None) -> tuple[Finding, ...]:
        del champion
        return (_within("at_most", evaluation.metric(self.metric), self.metric, low=None, high=self.limit),)


class AtLeast(_OnMetric, frozen=True):
    """The metric on the whole part is `limit` or more."""

    limit: float

    def judge(self, evaluation: Evaluation, champion: Evaluation | None) -> tuple[Finding, ...]:
        del champion
        return (_within("at_least", evaluation.metric(self.metric), self.metric, low=self.limit, high=None),)


class NoWorseThanChampion(_OnMetric, frozen=True):
    """The metric is at most `by` worse than the champion's on the same rows. Passes while there is no champion."""

    by: float = 0.0

    def judge(self, evaluation: Evaluation, champion: Evaluation | None) -> tuple[Finding, ...]:
        check = "no_worse_than_champion"
        if champion is None:
            return (
                Finding(check=check, passed=True, subject=self.metric, message=f"{self.metric}: there is no champion to compare with."),
            )
        same_rows = champion.prepared == evaluation.prepared and champion.part == evaluation.part
        return (
            _against(
                check,
                evaluation,
                champion.metric(self.metric),
                name=self.metric,
                whose="the champion",
                by=self.by,
                beat=False,
                evidence={"champion": champion.candidate, "same_rows": same_rows},
            ),
        )


class BetterThanBaseline(_OnMetric, frozen=True):
    """The metric is better than that of a simple model (`dummy`, `linear` or `tree`), by more than `by`."""

    by: float = 0.0
    baseline: str = DUMMY

    def check(self, known_metrics: Iterable[str], known_columns: Iterable[str]) -> None:
        super().check(known_metrics, known_columns)
        if self.baseline not in BASELINES:
            raise unknown("Baseline", self.baseline, BASELINES)

    def judge(self, evaluation: Evaluation, champion: Evaluation | None) -> tuple[Finding, ...]:
        del champion
        reference = next((m for m in evaluation.baselines.get(self.baseline, ()) if m.name == self.metric), None)
        return (
            _against(
                "better_than_baseline",
                evaluation,
                reference,
                name=self.metric,
                whose=f"the {self.baseline} baseline",
                by=self.by,
                beat=True,
                evidence={"baseline": self.baseline},
            ),
        )


class EverySlice(msgspec.Struct, frozen=True):
    """The metric holds in each value of a column that has `min_rows` rows or more; smaller ones are reported, not judged."""

    column: str
    metric: str
    at_most: float | None = None
    at_least: float | None = None
    min_rows: int = 30

    def __post_init__(self) -> None:
        if self.at_most is None and self.at_least is None:
            raise BadInput(f"every_slice({self.column!r}, {self.metric!r}) needs at_most= or at_least=.")

    def check(self, known_metrics: Iterable[str], known_columns: Iterable[str]) -> None:
        """NotFound with the closest match, for an unknown metric or column."""
        _known_metric(self.metric, known_metrics)
        columns = list(known_columns)
        if self.column not in columns:
            raise unknown("Slice column", self.column, columns)

    def slices(self) -> tuple[str, ...]:
        return (self.column,)

    def judge(self, evaluation: Evaluation, champion: Evaluation | None) -> tuple[Finding, ...]:
        del champion
        found = [m for m in evaluation.metrics if m.name == self.metric and m.slice.startswith(f"{self.column}=")]
        if not found:
            message = f"{self.metric} was not computed by {self.column!r}, so this gate cannot hold."
            return (Finding(check="every_slice", passed=False, subject=self.column, message=message),)
        return tuple(self._one(metric) for metric in found)

    def _one(self, metric: Metric) -> Finding:
        if metric.n < self.min_rows:
            message = f"{metric.slice} has {metric.n} rows, fewer than the {self.min_rows} that are judged."
            return Finding(check="every_slice", passed=True, severity="info", subject=metric.slice, observed=metric.value, message=message)
        return _within("every_slice", metric, self.metric, low=self.at_least, high=self.at_most)


AnyGate: TypeAlias = AtMost | AtLeast | NoWorseThanChampion | BetterThanBaseline | EverySlice

BASELINES = (DUMMY, "linear", "tree")


def at_most(metric: str, limit: float) -> AtMost:
    """`at_most("mae", 60)`: refuse a candidate whose mean absolute error is above 60."""
    return AtMost(metric, limit)


def at_least(metric: str, limit: float) -> AtLeast:
    """`at_least("accuracy", 0.9)`: refuse a candidate that is right less often."""
    return AtLeast(metric, limit)


def no_worse_than_champion(metric: str, by: float = 0.0) -> NoWorseThanChampion:
    """Refuse a candidate that is worse than the champion by more than `by`: a difference for metrics in [0, 1] and R², a part of the
    champion's value for others (`by=0.02` on mae allows 2 % more)."""
    return NoWorseThanChampion(metric, _tolerance(by))


def better_than_baseline(metric: str, by: float = 0.0, baseline: str = DUMMY) -> BetterThanBaseline:
    """Refuse a candidate that does not beat a simple model by more than `by` (same unit as in `no_worse_than_champion`)."""
    return BetterThanBaseline(metric, _tolerance(by), baseline)


def every_slice(column: str, metric: str, *, at_most: float | None = None, at_least: float | None = None, min_rows: int = 30) -> EverySlice:
    """`every_slice("season", "mae", at_most=90)`: refuse a candidate that is bad for one of the column's values."""
    return EverySlice(column, metric, at_most, at_least, min_rows)


def default(metric_names: Sequence[str]) -> tuple[AnyGate, ...]:
    """The gates of a loop that declares none: the first metric beats always answering the same, and is no more than 0.02 worse than the
    champion's (2 % for metrics with a unit)."""
    return (BetterThanBaseline(metric_names[0]), NoWorseThanChampion(metric_names[0], 0.02))


def judge(evaluation: Evaluation, champion: Evaluation | None, gates: Sequence[Gate]) -> Verdict:
    """The verdict on the question `gate`. Without gates, the default ones on the evaluation's first metric."""
    chosen: Sequence[Gate] = gates or default([metric.name for metric in evaluation.metrics[:1]])
    return verdict("gate", evaluation.id, (finding for gate in chosen for finding in gate.judge(evaluation, champion)))


def _tolerance(by: float) -> float:
    if not by >= 0:
        raise BadInput(f"by={by} must be 0 or more: how much worse is still accepted, or how much better is asked for.")
    return by


def _known_metric(name: str, known: Iterable[str]) -> None:
    listed = list(known)
    if name not in listed:
        if name in plugins.names("metrics"):
            raise BadInput(
                f"A gate asks for {name!r}, which the loop does not compute. Add it to metrics=[{', '.join(map(repr, listed))}, {name!r}]."
            )
        raise unknown("Metric", name, listed)


def _within(check: str, metric: Metric | None, name: str, *, low: float | None, high: float | None) -> Finding:
    subject = (metric.slice if metric else "") or name
    where = f" for {metric.slice}" if metric and metric.slice else ""
    bound = " and ".join(
        part for part in (f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else "") if part
    )
    if metric is None or metric.value is None:
        message = f"{name}{where} is undefined; {bound} was expected."
        return Finding(check=check, passed=False, subject=subject, limit=high if high is not None else low, message=message)
    passed = (low is None or metric.value >= low) and (high is None or metric.value <= high)
    return Finding(
        check=check,
        passed=passed,
        subject=subject,
        observed=metric.value,
        limit=high if high is not None else low,
        message=f"{name}{where} is {_shown(metric)}, {bound} was expected.",
        evidence=_evidence(metric),
    )


def _against(
    check: str,
    evaluation: Evaluation,
    reference: Metric | None,
    *,
    name: str,
    whose: str,
    by: float,
    beat: bool,
    evidence: Mapping[str, object],
) -> Finding:
    """`beat`: better than the reference by more than `by` is asked for; else no worse than it by more than `by`."""
    metric = evaluation.metric(name)
    if metric is None or metric.value is None or reference is None or reference.value is None:
        missing = name if metric is None or metric.value is None else f"{name} of {whose}"
        return Finding(
            check=check, passed=False, subject=name, message=f"{missing} is undefined, so they cannot be compared.", evidence=evidence
        )
    measure = metrics.get([name])[0]
    up = 1.0 if measure.direction == "higher" else -1.0
    margin = by if measure.bounded else by * abs(reference.value)
    limit = reference.value + up * (margin if beat else -margin)
    passed = up * metric.value > up * limit if beat else up * metric.value >= up * limit
    unit = f"{by:g}" if measure.bounded else f"{100 * by:g} %"
    asked = f"{'better' if beat else 'no worse'} than {whose} ({_shown(reference)})" + (f" by more than {unit}" if by else "")
    compared = {"reference": reference.value, "reference_low": reference.low, "reference_high": reference.high}
    return Finding(
        check=check,
        passed=passed,
        subject=name,
        observed=metric.value,
        limit=limit,
        message=f"{name} is {_shown(metric)}, {asked} was expected.",
        evidence={**_evidence(metric), **compared, **evidence},
    )


def _shown(metric: Metric) -> str:
    interval = f" [{metric.low:.4g}, {metric.high:.4g}]" if metric.low is not None and metric.high is not None else ""
    return f"{metric.value:.4g}{interval}" if metric.value is not None else "undefined"


def _evidence(metric: Metric) -> dict[str, object]:
    return {"n": metric.n, "low": metric.low, "high": metric.high}


def __getattr__(name: str) -> object:
    raise public("everloop.gates", name, ["at_most", "at_least", "no_worse_than_champion", "better_than_baseline", "every_slice"])
