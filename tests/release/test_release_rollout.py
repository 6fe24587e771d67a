"""The state machine: laws on any evidence, then each move by example."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.live import Deployment
from everloop.release.losses import Losses
from everloop.release.rollout import Move, Rollout, Traffic, first_step, next_step

CONFIG = Rollout(shadow_rows=100, canary_rows=200, min_labels=30)
SHADOW = Deployment(loop="l", champion=1, challenger=2, stage="shadow", since=10.0, revision=3)
CANARY = msgspec.structs.replace(SHADOW, stage="canary", share=0.2)
SETTLED = Deployment(loop="l", champion=2, previous=1, since=10.0, champion_since=10.0, revision=4)

side = st.builds(lambda n, part: Losses(n=n, total=float(round(n * part))), st.integers(0, 500), st.floats(0, 1))
traffics = st.builds(
    Traffic, rows=st.integers(0, 500), errors=st.integers(0, 50), challenger=side, champion=side, looks=st.integers(0, 20),
    looked_at=st.integers(0, 500), idle_s=st.floats(0, 2e5),
)  # fmt: skip
deployments = st.sampled_from([SHADOW, CANARY, SETTLED, Deployment(loop="l"), Deployment(loop="l", champion=2)])
configs = st.builds(Rollout, shadow_rows=st.integers(0, 100), canary_rows=st.integers(0, 200), alpha=st.sampled_from([0.01, 0.2]))


def step(deployment: Deployment, config: Rollout = CONFIG, *, on_probation: bool = False, **seen: object) -> Move | None:
    return next_step(config, deployment, Traffic(**seen), about="v", now=50.0, on_probation=on_probation)  # type: ignore[arg-type]


@given(configs, deployments, traffics, st.booleans())
def test_no_way_to_champion_but_a_passed_verdict_on_the_challenger(
    config: Rollout, deployment: Deployment, traffic: Traffic, on_probation: bool
) -> None:
    move = next_step(config, deployment, traffic, about="v", now=50.0, on_probation=on_probation)
    if move is None:
        return
    if move.action in ("shadow", "canary", "promote"):
        assert move.verdict.passed
    if move.to.champion != deployment.champion:
        if move.action == "promote":
            assert (move.to.champion, move.to.previous) == (deployment.challenger, deployment.champion)
            assert deployment.stage != "none"
        else:
            assert move.action == "rollback"
            assert on_probation
            assert not move.verdict.passed
            assert move.to.champion == deployment.previous
    if not move.verdict.passed:
        assert move.action == "rollback"
    assert (move.to.challenger is None) == (move.to.stage == "none")
    assert (move.to.share > 0) == (move.to.stage == "canary")
    assert move.verdict.question == "rollout"


@given(configs, traffics)
def test_every_rollout_ends(config: Rollout, traffic: Traffic) -> None:
    """With rows enough and no labels to wait for, each stage is left, and at most two moves lead to a champion or back."""
    deployment, moves = SHADOW, 0
    while deployment.stage != "none":
        rows = 2 * max(config.shadow_rows, config.canary_rows, 1)
        move = next_step(config, deployment, msgspec.structs.replace(traffic, rows=rows), about="v", now=50.0)
        assert move is not None
        deployment, moves = move.to, moves + 1
    assert moves <= 2


def test_the_first_version_is_champion_at_once() -> None:
    move = first_step(CONFIG, Deployment(loop="l"), 1, about="v", idle_s=None, now=5.0)
    assert (move.action, move.to.champion, move.to.previous, move.to.champion_since) == ("promote", 1, None, 5.0)
    assert "no champion" in move.reason


@pytest.mark.parametrize(("idle_s", "action"), [(None, "promote"), (86_400.0, "promote"), (86_399.0, "shadow")])
def test_without_live_traffic_there_is_nothing_to_compare_with(idle_s: float | None, action: str) -> None:
    move = first_step(CONFIG, Deployment(loop="l", champion=1), 2, about="v", idle_s=idle_s, now=5.0)
    assert move.action == action
    assert ("No live traffic" in move.reason) == (action == "promote")


def test_stages_can_be_left_out() -> None:
    champion = Deployment(loop="l", champion=1)
    actions = [
        first_step(config, champion, 2, about="v", idle_s=1.0, now=5.0).action
        for config in (Rollout(direct=True), Rollout(shadow_rows=0), Rollout(shadow_rows=0, canary_rows=0))
    ]
    assert actions == ["promote", "canary", "promote"]
    no_canary = step(SHADOW, Rollout(shadow_rows=100, canary_rows=0), rows=100)
    assert no_canary is not None
    assert no_canary.action == "promote"


def test_a_newer_challenger_replaces_the_older_one_and_says_so() -> None:
    move = first_step(CONFIG, CANARY, 3, about="v", idle_s=1.0, now=5.0)
    assert (move.to.challenger, move.to.stage, move.to.champion) == (3, "shadow", 1)
    assert "replaces version 2" in move.reason


def test_shadow_then_canary_then_champion() -> None:
    assert step(SHADOW, rows=99, compared=99, agreed=50) is None
    canary = step(SHADOW, rows=100, compared=100, agreed=50)
    assert canary is not None
    assert (canary.action, canary.to.stage, canary.to.share, canary.to.since) == ("canary", "canary", 0.2, 50.0)
    assert "50.0% of 100 answers agree" in canary.reason
    assert step(CANARY, rows=199) is None
    promoted = step(CANARY, rows=200)
    assert promoted is not None
    assert (promoted.action, promoted.to.champion, promoted.to.previous) == ("promote", 2, 1)
    assert "Too few labels" in promoted.reason


def test_a_few_labels_are_waited_for_but_not_for_ever() -> None:
    some = Losses(n=10, total=1.0)
    assert step(CANARY, rows=399, challenger=some, champion=some) is None
    assert step(CANARY, rows=400, challenger=some, champion=some) is not None
    enough = Losses(n=40, total=4.0)
    move = step(CANARY, rows=200, challenger=enough, champion=enough)
    assert move is not None
    assert "not significantly worse" in move.reason


@pytest.mark.parametrize("deployment", [SHADOW, CANARY])
def test_a_worse_challenger_is_withdrawn_long_before_its_rows_are_seen(deployment: Deployment) -> None:
    move = step(deployment, rows=45, challenger=Losses(n=40, total=20.0), champion=Losses(n=160, total=8.0))
    assert move is not None
    assert (move.action, move.to.champion, move.to.challenger, move.to.stage) == ("rollback", 1, None, "none")
    assert "significantly worse" in move.reason


def test_a_difference_below_the_margin_is_no_reason() -> None:
    config = msgspec.structs.replace(CONFIG, min_effect=0.05)
    seen = {"challenger": Losses(n=100_000, total=14_000.0), "champion": Losses(n=100_000, total=10_000.0)}
    assert step(CANARY, config, rows=10, **seen) is None
    assert step(CANARY, CONFIG, rows=10, **seen) is not None


def test_errors_withdraw_even_when_nothing_was_answered() -> None:
    assert step(SHADOW, rows=0, errors=2) is None
    move = step(SHADOW, rows=0, errors=3)
    assert move is not None
    assert (move.action, "3 of 3 requests" in move.reason) == ("rollback", True)
    assert step(CANARY, rows=100, errors=3) is not None
    seldom = step(SHADOW, Rollout(shadow_rows=1000), rows=900, errors=3)
    assert seldom is None


def test_traffic_that_ends_ends_the_rollout() -> None:
    move = step(CANARY, rows=20, idle_s=86_400.0)
    assert move is not None
    assert move.action == "promote"
    assert "No live traffic" in move.reason


def test_probation_goes_back_by_labels_alone() -> None:
    bad, good = Losses(n=60, total=30.0), Losses(n=200, total=10.0)
    assert step(SETTLED, challenger=bad, champion=good) is None
    move = step(SETTLED, on_probation=True, challenger=bad, champion=good)
    assert move is not None
    assert (move.action, move.to.champion, move.to.previous) == ("rollback", 1, None)
    assert step(SETTLED, on_probation=True, challenger=good, champion=good) is None
    assert step(msgspec.structs.replace(SETTLED, previous=None), on_probation=True, challenger=bad, champion=good) is None


@pytest.mark.parametrize(
    "wrong", [{"canary_share": 0}, {"canary_share": 1.5}, {"alpha": 0}, {"shadow_rows": -1}, {"min_labels": 1}, {"max_error_rate": 2}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Rollout(**wrong)  # type: ignore[arg-type]
