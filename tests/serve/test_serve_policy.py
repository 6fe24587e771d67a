"""Who answers is a pure rule: sticky, in proportion, growing with the share, and new for each challenger."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.live import Deployment
from everloop.serve.policy import answerer, mirrored

KEYS = [f"user-{number}" for number in range(20_000)]


def canary(share: float, challenger: int = 2) -> Deployment:
    return Deployment(loop="l", champion=1, challenger=challenger, stage="canary", share=share)


def chosen(deployment: Deployment) -> set[str]:
    return {key for key in KEYS if answerer(deployment, key) == "challenger"}


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.9]), st.integers(2, 1000))
def test_the_challenger_answers_its_share(share: float, challenger: int) -> None:
    part = len(chosen(canary(share, challenger))) / len(KEYS)
    # Five standard deviations: one chance in two million for each example.
    assert abs(part - share) < 5 * math.sqrt(share * (1 - share) / len(KEYS))


def test_a_growing_share_keeps_the_keys_that_it_had() -> None:
    assert chosen(canary(0.05)) < chosen(canary(0.25)) < chosen(canary(1.0)) == set(KEYS)
    assert chosen(canary(0.0)) == set()


def test_another_challenger_is_tried_on_other_callers() -> None:
    both = len(chosen(canary(0.5, 2)) & chosen(canary(0.5, 3))) / len(KEYS)
    assert abs(both - 0.25) < 0.02


@settings(deadline=None, max_examples=40)
@given(st.text())
def test_any_key_has_one_answerer(key: str) -> None:
    assert answerer(canary(0.5), key) == answerer(canary(0.5), key)


def test_outside_a_canary_the_champion_answers() -> None:
    for stage in ("none", "shadow"):
        deployment = Deployment(loop="l", champion=1, challenger=2, stage=stage, share=1.0)  # type: ignore[arg-type]
        assert answerer(deployment, "key") == "champion"
        assert mirrored(deployment) == (stage == "shadow")
    assert answerer(Deployment(loop="l", champion=1, stage="canary", share=1.0), "key") == "champion"
