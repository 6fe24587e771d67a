"""The conformance suite over an executor of the tests' own, which passes, and over its faulty children, each of which it must catch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from plain_executor import (
    CloseLeavesAll,
    DeathLeavesChildren,
    LosesATicket,
    MixesUp,
    OneAtATime,
    Plain,
    SaysTwice,
    SilentAboutDeath,
    SleepsOn,
    StopForgets,
    StopLeavesChildren,
    TalksAfterStop,
    TellsAfterwards,
)

from everloop.testing import executors
from everloop.testing.executors import Under


@pytest.mark.parametrize("check", executors.PORT)
def test_a_right_executor_passes(check: str, tmp_path: Path) -> None:
    executors.PORT[check](Under("plain", tmp_path, factory=Plain))


@pytest.fixture
def swept() -> Iterator[None]:
    """What faulty executors leave behind."""
    yield
    for process in psutil.Process().children(recursive=True):
        process.kill()
    for process in psutil.process_iter():
        try:
            if process.environ().get("PLAIN_EXECUTOR", "").startswith(f"{os.getpid()}-"):
                os.kill(process.pid, signal.SIGKILL)
        except (psutil.Error, OSError):
            continue


@pytest.mark.parametrize(
    ("faulty", "check", "said"),
    [
        (SaysTwice, "each_ticket_ends_exactly_once", "tickets that ended"),
        (LosesATicket, "each_ticket_ends_exactly_once", r"tickets \[30\] have no end"),
        (MixesUp, "answers_come_back", "answers"),
        (OneAtATime, "work_goes_on_at_the_same_time", "have no end"),
        (TellsAfterwards, "what_is_told_comes_in_order_and_before_the_answer", "the last report"),
        (SilentAboutDeath, "a_death_is_reported_and_nobody_elses", "have no end"),
        (DeathLeavesChildren, "what_a_dead_body_started_ends_too", "still alive"),
        (StopForgets, "stop_ends_the_work_with_its_children_for_good", "still alive"),
        (StopLeavesChildren, "stop_ends_the_work_with_its_children_for_good", "still alive"),
        (TalksAfterStop, "stop_ends_the_work_with_its_children_for_good", "reports after stop"),
        (TalksAfterStop, "stop_meets_work_at_any_moment", "stopped tickets"),
        (SleepsOn, "reports_wait_no_longer_than_asked", "wake"),
        (CloseLeavesAll, "close_leaves_nothing", "still alive"),
    ],
)
@pytest.mark.usefixtures("swept")
def test_a_faulty_executor_is_caught(faulty: type[Plain], check: str, said: str, tmp_path: Path) -> None:
    # What waits for an end that never comes takes all of its patience; the many tickets need some on a busy machine.
    patience_s = 15.0 if check == "each_ticket_ends_exactly_once" else 2.0
    with pytest.raises(AssertionError, match=said):
        executors.PORT[check](Under("plain", tmp_path, factory=faulty, patience_s=patience_s))
