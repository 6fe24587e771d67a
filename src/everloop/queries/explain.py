"""A run, a step or one call of it -> why it ran or hit, and what its key is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from everloop.core.errors import NotFound, unknown
from everloop.core.runs import Run, Step
from everloop.store import runs
from everloop.store.database import Transaction
from everloop.store.runs import Cached
from everloop.store.workspace import Workspace

_FIELDS = Step.__struct_fields__
_CALLS = f"SELECT {', '.join(_FIELDS)} FROM steps WHERE name = :name ORDER BY run DESC, seq DESC LIMIT :limit"  # noqa: S608  # names of ours
_NAMES = "SELECT DISTINCT name FROM steps"
_MAKERS = "SELECT s.seq, c.run FROM steps s JOIN cache c ON c.key = s.key WHERE s.run = :run AND s.status = 'hit'"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step. `made_in` is the run whose result a hit found, empty when that is not known any more."""

    run: str
    seq: int
    step: str
    status: str
    because: str
    error: str = ""
    started_at: float = 0.0
    made_in: str = ""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is the value, cut short; `digest` the beginning of the digest of its content."""

    text: str
    digest: str


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """`output` is the identity of what another step made, and `step` that step's name."""

    output: str
    step: str = ""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a key covers. Digests are cut short; a step that reaches very much code has one a module."""

    code: Mapping[str, str]
    libraries: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    inputs: Mapping[str, Input]
    surroundings: Mapping[str, str]
    version: str
    python: str


class CallReport(msgspec.Struct, frozen=True, kw_only=True):
    """`parts` is None when the store has no result under the key: the call failed, is an effect, or its result was collected."""

    call: Call
    key: str
    parts: Parts | None


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """The newest calls of a step, newest first, and the newest of them in full."""

    step: str
    calls: tuple[Call, ...]
    newest: CallReport


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """Every call of a run, in order."""

    run: Run
    calls: tuple[Call, ...]


def explain(workspace: Workspace, wanted: str, *, limit: int = 10) -> RunReport | StepReport | CallReport:
    """`wanted` is a run (a beginning of its id), a call in it (`RUN/3`, or `RUN/fit` for the first of that name), or a step's name.

    Raises NotFound, with the closest name.
    """
    with workspace.read() as tx:
        if not wanted.startswith("run-"):
            return _step(tx, wanted, limit)
        beginning, _, call = wanted.partition("/")
        run = runs.one(tx, beginning)
        return _one(tx, run, call) if call else RunReport(run=run, calls=_calls(tx, run))


def _calls(tx: Transaction, run: Run) -> tuple[Call, ...]:
    makers: dict[int, str] = dict(cast("list[tuple[int, str]]", tx.sql(_MAKERS, {"run": run.id})))
    return tuple(_call(step, makers.get(step.seq, "")) for step in runs.steps_of(tx, run.id))


def _one(tx: Transaction, run: Run, wanted: str) -> CallReport:
    steps = runs.steps_of(tx, run.id)
    found = next((step for step in steps if wanted in (str(step.seq), step.name)), None)
    if found is not None:
        return _report(tx, found)
    if wanted.isdecimal():
        raise NotFound(
            f"Run {run.id} has {len(steps)} calls of steps, and none with the number {wanted}. 'everloop explain {run.id}' lists them."
        )
    raise unknown("Step", wanted, {step.name for step in steps})


def _step(tx: Transaction, name: str, limit: int) -> StepReport:
    rows = [_decoded(row) for row in tx.sql(_CALLS, {"name": name, "limit": limit})]
    if not rows:
        raise unknown("Step", name, [found for (found,) in tx.sql(_NAMES)])
    return StepReport(step=name, calls=tuple(_call(step, _made_in(tx, step)) for step in rows), newest=_report(tx, rows[0]))


def _report(tx: Transaction, step: Step) -> CallReport:
    cached = runs.cached(tx, step.key) if step.key else None
    call = _call(step, cached.run if cached is not None and step.status == "hit" else "")
    return CallReport(call=call, key=step.key, parts=_parts(tx, step, cached) if cached is not None else None)


def _parts(tx: Transaction, step: Step, cached: Cached) -> Parts:
    detail = cached.detail
    shown = cast("Mapping[str, tuple[str, str]]", detail.get("params") or {})
    return Parts(
        code=_table(detail, "code"),
        libraries=_table(detail, "libraries"),
        parameters={name: Parameter(text=text, digest=digest) for name, (text, digest) in shown.items()},
        inputs={where: Input(output=output, step=_maker(tx, output)) for where, output in step.inputs.items()},
        surroundings=_table(detail, "surroundings"),
        version=str(detail.get("version") or ""),
        python=str(detail.get("python") or ""),
    )


def _maker(tx: Transaction, output: str) -> str:
    made = runs.made_by(tx, output)
    return made.name if made is not None else ""


def _made_in(tx: Transaction, step: Step) -> str:
    cached = runs.cached(tx, step.key) if step.status == "hit" else None
    return cached.run if cached is not None else ""


def _call(step: Step, made_in: str) -> Call:
    return Call(
        run=step.run,
        seq=step.seq,
        step=step.name,
        status=step.status,
        because=step.because,
        error=step.error,
        started_at=step.started_at,
        made_in=made_in,
    )


def _decoded(row: tuple[object, ...]) -> Step:
    content = dict(zip(_FIELDS, row, strict=True))
    return msgspec.convert(content | {"inputs": msgspec.json.decode(cast("str", content["inputs"]))}, Step)


def _table(detail: Mapping[str, object], name: str) -> Mapping[str, str]:
    return cast("Mapping[str, str]", detail.get(name) or {})
