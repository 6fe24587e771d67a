"""What the data plane counts, for Prometheus. Children are bound once: looking a label up costs more than counting.

With several workers each writes to files of its own in PROMETHEUS_MULTIPROC_DIR, which must be set before this module is imported, and
whichever worker is asked adds them up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from everloop.core.rules.rows import Broken

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10000)


class LaneMeter:
    """The bound children of one version."""

    def __init__(self, batch_rows: Histogram, dropped: Counter, failed: Counter, broken: Callable[[Broken], Counter]) -> None:
        self.batch_rows = batch_rows
        self.shadow_dropped = dropped
        self.challenger_failed = failed
        self._child = broken
        self._broken: dict[Broken, Counter] = {}

    def out_of_contract(self, found: Iterable[Broken]) -> None:
        """One row, and the rules of the schema that it breaks."""
        for one in found:
            child = self._broken.get(one)
            if child is None:
                child = self._broken[one] = self._child(one)
            child.inc()


class Metrics:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        version = ["model", "version"]
        self._requests = Counter(
            "everloop_requests", "Requests by outcome. Unknown models have no label.", [*version, "role", "status"], registry=registry
        )
        self._seconds = Histogram(
            "everloop_request_seconds", "From the whole request read to its answer.", ["model"], registry=registry, buckets=_SECONDS
        )
        self._rows = Counter("everloop_rows", "Rows answered.", version, registry=registry)
        self._batch_rows = Histogram("everloop_batch_rows", "Rows of one model call.", version, registry=registry, buckets=_ROWS)
        self._queue = Gauge("everloop_queued_rows", "Rows waiting for a version.", version, registry=registry, multiprocess_mode="livesum")
        self._dropped = Counter("everloop_shadow_dropped_rows", "Rows that a shadow was not asked.", version, registry=registry)
        self._failed = Counter(
            "everloop_challenger_failures", "Requests on which a challenger failed; the champion answered.", version, registry=registry
        )
        self._broken = Counter(
            "everloop_rows_out_of_contract",
            "Rows that break a rule of the schema which the version was released with. They are answered.",
            [*version, "check", "subject"],
            registry=registry,
        )
        self._bound: dict[tuple[str, int, str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}
        self._counted: dict[tuple[str, int], Counter] = {}

    def lane(self, model: str, version: int) -> LaneMeter:
        labels = (model, str(version))
        return LaneMeter(
            self._batch_rows.labels(*labels),
            self._dropped.labels(*labels),
            self._failed.labels(*labels),
            lambda broken: self._broken.labels(*labels, broken.check, broken.subject),
        )

    def count(self, model: str, version: int, role: str, status: int) -> None:
        """One request; `version` 0 when none was chosen."""
        key = (model, version, role, status)
        child = self._bound.get(key)
        if child is None:
            child = self._bound[key] = self._requests.labels(model, str(version) if version else "", role, str(status))
        child.inc()

    def answered(self, model: str, version: int, rows: int, seconds: float) -> None:
        timed = self._timed.get(model)
        if timed is None:
            timed = self._timed[model] = self._seconds.labels(model)
        timed.observe(seconds)
        counted = self._counted.get((model, version))
        if counted is None:
            counted = self._counted[model, version] = self._rows.labels(model, str(version))
        counted.inc(rows)

    def queues(self, waiting: Iterable[tuple[str, int, int]]) -> None:
        """Set the gauges from (model, version, rows)."""
        for model, version, rows in waiting:
            self._queue.labels(model, str(version)).set(rows)

    def render(self) -> bytes:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not folder:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, folder)  # pyright: ignore[reportUnknownArgumentType]
        return generate_latest(registry)
