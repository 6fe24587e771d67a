"""When an attempt is followed by another: laws of the back-off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Lost, Stopped
from everloop.engine import retry
from everloop.engine.step import Settings

chances = st.floats(0, 1)
attempts = st.integers(1, 2000)


@given(attempts, chances, st.floats(0, 100))
def test_delays_stay_within_bounds(attempt: int, chance: float, first: float) -> None:
    settings = Settings(retry_delay_s=first)
    delay = retry.delay_s(settings, attempt=attempt, chance=chance)
    assert 0 <= delay <= max(retry.LONGEST_S, first)
    assert delay >= min(first, retry.LONGEST_S) / 2


@given(attempts, chances)
def test_delays_never_shrink_and_double_at_first(attempt: int, chance: float) -> None:
    settings = Settings(retry_delay_s=0.1)
    one, two = (retry.delay_s(settings, attempt=attempt + more, chance=chance) for more in (0, 1))
    assert two >= one
    assert retry.delay_s(settings, attempt=3, chance=chance) == pytest.approx(4 * retry.delay_s(settings, attempt=1, chance=chance))


def test_chance_tells_those_apart_that_failed_together() -> None:
    delays = [retry.delay_s(Settings(), attempt=1, chance=chance / 10) for chance in range(11)]
    assert len(set(delays)) == 11
    assert (min(delays), max(delays)) == (pytest.approx(0.05), pytest.approx(0.1))


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OSError("x"), True), (BadInput("x"), False), (Lost("x"), True), (Stopped("x"), True), (KeyboardInterrupt(), False)],
)
def test_what_is_tried_again(error: BaseException, expected: bool) -> None:
    assert retry.again(Settings(retries=1), attempt=1, error=error) is expected
    assert not retry.again(Settings(retries=1), attempt=2, error=error)
    assert not retry.again(Settings(), attempt=1, error=error)
