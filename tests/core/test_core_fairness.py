"""The laws by which runs share a machine."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from everloop.core.fairness import NOTHING, Claim, dominant_share, fits, grants, largest, minus, plus
from everloop.core.work import Resources

CAPACITY = Resources(4.0, 1.0, 1000.0)
ONE = Resources(1.0)
amounts = st.builds(
    Resources,
    st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.0, 4.0, 9.0]),
    st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 300.0, 1000.0]),
)


@st.composite
def states(draw: st.DrawFn) -> list[Claim]:
    """What several runs want, and hold within the capacity."""
    claims: list[Claim] = []
    free = CAPACITY
    for number, (run, needs, held) in enumerate(draw(st.lists(st.tuples(st.sampled_from("abc"), amounts, st.booleans()), max_size=14))):
        is_held = held and fits(needs, free)
        free = minus(free, needs) if is_held else free
        claims.append(Claim(f"{number}", run, needs, is_held))
    return claims


served = st.fixed_dictionaries({}, optional={run: st.floats(0, 1e9) for run in "abc"})


def total(claims: list[Claim]) -> Resources:
    held = NOTHING
    for claim in claims:
        held = plus(held, claim.needs) if claim.granted else held
    return held


def after(claims: list[Claim], granted: list[str]) -> list[Claim]:
    return [claim._replace(granted=claim.granted or claim.ticket in granted) for claim in claims]


@given(states(), served)
def test_never_more_than_there_is_and_each_ticket_once(claims: list[Claim], served_at: dict[str, float]) -> None:
    granted = grants(claims, CAPACITY, served_at)
    assert len(set(granted)) == len(granted)
    assert set(granted) <= {claim.ticket for claim in claims if not claim.granted}
    assert fits(total(after(claims, granted)), CAPACITY)


@given(states(), served)
def test_when_nothing_runs_and_something_fits_something_starts(claims: list[Claim], served_at: dict[str, float]) -> None:
    idle = [claim._replace(granted=False) for claim in claims]
    possible = any(fits(claim.needs, CAPACITY) for claim in idle)
    assert bool(grants(idle, CAPACITY, served_at)) == possible


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=14), served)
def test_of_equal_tickets_all_that_fit_start_and_are_dealt_evenly(wanted: list[tuple[str, bool]], served_at: dict[str, float]) -> None:
    claims: list[Claim] = []
    for number, (run, held) in enumerate(wanted):
        claims.append(Claim(f"{number}", run, ONE, held and sum(claim.granted for claim in claims) < CAPACITY.cpus))
    granted = grants(claims, CAPACITY, served_at)
    free = int(CAPACITY.cpus) - sum(claim.granted for claim in claims)
    assert len(granted) == min(free, sum(not claim.granted for claim in claims))
    held = Counter(claim.run for claim in after(claims, granted) if claim.granted)
    still_waiting = {claim.run for claim in after(claims, granted) if not claim.granted}
    of = {claim.ticket: claim.run for claim in claims}
    for run in still_waiting:
        for other in {of[ticket] for ticket in granted}:
            assert held[other] <= held[run] + 1, "a run was served that held more than one that waits"


@given(st.lists(amounts, min_size=1, max_size=8), st.lists(st.sampled_from([0.1, 1.0, 2.0]), min_size=1, max_size=5), st.randoms())
def test_a_large_ticket_is_not_starved_by_small_ones_that_never_end_to_come(
    large: list[Resources], small: list[float], random: object
) -> None:
    """Two runs always have the next small ticket ready, and bodies end one at a time, in any order."""
    wanted = [Claim(f"large-{number}", "patient", needs) for number, needs in enumerate(large) if fits(needs, CAPACITY)]
    claims, served_at, count = list(wanted), dict.fromkeys(("patient", "x", "y"), 0.0), 0
    for moment in range(1, 400):
        for run in ("x", "y"):
            while sum(claim.run == run and not claim.granted for claim in claims) < 3:
                claims.append(Claim(f"small-{count}", run, Resources(small[count % len(small)])))
                count += 1
        granted = grants(claims, CAPACITY, served_at)
        claims = after(claims, granted)
        served_at |= {claim.run: float(moment) for claim in claims if claim.ticket in granted}
        assert fits(total(claims), CAPACITY)
        if not any(claim.run == "patient" and not claim.granted for claim in claims):
            return
        running = [claim for claim in claims if claim.granted]
        claims.remove(random.choice(running))  # type: ignore[attr-defined]
    raise AssertionError(f"never started: {[claim for claim in claims if claim.run == 'patient']}")


def test_the_run_that_holds_the_least_comes_first_and_of_equals_the_one_served_longest_ago() -> None:
    claims = [Claim("a1", "a", ONE, True), *(Claim(f"{run}{number}", run, ONE) for run in "abc" for number in (2, 3))]
    assert grants(claims, CAPACITY, {"a": 3.0, "b": 2.0, "c": 1.0}) == ["c2", "b2", "a2"]


def test_what_a_blocked_ticket_has_no_use_for_goes_to_others() -> None:
    holder = Claim("0", "a", Resources(1.0, 1.0), True)
    blocked = Claim("1", "b", Resources(1.0, 1.0))
    claims = [holder, blocked, *(Claim(f"{number}", "c", ONE) for number in range(2, 9))]
    assert grants(claims, CAPACITY, {}) == ["2", "3"], "one cpu is kept for the ticket that waits for the gpu"


def test_a_ticket_larger_than_the_machine_keeps_nobody_waiting() -> None:
    assert grants([Claim("0", "a", Resources(99.0)), Claim("1", "b", Resources(4.0))], CAPACITY, {}) == ["1"]


def test_the_share_is_that_of_the_scarcest_resource() -> None:
    assert dominant_share(Resources(1.0, 0.5, 100.0), CAPACITY) == 0.5
    assert dominant_share(Resources(1.0), NOTHING) == 0.0
    assert largest([Resources(2.0, 0.0, 10.0), Resources(1.0, 3.0, 5.0)]) == Resources(2.0, 3.0, 10.0)
