"""The life cycle of a model, on one page.

    source -> snapshot -> profile -> schema verdict -> prepared -> candidate -> evaluation -> gate verdict -> version
       ^                                                                                                       |
       |                                                                                             shadow, canary, champion
       |                                                                                                       |
    decision <- trigger <- findings <- window (+ late labels) <- captured predictions <- served <- deployment <-+

`cycle` is the upper half, `watch` the lower one. This is the code that runs, not a copy of it: `everloop run` calls `cycle`, `everloop up` calls
both, for ever. Each arrow is a step from `steps.py`: memoised when its result depends on its inputs alone, an effect when it changes the world.
"""

from __future__ import annotations

from typing import Any

from everloop import steps
from everloop.core.live import Decision
from everloop.engine.pipeline import pipeline
from everloop.project import Loop
from everloop.store.workspace import Workspace


@pipeline
def collect(loop: Loop) -> Any:
    """Source to snapshot: what the source has now becomes the dataset's newest version, unless it is that already."""
    data = steps.ingest(loop.source, loop.name, steps.stamp(loop), loop.ingest, steps.before(loop))
    steps.enter(loop, data)
    return data


@pipeline
def cycle(loop: Loop, *, snapshot: str | None = None) -> None:
    """Source to version. A verdict that fails ends the run with a reason, not with an exception."""
    task = steps.check(loop)
    data = steps.pinned(steps.snapshot_id(snapshot)) if snapshot else collect(loop)
    profile = steps.profile(data)
    schema = steps.contract(loop, profile)
    sound = steps.validate(data, profile, schema)
    if not sound.result().passed:
        return steps.stop(loop, data, sound)  # schema skew stops, and calls a person

    steps.check_gates(loop, data)
    prepared = steps.prepare(
        data, target=loop.target, drop=loop.drop, split=loop.split, transform=loop.transform, task=task, seed=loop.seed
    )
    apart = steps.leakage(data, prepared, split=loop.split, allow=loop.allow_leakage)
    if not apart.result().passed:
        return steps.stop(loop, data, apart)
    candidate = steps.fit(prepared, model=loop.model, params=loop.params, seed=loop.seed)
    if known := steps.known_as(loop.name, candidate):
        return steps.nothing_new(data, candidate, known)

    asked = {"metrics": loop.metrics, "slices": steps.slices(loop), "seed": loop.seed}
    evaluation = steps.score(candidate, prepared, **asked)
    champion = steps.champion(loop.name, data)
    rival = steps.score(champion, prepared, **asked, baselines=False) if champion else None
    verdict = steps.judge(evaluation, rival, steps.gates(loop))
    if not verdict.result().passed:
        return steps.refuse(loop, data, candidate, evaluation, verdict)

    version = steps.register(loop.name, candidate, evaluation, verdict)  # only a gate verdict makes a version
    proof = steps.prove(version, evaluation)
    if not proof.result().passed:
        return steps.refuse(loop, data, candidate, evaluation, proof)
    consent = steps.consent(loop, candidate, evaluation)
    if consent is not None and not consent.passed:
        return steps.refuse(loop, data, candidate, evaluation, consent)
    return steps.release(loop, version, schema=schema, data=data, evaluation=evaluation, verdict=verdict)


def watch(workspace: Workspace, loop: Loop, *, now: float, actor: str) -> list[Decision]:
    """Captured predictions to decisions: windows are closed, a person is paged, runs are queued, a rollout goes one step on.

    Triggers start a cycle; they never deploy. Safe to call again at any time, from any process: what was acted on is not acted on twice.
    """
    paged = steps.observe(workspace, loop, now=now, actor=actor)
    started = steps.trigger(workspace, loop, now=now, actor=actor)
    moved = steps.advance(workspace, loop, now=now, actor=actor)
    steps.deliver_pages(workspace, now=now)
    return [*paged, *started, *moved]
