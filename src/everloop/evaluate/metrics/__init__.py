"""Truth and answers -> a number with its n and interval. One metric a file; found by name in the entry-point group `everloop.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from everloop.core import plugins
from everloop.core.errors import BadInput
from everloop.core.models import Task
from everloop.evaluate.metrics.measure import Measure


def get(names: Sequence[str]) -> list[Measure]:
    """The metrics with these names, in order, each once. NotFound with the closest match; BadInput for no name at all."""
    if not names:
        raise BadInput(f"No metric was given. Choose among {', '.join(plugins.names('metrics'))}.")
    return [cast("type[Measure]", plugins.find("metrics", name))() for name in dict.fromkeys(names)]


def task_of(names: Sequence[str]) -> Task:
    """The one task that all these metrics belong to. BadInput when they are mixed."""
    measures = get(names)
    tasks = {measure.task for measure in measures}
    if len(tasks) > 1:
        first, other = measures[0], next(measure for measure in measures if measure.task != measures[0].task)
        raise BadInput(
            f"{first.name!r} is a {first.task} metric and {other.name!r} a {other.task} metric. All metrics of a loop must be of one task."
        )
    return measures[0].task
