"""Which finished runs need not be kept any longer. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from everloop.core.errors import BadInput

# A run in one of these is never dropped, whatever its age.
ACTIVE = frozenset({"queued", "running", "waiting"})


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Runs beyond the newest `keep_runs` of each pipeline of each loop, and those that ended longer than `older_than_s` ago. With both,
    only runs that are both; with neither, none."""

    keep_runs: int | None = None
    older_than_s: float | None = None

    def __post_init__(self) -> None:
        if self.keep_runs is not None and self.keep_runs < 0:
            raise BadInput(f"keep_runs is how many runs stay, 0 or more, not {self.keep_runs}.")
        if self.older_than_s is not None and self.older_than_s < 0:
            raise BadInput(f"older_than_s is an age in seconds, 0 or more, not {self.older_than_s:g}.")

    def sentence(self) -> str:
        wanted = [f"all but the newest {self.keep_runs} of each pipeline"] if self.keep_runs is not None else []
        wanted += [f"those older than {self.older_than_s / 86400:g} days"] if self.older_than_s is not None else []
        return " and ".join(wanted) if wanted else "none"


class Age(NamedTuple):
    """What counts of a run here. `at` is when it ended, or was queued if it never did."""

    id: str
    loop: str
    pipeline: str
    status: str
    at: float


def dropped(runs: Iterable[Age], retention: Retention, *, now: float, held: Collection[str]) -> set[str]:
    """The ids of the runs to drop. `held` are those that somebody refers to: they stay, and count among the newest."""
    if retention.keep_runs is None and retention.older_than_s is None:
        return set()
    found: set[str] = set()
    newer: Counter[tuple[str, str]] = Counter()
    for run in sorted(runs, key=lambda run: (run.at, run.id), reverse=True):
        if run.status in ACTIVE:
            continue
        newer[run.loop, run.pipeline] += 1
        beyond = retention.keep_runs is None or newer[run.loop, run.pipeline] > retention.keep_runs
        old = retention.older_than_s is None or run.at < now - retention.older_than_s
        if beyond and old and run.id not in held:
            found.add(run.id)
    return found
