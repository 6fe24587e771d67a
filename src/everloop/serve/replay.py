"""A captured prediction -> the same answer again, from the version that gave it."""

from __future__ import annotations

import math
from typing import NamedTuple

from everloop.core.errors import Broken
from everloop.core.live import Prediction
from everloop.serve.frame import Framer, Plain, to_plain
from everloop.store import registry
from everloop.store.models import open_version
from everloop.store.workspace import Workspace

# One row alone and the same row in a batch may differ in the last bits: libraries sum in another order.
_TOLERANCE = 1e-9


class One(NamedTuple):
    """One row's answer. `probabilities` are in `Signature.classes` order."""

    output: Plain
    probabilities: list[float] | None


class Replay(NamedTuple):
    """`equal`: the same label or number, and the same probabilities but for rounding."""

    recorded: One
    recomputed: One
    equal: bool


def replay(workspace: Workspace, prediction: Prediction) -> Replay:
    """Open the version that answered and ask it the captured features again. Broken when they do not fit its signature."""
    with workspace.read() as tx:
        registered = registry.get(tx, prediction.loop, prediction.version)
    candidate, model = open_version(workspace, registered)
    if len(prediction.features) != len(candidate.signature.inputs):
        raise Broken(
            f"Prediction {prediction.id} has {len(prediction.features)} features; {registered.name} takes {len(candidate.signature.inputs)}."
        )
    outputs, probabilities = model.predict(Framer(candidate.signature)([prediction.features]))
    recorded = One(prediction.output, prediction.probabilities)
    recomputed = One(to_plain(outputs.tolist()[0]), None if probabilities is None else probabilities[0].tolist())
    return Replay(recorded, recomputed, same(recorded, recomputed, tolerance=_TOLERANCE))


def same(one: One, other: One, *, tolerance: float) -> bool:
    return same_output(one.output, other.output, tolerance=tolerance) and distance(one.probabilities, other.probabilities) <= tolerance


def same_output(one: Plain, other: Plain, *, tolerance: float) -> bool:
    """Labels are equal or not; numbers of a regression agree within `tolerance` of their size."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return type(one) is type(other) and one == other


def distance(one: list[float] | None, other: list[float] | None) -> float:
    """The largest difference of two rows of probabilities; infinite when only one has them, or one is NaN."""
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    if len(one) != len(other):
        return math.inf
    gaps = [abs(a - b) for a, b in zip(one, other, strict=True)]
    return math.inf if any(math.isnan(gap) for gap in gaps) else max(gaps, default=0.0)
