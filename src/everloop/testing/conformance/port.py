"""Checks of the port alone: tickets and bytes, nothing of steps."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from everloop.core.work import Executor, Report, Resources
from everloop.testing.conformance.errands import perform, read_pids, task
from everloop.testing.conformance.under import SILENCE_S, Under, alive, aside, equal, gone, holds, until

_LARGE_BYTES = 24 * 1024 * 1024
_TICKETS = 200
_DEATHS = ("exit", "kill", "segfault")


def answers_come_back(under: Under) -> None:
    """The bytes that went in are worked on, in another process, and no other bytes come out."""
    with _opened(under) as executor:
        holds(executor.capacity.cpus >= under.workers, f"capacity is {executor.capacity}, expected at least {under.workers} cpus")
        for ticket in (7, 3, 11):
            executor.submit(ticket, task("echo", value=ticket), Resources(cpus=0.5))
        equal("answers", _answers(_ended(under, executor, (7, 3, 11))), {7: b"7", 3: b"3", 11: b"11"})
        executor.submit(12, task("pid"), Resources())
        holds(
            _answers(_ended(under, executor, [12]))[12] != str(os.getpid()).encode(), "the work was done in the process that asked for it"
        )


def work_goes_on_at_the_same_time(under: Under) -> None:
    with _opened(under) as executor:
        names = [f"at-work-{number}" for number in range(under.workers)]
        for ticket, name in enumerate(names):
            executor.submit(ticket, task("meet", folder=str(under.folder), name=name, others=names), Resources())
        met = _answers(_ended(under, executor, range(under.workers)))
        equal("answers of works that wait for each other", met, dict.fromkeys(range(under.workers), b"met"))


def what_is_told_comes_in_order_and_before_the_answer(under: Under) -> None:
    with _opened(under) as executor:
        executor.submit(1, task("tell", times=50), Resources())
        reports = _ended(under, executor, [1])
        equal("told", [report.body for report in reports if report.kind == "told"], [str(number).encode() for number in range(50)])
        equal("the last report", (reports[-1].kind, reports[-1].body), ("done", b"told"))


def large_bytes_pass_both_ways(under: Under) -> None:
    with _opened(under) as executor:
        sent = b"\0" + bytes(range(256)) * (_LARGE_BYTES // 256)
        executor.submit(1, sent, Resources())
        holds(_answers(_ended(under, executor, [1]))[1] == sent[::-1], "24 MB came back changed")


def each_ticket_ends_exactly_once(under: Under) -> None:
    """Many tickets, as many at once as there are workers; then silence."""
    with _opened(under) as executor:
        ends: list[Report] = []
        waiting, busy = list(range(_TICKETS)), set[int]()
        deadline = time.monotonic() + under.patience_s
        while waiting or busy:
            while waiting and len(busy) < under.workers:
                ticket = waiting.pop()
                executor.submit(ticket, task("echo", value=ticket), Resources())
                busy.add(ticket)
            found = executor.reports(1.0)
            ends += found
            busy -= {report.ticket for report in found}
            holds(time.monotonic() < deadline or not busy, f"tickets {sorted(busy)} have no end after {under.patience_s:g} s")
        ends += executor.reports(SILENCE_S)
        equal("tickets that ended", sorted(report.ticket for report in ends), list(range(_TICKETS)))
        equal("answers", _answers(ends), {ticket: str(ticket).encode() for ticket in range(_TICKETS)})


def a_death_is_reported_and_nobody_elses(under: Under) -> None:
    """Work that ends its process: `lost` with a reason, once; what runs beside it, or comes after it, is not concerned."""
    for how in _DEATHS:
        with _opened(under) as executor:
            meeting = task("meet", folder=str(under.folder), name=f"after-{how}", others=[f"go-{how}"])
            executor.submit(1, meeting, Resources())
            executor.submit(2, task("die", how=how), Resources())
            reports = _ended(under, executor, [2])
            equal(f"reports of work that ended by {how}", [(report.ticket, report.kind) for report in reports], [(2, "lost")])
            holds(len(reports[0].reason) > 3, f"the reason of an end by {how} is {reports[0].reason!r}, expected how it ended")
            executor.submit(3, task("echo", value="after"), Resources())
            (under.folder / f"go-{how}").touch()
            equal("answers beside and after it", _answers(_ended(under, executor, (1, 3))), {1: b"met", 3: b"after"})


def what_a_dead_body_started_ends_too(under: Under) -> None:
    """Also children that hold what they inherited from it."""
    with _opened(under) as executor:
        family = under.folder / "family"
        executor.submit(1, task("die", how="exit", file=str(family)), Resources())
        equal("reports", [(report.ticket, report.kind) for report in _ended(under, executor, [1])], [(1, "lost")])
        gone(read_pids(family), within_s=under.patience_s)


def stop_ends_the_work_with_its_children_for_good(under: Under) -> None:
    with _opened(under) as executor:
        family = _lingering(under, executor, 1)
        executor.submit(2, task("meet", folder=str(under.folder), name="beside", others=["go"]), Resources())
        executor.stop(1)
        gone(family, within_s=under.patience_s)
        equal("reports after stop", [report for report in executor.reports(SILENCE_S) if report.ticket == 1], [])
        executor.submit(3, task("echo", value="after"), Resources())
        (under.folder / "go").touch()
        equal("answers beside and after it", _answers(_ended(under, executor, (2, 3))), {2: b"met", 3: b"after"})
        equal("late reports", [report for report in executor.reports(SILENCE_S) if report.ticket == 1], [])


def stop_meets_work_at_any_moment(under: Under) -> None:
    """On its way to a worker, at its end, ended, never heard of: silence follows, and the place is free again."""
    with _opened(under) as executor:
        for ticket in range(12):
            executor.submit(ticket, task("echo", value=ticket), Resources())
            time.sleep(0.002 * ticket)
            executor.stop(ticket)
            executor.stop(ticket)
        executor.stop(999)
        equal("reports of stopped tickets", executor.reports(SILENCE_S), [])
        executor.submit(20, task("echo", value="after"), Resources())
        equal("the answer after them", _answers(_ended(under, executor, [20])), {20: b"after"})


def reports_wait_no_longer_than_asked(under: Under) -> None:
    with _opened(under) as executor:
        equal("reports of nothing", executor.reports(0.0), [])
        equal("reports of nothing", executor.reports(0.05), [])
        woken: list[list[Report]] = []
        thread = aside(lambda: woken.append(executor.reports(None)))
        time.sleep(0.1)
        holds(thread.is_alive(), "reports(None) came back although nothing had happened")
        executor.wake()
        thread.join(under.patience_s)
        holds(not thread.is_alive(), "wake() did not let reports(None) return")
        equal("reports after wake", woken, [[]])


def close_leaves_nothing(under: Under) -> None:
    executor = under.open(perform)
    try:
        first = _lingering(under, executor, 1)
        second = _lingering(under, executor, 2)
        holds(all(alive(pid) for pid in first), f"of the processes {first} some ended by themselves")
    finally:
        executor.close()
    gone([*first, *second], within_s=under.patience_s)
    executor.close()


CHECKS = (
    answers_come_back,
    work_goes_on_at_the_same_time,
    what_is_told_comes_in_order_and_before_the_answer,
    large_bytes_pass_both_ways,
    each_ticket_ends_exactly_once,
    a_death_is_reported_and_nobody_elses,
    what_a_dead_body_started_ends_too,
    stop_ends_the_work_with_its_children_for_good,
    stop_meets_work_at_any_moment,
    reports_wait_no_longer_than_asked,
    close_leaves_nothing,
)


@contextmanager
def _opened(under: Under) -> Generator[Executor]:
    executor = under.open(perform)
    try:
        yield executor
    finally:
        executor.close()


def _ended(under: Under, executor: Executor, tickets: Iterable[int]) -> list[Report]:
    """All reports until each of the tickets has its last one."""
    waiting = set(tickets)
    reports: list[Report] = []
    deadline = time.monotonic() + under.patience_s
    while waiting:
        found = executor.reports(0.5)
        reports += found
        waiting -= {report.ticket for report in found if report.kind != "told"}
        holds(
            time.monotonic() < deadline or not waiting,
            f"tickets {sorted(waiting)} have no end after {under.patience_s:g} s; reports: {reports}",
        )
    return reports


def _answers(reports: Iterable[Report]) -> dict[int, bytes]:
    """What was done; anything else is wrong here."""
    for report in reports:
        holds(report.kind == "done", f"ticket {report.ticket} ended as {report.kind}: {report.reason}")
    return {report.ticket: report.body for report in reports}


def _lingering(under: Under, executor: Executor, ticket: int) -> list[int]:
    """Start work that does not end; its process and those that it started."""
    family = under.folder / f"family-{ticket}"
    executor.submit(ticket, task("linger", file=str(family)), Resources())
    until(family.exists, f"the work of ticket {ticket} did not begin", within_s=under.patience_s)
    return read_pids(family)
