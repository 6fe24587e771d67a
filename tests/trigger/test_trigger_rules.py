"""Triggers and the decision rule: pure, so laws on arbitrary evidence."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput, NotFound
from everloop.core.live import Decision, Window
from everloop.core.verdict import Finding, Severity, verdict
from everloop.trigger import triggers
from everloop.trigger.decide import decide
from everloop.trigger.evidence import Evidence
from everloop.trigger.triggers import Trigger


def evidence(*findings: Finding, first: int = 0, **more: object) -> Evidence:
    window = Window(loop="digits", version=1, first=first, rows=200, start=0.0, end=1.0, profile="")
    return Evidence(window=window, verdict=verdict("monitoring", window.id, findings), **more)  # type: ignore[arg-type]


def failed(check: str, *, drop: float = 0.1, metric: str = "accuracy", observed: int = 1, severity: Severity = "stop") -> Finding:
    detail = {"metric": metric, "drop": drop}
    return Finding(check=check, passed=False, message=f"{check} failed.", observed=observed, severity=severity, evidence=detail)


def fired(trigger: Trigger, seen: str, at: float) -> Decision:
    return Decision(seq=1, at=at, loop="digits", rule=trigger.rule, action="start_run", outcome="done", reason="", evidence={"seen": seen})


ANY = st.one_of(
    st.builds(triggers.new_rows, st.integers(1, 100), cooldown_s=st.floats(0, 1e5)),
    st.builds(triggers.performance_drop, st.just("accuracy"), by=st.floats(0, 0.3), cooldown_s=st.floats(0, 1e5)),
    st.builds(triggers.distribution_change, st.integers(1, 4), cooldown_s=st.floats(0, 1e5)),
    st.builds(triggers.every, st.sampled_from(["hour", "day", "week", "*/7 * * * *"]), cooldown_s=st.floats(0, 1e5)),
)
SEEN = st.builds(
    lambda checks, first, rows, stamp: evidence(*checks, first=first, new_rows=rows, stamp=stamp),
    st.lists(
        st.builds(failed, st.sampled_from(["estimated_performance", "realised_performance", "feature_drift", "prediction_drift"]),
                  drop=st.floats(0, 1), observed=st.integers(0, 6)),
        max_size=4,
    ),
    st.integers(0, 5), st.integers(0, 200), st.sampled_from(["a", "b"]),
)  # fmt: skip


@given(ANY, SEEN, st.floats(0, 1e9), st.floats(0, 1e5), st.integers(0, 2))
def test_nothing_fires_within_its_cooldown(trigger: Trigger, seen: Evidence, at: float, later: float, running: int) -> None:
    proposal = decide(trigger, seen, last=fired(trigger, "something else", at), running=running, now=at + later)
    if proposal is not None and proposal.outcome == "done":
        assert at + later - at >= trigger.cooldown_s
        assert running == 0


@given(ANY, SEEN, st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_same_evidence_never_fires_twice(trigger: Trigger, seen: Evidence, at: float, later: float) -> None:
    first = decide(trigger, seen, last=None, running=0, now=at)
    if first is None:
        return
    assert first.outcome == "done"
    last = fired(trigger, str(first.evidence["seen"]), at)
    again = decide(trigger, seen, last=last, running=0, now=at + later)
    if not trigger.rule.startswith("trigger:every"):
        assert again is None
    elif again is not None:
        assert again.evidence["seen"] != first.evidence["seen"]  # another slot


@given(ANY, SEEN, st.floats(0, 1e9))
def test_deciding_twice_decides_the_same(trigger: Trigger, seen: Evidence, now: float) -> None:
    assert decide(trigger, seen, last=None, running=1, now=now) == decide(trigger, seen, last=None, running=1, now=now)


def test_a_drop_counts_as_a_part_of_the_reference() -> None:
    trigger = triggers.performance_drop("accuracy", by=0.2)
    for drop, fires in ((0.19, False), (0.2, True), (0.5, True)):
        proposal = decide(trigger, evidence(failed("estimated_performance", drop=drop)), last=None, running=0, now=0.0)
        assert (proposal is not None) == fires
    assert decide(trigger, evidence(failed("realised_performance", metric="mae", drop=0.9)), last=None, running=0, now=0.0) is None
    assert decide(trigger, Evidence(), last=None, running=0, now=0.0) is None


def test_realised_performance_is_told_before_estimated() -> None:
    seen = evidence(failed("estimated_performance"), failed("realised_performance"))
    proposal = decide(triggers.performance_drop("accuracy"), seen, last=None, running=0, now=0.0)
    assert proposal is not None
    assert proposal.evidence["check"] == "realised_performance"
    assert seen.window is not None
    assert proposal.about[0] == seen.window.id


def test_distribution_change_counts_columns_and_answers() -> None:
    two = evidence(failed("feature_drift", observed=2, severity="info"))
    assert decide(triggers.distribution_change(2), two, last=None, running=0, now=0.0) is not None
    assert decide(triggers.distribution_change(3), two, last=None, running=0, now=0.0) is None
    answers = evidence(failed("prediction_drift", severity="warn"))
    assert decide(triggers.distribution_change(3), answers, last=None, running=0, now=0.0) is not None
    assert decide(triggers.distribution_change(3, answers=False), answers, last=None, running=0, now=0.0) is None


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "now", "slot"),
    [
        ("hour", "2026-03-29 01:59:59", "2026-03-29 01:00"),
        ("day", "2026-01-01 00:00:00", "2026-01-01 00:00"),
        ("week", "2026-11-22 23:59:00", "2026-11-16 00:00"),
        ("30 4 * * 1-5", "2026-11-22 12:00:00", "2026-11-20 04:30"),
        ("0 0 29 2 *", "2026-11-22 12:00:00", "2024-02-29 00:00"),
    ],
)
def test_the_last_slot_is_due(schedule: str, now: str, slot: str) -> None:
    trigger = triggers.every(schedule)
    due = trigger.condition(Evidence(since=at(slot) - 1), at(now))
    assert due is not None
    assert due.evidence["slot"] == at(slot)
    assert trigger.condition(Evidence(since=at(slot)), at(now)) is None


def test_missed_slots_are_one() -> None:
    trigger = triggers.every("hour")
    first = decide(trigger, Evidence(since=0.0), last=None, running=0, now=at("2026-11-20 19:30:00"))
    assert first is not None
    last = fired(trigger, str(first.evidence["seen"]), at("2026-11-20 19:30:00"))
    assert decide(trigger, Evidence(since=0.0), last=last, running=0, now=at("2026-11-20 19:59:00")) is None
    assert decide(trigger, Evidence(since=0.0), last=last, running=0, now=at("2026-11-20 20:00:00")) is not None


def test_what_makes_no_trigger_is_refused_with_a_way_out() -> None:
    with pytest.raises(BadInput, match="neither hour, day, week nor a cron"):
        triggers.every("fortnight")
    with pytest.raises(BadInput, match="at least 1 row"):
        triggers.new_rows(0)
    with pytest.raises(NotFound, match="Did you mean 'accuracy'"):
        triggers.performance_drop("acuracy")
    with pytest.raises(BadInput, match="for 20 %"):
        triggers.performance_drop("accuracy", by=20)
    with pytest.raises(BadInput, match="cooldown_s"):
        triggers.every("day", cooldown_s=-1)
    with pytest.raises(BadInput, match="at least 1 column"):
        triggers.distribution_change(0)
    with pytest.raises(NotFound, match="'mae' does not exist"):
        triggers.performance_drop("mae").check(["rmse"])


def test_rules_have_stable_names() -> None:
    made = [triggers.every("day"), triggers.new_rows(1000), triggers.performance_drop("mae", by=0.2), triggers.distribution_change()]
    assert [trigger.rule for trigger in made] == [
        "trigger:every(day)",
        "trigger:new_rows(1000)",
        "trigger:performance_drop(mae)",
        "trigger:distribution_change(1)",
    ]
