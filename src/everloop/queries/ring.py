"""Where a loop stands on the ring, station by station: pure rules on what the store says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from everloop.core.live import Decision, Deployment
from everloop.core.runs import Run, Step
from everloop.queries.chain import summary
from everloop.queries.windows import WindowState

Tone: TypeAlias = Literal["idle", "ok", "busy", "held", "wrong"]

STATIONS = ("data", "train", "evaluate", "gate", "release", "serve", "watch", "decide")
_PIPELINE = STATIONS[:4]
_MADE_LAST = {"prepared": 1, "candidate": 2, "evaluation": 3, "version": 4}
"""Kind of record -> how many stations of the pipeline are behind a run that has made one."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """`held`: a rule said no, nobody needs to come. `wrong`: somebody should look. `here`: the loop is at this station now."""

    name: str
    tone: Tone
    note: str
    here: bool = False


def ring(
    deployment: Deployment,
    *,
    run: Run | None,
    steps: Sequence[Step],
    abandoned: bool,
    window: WindowState | None,
    last: Decision | None,
    page: Decision | None,
) -> tuple[Station, ...]:
    """`run` is the newest run, `steps` its steps, `last` the newest decision, `page` the open page to a person, if there is one."""
    stations = [*_pipeline(run, steps, abandoned), _release(deployment), _serve(deployment), _watch(window), _decide(last, page)]
    here = _here(stations, deployment, run)
    return tuple(msgspec.structs.replace(station, here=station.name == here) for station in stations)


def _pipeline(run: Run | None, steps: Iterable[Step], abandoned: bool) -> list[Station]:
    if run is None:
        return [Station(name=name, tone="idle", note="no run yet") for name in _PIPELINE]
    behind = len(_PIPELINE) if run.status == "done" else max((_MADE_LAST.get(_kind(step.output), 0) for step in steps), default=0)
    tone, note = _state_of(run, abandoned)
    if run.status == "stopped":
        behind = 0
    elif run.status == "refused":
        behind = len(_PIPELINE) - 1
    elif run.status != "done":
        behind = min(behind, len(_PIPELINE) - 1)
    return [
        Station(name=name, tone="ok", note=f"{run.id} passed here")
        if place < behind
        else Station(name=name, tone=tone, note=note)
        if place == behind
        else Station(name=name, tone="idle", note=f"{run.id} has not come here")
        for place, name in enumerate(_PIPELINE)
    ]


def _state_of(run: Run, abandoned: bool) -> tuple[Tone, str]:
    why = run.error or str(run.result.get("summary", ""))
    told = f": {why}" if why else ""
    if abandoned:
        return "wrong", f"{run.id} says that it is running, but its process is gone"
    match run.status:
        case "queued":
            return "busy", f"{run.id} waits in the queue"
        case "running":
            return "busy", f"{run.id} is running"
        case "waiting":
            return "held", f"{run.id} waits for a person{told}"
        case "stopped":
            return "wrong", f"{run.id} was stopped by the data{told}"
        case "refused":
            return "held", f"{run.id} was refused by the gate{told}"
        case _:
            return "wrong", f"{run.id} {run.status}{told}"


def _release(deployment: Deployment) -> Station:
    if deployment.challenger is not None and deployment.stage != "none":
        share = f" with {deployment.share:.0%} of the traffic" if deployment.stage == "canary" else ""
        return Station(name="release", tone="busy", note=f"{deployment.loop}/{deployment.challenger} is in {deployment.stage}{share}")
    if deployment.champion is not None:
        return Station(name="release", tone="ok", note="no challenger")
    return Station(name="release", tone="idle", note="nothing was released yet")


def _serve(deployment: Deployment) -> Station:
    if deployment.champion is None:
        return Station(name="serve", tone="idle", note="no champion answers")
    return Station(name="serve", tone="ok", note=f"{deployment.loop}/{deployment.champion} is champion")


def _watch(state: WindowState | None) -> Station:
    if state is None:
        return Station(name="watch", tone="idle", note="no window was closed yet")
    failed = [verdict for verdict in state.verdicts if not verdict.passed]
    if failed:
        return Station(name="watch", tone="wrong", note=failed[0].sentence())
    return Station(name="watch", tone="ok", note=summary(state.window))


def _decide(last: Decision | None, page: Decision | None) -> Station:
    if page is not None:
        return Station(name="decide", tone="wrong", note=f"a person was called: {page.reason}")
    if last is None:
        return Station(name="decide", tone="idle", note="nothing was decided yet")
    if last.outcome == "suppressed":
        return Station(name="decide", tone="held", note=f"{last.action} was held back: {last.reason}")
    return Station(name="decide", tone="ok", note=f"{last.action}: {last.reason}")


def _here(stations: Sequence[Station], deployment: Deployment, run: Run | None) -> str:
    """The pipeline while a run is under way, else the rollout, else what the serving model has come to."""
    if run is not None and run.status in ("queued", "running", "waiting"):
        return next(station.name for station in stations if station.tone in ("busy", "wrong"))
    if deployment.challenger is not None and deployment.stage != "none":
        return "release"
    if deployment.champion is not None:
        return "watch" if any(station.name == "watch" and station.tone != "idle" for station in stations) else "serve"
    stuck = [station.name for station in stations[: len(_PIPELINE)] if station.tone in ("wrong", "held")]
    return stuck[0] if stuck else STATIONS[0]


def _kind(output: str) -> str:
    return output.rpartition("-")[0]
