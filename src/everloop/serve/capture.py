"""Answers -> captured predictions, kept before the answer is sent."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.live import Prediction
from everloop.serve.errors import CaptureFailed
from everloop.store.captures import Writer

if TYPE_CHECKING:
    from everloop.serve.lane import Answered, Work


class Captures:
    """One writer a loop, opened at its first prediction. Used from the event loop's thread only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Writer] = {}

    def keep(self, loop: str, version: int, batch: Sequence[tuple[Work, Answered]]) -> None:
        """Write all rows of a batch in one append and give each answer its ids. CaptureFailed leaves nothing half written."""
        try:
            writer = self._writers.get(loop)
            if writer is None:
                writer = self._writers[loop] = Writer(self._folder, loop)
            now = time.time()
            ended = time.perf_counter()
            predictions: list[Prediction] = []
            for work, answered in batch:
                role = work.role
                assert role is not None
                latency_us = int((ended - work.began) * 1e6)
                ids = [writer.next_id() for _ in work.rows]
                mirrors = work.mirrors or [work.request] * len(ids)
                probabilities = answered.probabilities or [None] * len(ids)
                predictions += [
                    Prediction(
                        id=id,
                        loop=loop,
                        version=version,
                        role=role,
                        at=now,
                        features=list(row),
                        output=output,
                        probabilities=chances,
                        latency_us=latency_us,
                        request=request,
                    )
                    for id, row, output, chances, request in zip(ids, work.rows, answered.outputs, probabilities, mirrors, strict=True)
                ]
                answered.ids = ids
            writer.append(predictions)
        except OSError as error:
            if error.errno == errno.EBADF:
                # The segment was full and the next one could not be begun: begin one with the next request.
                self._writers.pop(loop, None)
            raise CaptureFailed(
                f"Predictions of {loop!r} cannot be kept in {self._folder} ({error.strerror}). "
                "Answers are refused until they can; free space there or make it writable."
            ) from error

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
