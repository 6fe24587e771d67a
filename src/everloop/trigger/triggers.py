"""When a loop runs again by itself: what a user writes in `Loop(triggers=[...])`.

A trigger is a frozen record with a rule's name, a cool-down, and the pure condition it waits for. It starts a run; what comes out of the
run is decided by gates and the rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, public, unknown
from everloop.core.verdict import Finding
from everloop.trigger.evidence import Condition, Evidence

HOUR_S = 3600.0
NAMED = {"hour": "0 * * * *", "day": "0 0 * * *", "week": "0 0 * * 1"}
WATCHED = ("accuracy", "mae")


class Trigger(Protocol):
    @property
    def rule(self) -> str:
        """Stable name in the ledger: the same trigger after a restart has the same one."""
        ...

    @property
    def cooldown_s(self) -> float:
        """Least seconds between two runs that this trigger starts."""
        ...

    def check(self, metrics: Sequence[str]) -> None:
        """Raises NotFound when it waits for something that a loop with these metrics does not have."""
        ...

    def condition(self, evidence: Evidence, now: float) -> Condition | None:
        """None when there is no reason to run."""
        ...


class Every(msgspec.Struct, frozen=True, kw_only=True):
    """On a schedule in UTC. Slots that passed while nothing watched count as one, and a run for any other reason serves the slots before it.
    A loop that never ran is due."""

    schedule: str
    cooldown_s: float = 0.0

    @property
    def rule(self) -> str:
        return f"trigger:every({self.schedule})"

    def check(self, metrics: Sequence[str]) -> None: ...

    def condition(self, evidence: Evidence, now: float) -> Condition | None:
        slot = last_slot(NAMED.get(self.schedule, self.schedule), now)
        if slot is None or (evidence.since is not None and evidence.since >= slot):
            return None
        at = datetime.fromtimestamp(slot, UTC).strftime("%Y-%m-%d %H:%M")
        return Condition(f"The schedule {self.schedule!r} was due at {at} UTC.", f"slot {at}", {"slot": slot})


class NewRows(msgspec.Struct, frozen=True, kw_only=True):
    """When the source has at least `rows` more rows than the last run saw."""

    rows: int
    cooldown_s: float = HOUR_S

    @property
    def rule(self) -> str:
        return f"trigger:new_rows({self.rows})"

    def check(self, metrics: Sequence[str]) -> None: ...

    def condition(self, evidence: Evidence, now: float) -> Condition | None:
        if evidence.new_rows < self.rows:
            return None
        return Condition(
            f"The source has {evidence.new_rows} new rows; {self.rows} were waited for.",
            f"source {digest(evidence.stamp)[:24]}",
            {"new_rows": evidence.new_rows, "limit": self.rows, "stamp": evidence.stamp},
            episode=f"rows since {evidence.since or 0.0:.3f}",
        )


class PerformanceDrop(msgspec.Struct, frozen=True, kw_only=True):
    """When the champion's newest window is significantly worse than its evaluation, realised or estimated, and by at least the part
    `by` of the evaluation's value."""

    metric: str
    by: float = 0.0
    cooldown_s: float = 6 * HOUR_S

    @property
    def rule(self) -> str:
        return f"trigger:performance_drop({self.metric})"

    def check(self, metrics: Sequence[str]) -> None:
        if self.metric not in metrics:
            raise unknown("Metric", self.metric, metrics)

    def condition(self, evidence: Evidence, now: float) -> Condition | None:
        for finding in _failed(evidence, "realised_performance", "estimated_performance"):
            drop = finding.evidence.get("drop")
            if finding.evidence.get("metric") == self.metric and isinstance(drop, (int, float)) and drop >= self.by:
                return _seen_in_window(evidence, finding)
        return None


class DistributionChange(msgspec.Struct, frozen=True, kw_only=True):
    """When at least `columns` features, or the answers, of the champion's newest window are distributed otherwise than in training."""

    columns: int = 1
    answers: bool = True
    cooldown_s: float = 6 * HOUR_S

    @property
    def rule(self) -> str:
        return f"trigger:distribution_change({self.columns})"

    def check(self, metrics: Sequence[str]) -> None: ...

    def condition(self, evidence: Evidence, now: float) -> Condition | None:
        for finding in _failed(evidence, "feature_drift"):
            if isinstance(finding.observed, int) and finding.observed >= self.columns:
                return _seen_in_window(evidence, finding)
        if self.answers:
            for finding in _failed(evidence, "prediction_drift"):
                return _seen_in_window(evidence, finding)
        return None


def every(schedule: str, *, cooldown_s: float = 0.0) -> Every:
    """`hour`, `day`, `week` (Monday 00:00 UTC), or a cron expression such as `30 4 * * 1-5`, in UTC."""
    if schedule not in NAMED:
        _check_cron(schedule)
    return Every(schedule=schedule, cooldown_s=_seconds(cooldown_s))


def new_rows(rows: int, *, cooldown_s: float = HOUR_S) -> NewRows:
    """At least `rows` rows beyond those of the last run's snapshot."""
    if rows < 1:
        raise BadInput(f"new_rows must wait for at least 1 row, not {rows}.")
    return NewRows(rows=rows, cooldown_s=_seconds(cooldown_s))


def performance_drop(metric: str, *, by: float = 0.0, cooldown_s: float = 6 * HOUR_S) -> PerformanceDrop:
    """Significantly worse than at evaluation, and by at least the part `by` of it: 0.2 is 20 %.

    Windows are watched by `accuracy` (estimated without labels, realised with them) or `mae` (realised).
    """
    if metric not in WATCHED:
        raise unknown("Watched metric", metric, WATCHED)
    if by < 0 or (metric == "accuracy" and by >= 1):
        raise BadInput(f"performance_drop by={by} is no part of the metric's value. Give 0.2 for 20 %.")
    return PerformanceDrop(metric=metric, by=by, cooldown_s=_seconds(cooldown_s))


def distribution_change(columns: int = 1, *, answers: bool = True, cooldown_s: float = 6 * HOUR_S) -> DistributionChange:
    """At least `columns` drifted features, or (with `answers`) drifted answers."""
    if columns < 1:
        raise BadInput(f"distribution_change must wait for at least 1 column, not {columns}.")
    return DistributionChange(columns=columns, answers=answers, cooldown_s=_seconds(cooldown_s))


@lru_cache(maxsize=64)
def _slots_around(expression: str, minute: int) -> float | None:
    from cronsim import CronSim

    # One second on, because a slot that is exactly now is the last one and not the next one.
    moment = datetime.fromtimestamp(minute * 60 + 1, UTC)
    try:
        return next(CronSim(expression, moment, reverse=True)).timestamp()
    except StopIteration:
        return None


def last_slot(expression: str, now: float) -> float | None:
    """The newest time at or before `now` (seconds, UTC) that a cron expression names; None when there was none in 50 years."""
    return _slots_around(expression, int(now // 60))


def _check_cron(expression: str) -> None:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise BadInput(
            f"Schedule {expression!r} is neither {', '.join(NAMED)} nor a cron expression ({error}). Write one such as '30 4 * * 1-5'."
        ) from None


def _seconds(value: float) -> float:
    if not value >= 0:
        raise BadInput(f"cooldown_s must be 0 or more seconds, not {value}.")
    return float(value)


def _failed(evidence: Evidence, *checks: str) -> list[Finding]:
    """The window's failed findings of these checks, in the order of `checks`."""
    found = evidence.verdict.findings if evidence.verdict is not None and evidence.window is not None else ()
    return [finding for check in checks for finding in found if finding.check == check and not finding.passed]


def _seen_in_window(evidence: Evidence, finding: Finding) -> Condition:
    assert evidence.window is not None
    assert evidence.verdict is not None
    detail = {"window": evidence.window.id, "verdict": evidence.verdict.id, "check": finding.check, **finding.evidence}
    return Condition(finding.message, evidence.window.id, detail)


def __getattr__(name: str) -> object:
    raise public("everloop.triggers", name, ["every", "new_rows", "performance_drop", "distribution_change"])
