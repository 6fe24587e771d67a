"""The life cycle of a model, on one page.

    source -> snapshot -> profile -> schema verdict -> prepared -> candidate -> evaluation -> gate verdict -> version
       ^                                                                                                       |
       |                                                                                             shadow, canary, champion
       |                                                                                                       |
    decision <- trigger <- findings <- window (+ late labels) <- captured predictions <- served <- deployment <-+

`cycle` is the upper half, `watch` the lower one. This is the code that runs, not a copy of it: `everloop run` calls `cycle`, `everloop up`
calls both, for ever. Each arrow is a step: memoised when its result depends on its inputs alone, an effect when it changes the world.
Stages know nothing of each other; they meet here, through records.
"""

from __future__ import annotations

from everloop.core.live import Decision
from everloop.core.runs import Run
from everloop.engine.pipeline import pipeline
from everloop.engine.run import conclude
from everloop.project import Loop
from everloop.steps import (
    call_a_person,
    champion_of,
    contract,
    fit,
    ingest,
    judge,
    known_as,
    mirror,
    pinned,
    prepare,
    profile,
    prove,
    refuse,
    register,
    release,
    score,
    validate,
)
from everloop.store.workspace import Workspace


@pipeline
def cycle(loop: Loop, *, snapshot_id: str | None = None) -> None:
    """Source to version. A verdict that fails ends the run with a reason, never with an exception."""
    loop.check()
    snapshot = ingest(loop.source, loop.name, loop.stamp()) if snapshot_id is None else pinned(snapshot_id)
    statistics = profile(snapshot)
    schema = contract(statistics, loop)
    sound = validate(snapshot, statistics, schema)
