"""Who gets what is free: several runs share one machine.

Dominant resource fairness (Ghodsi et al., NSDI 2011): what is free goes to the run whose largest part of any one resource is the smallest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from everloop.core.work import Resources

# Sums of parts of a cpu are not exact.
_EPSILON = 1e-9
NOTHING = Resources(0.0, 0.0, 0.0)


class Claim(NamedTuple):
    """A ticket of a run, which holds what it needs once it is `granted`. Tickets of one run stand in the order in which it wants them."""

    ticket: str
    run: str
    needs: Resources
    granted: bool = False


def grants(claims: Iterable[Claim], capacity: Resources, served_at: Mapping[str, float]) -> list[str]:
    """The waiting tickets that may start now, in this order.

    The run that holds the least comes first; of equals, the one that came, or was served, longest ago (`served_at`, run -> moment). A ticket
    whose turn it is and that does not fit is not passed by: as much as there is of what it needs is set aside for it, so that it starts
    as soon as enough has ended, and only what it has no use for goes to others. So no ticket waits for ever behind smaller ones. One that
    asks for more than `capacity` never starts, and keeps nobody waiting.
    """
    free, held = capacity, dict[str, Resources]()
    waiting: dict[str, deque[Claim]] = {}
    for claim in claims:
        if claim.granted:
            held[claim.run] = plus(held.get(claim.run, NOTHING), claim.needs)
            free = minus(free, claim.needs)
        elif fits(claim.needs, capacity):
            waiting.setdefault(claim.run, deque()).append(claim)
    served = {run: (0, served_at.get(run, 0.0)) for run in waiting}
    granted: list[str] = []
    while waiting:
        run = min(waiting, key=lambda run: (dominant_share(held.get(run, NOTHING), capacity), served[run]))
        claim = waiting[run].popleft()
        if not waiting[run]:
            del waiting[run]
        if fits(claim.needs, free):
            granted.append(claim.ticket)
            free = minus(free, claim.needs)
            held[run] = plus(held.get(run, NOTHING), claim.needs)
            served[run] = (1, float(len(granted)))
        else:
            free = Resources(*(there - min(max(there, 0.0), need) for there, need in zip(free, claim.needs, strict=True)))
    return granted


def dominant_share(held: Resources, capacity: Resources) -> float:
    """The largest part of any one resource that is held; 0 to 1."""
    return max((part / whole for part, whole in zip(held, capacity, strict=True) if whole > 0), default=0.0)


def fits(needs: Resources, free: Resources) -> bool:
    return all(need <= 0 or need <= there + _EPSILON for need, there in zip(needs, free, strict=True))


def plus(one: Resources, other: Resources) -> Resources:
    return Resources(*(a + b for a, b in zip(one, other, strict=True)))


def minus(one: Resources, other: Resources) -> Resources:
    return Resources(*(a - b for a, b in zip(one, other, strict=True)))


def largest(several: Iterable[Resources]) -> Resources:
    """Of each resource, the most that any of them has."""
    return Resources(*(max(parts) for parts in zip(NOTHING, *several, strict=True)))
