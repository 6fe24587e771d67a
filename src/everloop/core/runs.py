"""Nouns of executions: Run and Step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

RunStatus: TypeAlias = Literal["queued", "running", "waiting", "done", "stopped", "refused", "failed", "crashed", "cancelled"]
StepStatus: TypeAlias = Literal["running", "hit", "done", "failed", "skipped", "cancelled"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a pipeline. Times are seconds since the epoch (UTC); `options` are what the run was asked to change.

    `stopped`: a schema verdict failed. `refused`: a gate verdict failed. `failed`: an error. `crashed`: its process is gone.
    `waiting`: a person is asked for an approval, and nothing runs meanwhile. `cancelled`: a person ended it.
    """

    id: str
    loop: str
    pipeline: str
    status: RunStatus
    decision: str = ""
    options: Mapping[str, object] = {}
    queued_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    process: str = ""
    error: str = ""
    result: Mapping[str, object] = {}
    cancelled_by: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step within a run. `output` names the artifact (a record's id, or a digest); `because` says why it ran or hit.

    `type` and `blob` are how and where the artifact is kept. `attempts` counts how often the body began; `worker` is the process that
    ran it last (host:pid), empty for the run's own. `skipped`: a step that it needs failed.
    """

    run: str
    seq: int
    name: str
    key: str
    status: StepStatus
    executor: str = "inline"
    started_at: float = 0.0
    ended_at: float | None = None
    output: str = ""
    type: str = ""
    blob: str = ""
    attempts: int = 0
    worker: str = ""
    inputs: Mapping[str, str] = {}
    because: str = ""
    error: str = ""
