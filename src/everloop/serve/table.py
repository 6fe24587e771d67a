"""What is served now: an immutable table, replaced as a whole, and the few things that outlive each table."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from everloop.core.errors import Busy, unknown
from everloop.core.live import Deployment
from everloop.serve.capture import Captures
from everloop.serve.lane import Lane
from everloop.serve.limits import Limits
from everloop.serve.load import Loaded
from everloop.serve.metrics import Metrics


@dataclass(frozen=True, kw_only=True)
class Served:
    """One loop as this process serves it. After a failed load `champion` is still the former one, and `problems` says so."""

    deployment: Deployment
    champion: Lane | None = None
    challenger: Lane | None = None
    problems: tuple[str, ...] = ()

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return tuple(lane for lane in (self.champion, self.challenger) if lane is not None)


@dataclass(frozen=True)
class Failure:
    """How often a challenger failed since this was last written down, and the last reason."""

    count: int
    reason: str


@dataclass(kw_only=True)
class Router:
    """`table` is read once a request and assigned in one go: a request sees one table from its beginning to its end."""

    table: Mapping[str, Served] = field(default_factory=dict[str, Served])
    captures: Captures | None = None
    metrics: Metrics = field(default_factory=Metrics)
    limits: Limits = field(default_factory=Limits)
    _failures: dict[tuple[str, int], Failure] = field(default_factory=dict[tuple[str, int], Failure])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def served(self, model: str) -> Served:
        served = self.table.get(model)
        if served is None:
            raise unknown("Model", model[:200], self.table)
        return served

    def lane(self, loaded: Loaded) -> Lane:
        meter = self.metrics.lane(loaded.registered.loop, loaded.registered.number)
        return Lane(loaded, captures=self.captures, meter=meter, limits=self.limits)

    def note_failure(self, loop: str, version: int, reason: str) -> None:
        """A challenger failed where the champion answered; the rollout must hear of it."""
        with self._lock:
            known = self._failures.get((loop, version))
            self._failures[loop, version] = Failure((known.count if known else 0) + 1, reason)

    def take_failures(self) -> dict[tuple[str, int], Failure]:
        """What was noted since the last call."""
        with self._lock:
            taken, self._failures = self._failures, {}
        return taken

    def give_back_failures(self, taken: Mapping[tuple[str, int], Failure]) -> None:
        """What was taken could not be written: it counts again."""
        with self._lock:
            for key, failure in taken.items():
                newer = self._failures.get(key)
                self._failures[key] = Failure(failure.count + newer.count, newer.reason) if newer else failure

    def champion(self, model: str) -> Lane:
        served = self.served(model)
        if served.champion is None:
            reason = f" {served.problems[0]}" if served.problems else ""
            raise Busy(f"Model {model!r} has no version that answers now.{reason}")
        return served.champion
