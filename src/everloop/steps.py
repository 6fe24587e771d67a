"""The arrows of the ring as steps: each calls one stage, and knows how that stage's result is kept.

Steps without `effect` depend on their arguments alone and are memoised; the others change the world and always run. The functions that are
no steps only look something up.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.errors import unknown
from everloop.core.live import Decision
from everloop.core.models import Candidate, Evaluation, Task
from everloop.core.ports import Place, Source
from everloop.core.tables import Prepared, Profile, Schema, Snapshot
from everloop.core.verdict import Verdict
from everloop.engine.run import conclude
from everloop.engine.step import step
from everloop.project import Loop
from everloop.store import ledger, records, registry, runs
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace, current, using

if TYPE_CHECKING:
    from everloop.data.prepare import Split

# Looked up before anything is done


def check(loop: Loop) -> Task:
    """Every name in the declaration means something; the task. Raises before anything is read or kept."""
    from everloop.core import plugins
    from everloop.evaluate.metrics import get, task_of

    get(loop.metrics)
    task = task_of(loop.metrics)
    for sink in loop.sinks:
        plugins.find("sinks", sink)
    for trigger in loop.triggers:
        trigger.check(loop.metrics)
    return task


def gates(loop: Loop) -> Sequence[Any]:
    from everloop.evaluate.gates import default

    return tuple(loop.gates) if loop.gates else default(loop.metrics)


def check_gates(loop: Loop, data: Any) -> None:
    """Gates name metrics of the loop and columns of the snapshot. Raises NotFound with the closest match, before anything is trained."""
    columns = [column.name for column in data.result().columns]
    for gate in gates(loop):
        gate.check(loop.metrics, columns)
    for column in loop.slices:
        if column not in columns:
            raise unknown("Column", column, columns)


def slices(loop: Loop) -> tuple[str, ...]:
    """The columns whose values are evaluated one by one: those asked for, and those that a gate looks at."""
    wanted = [*loop.slices, *(column for gate in gates(loop) for column in gate.slices())]
    return tuple(dict.fromkeys(wanted))


def place(loop: str) -> Place:
    return Place(loop, current().project, current().home)


def stamp(loop: Loop) -> str:
    """Changes when the source may have something new."""
    return loop.source.stamp(place(loop.name))


def schema_file(loop: str) -> Any:
    return current().project / "schemas" / f"{loop}.json"


def declared_schema(loop: str) -> Schema | None:
    """The schema beside the user's code, if it was written yet."""
    from everloop.data.schema import load

    path = schema_file(loop)
    return load(path) if path.is_file() else None


def champion(loop: str, data: Any) -> Candidate | None:
    """The candidate that answers now, if the snapshot has the columns that it needs: on others it cannot be compared."""
    with current().read() as tx:
        number = registry.deployment(tx, loop).champion
        found = None if number is None else records.load(tx, registry.get(tx, loop, number).candidate, Candidate)
    columns = {column.name for column in data.result().columns}
    return found if found and columns.issuperset(column.name for column in found.signature.inputs) else None


def known_as(loop: str, candidate: Any) -> Registered | None:
    """The version that this very candidate already is, if it had its chance: a rollout that began, or a refusal.

    A version that was only registered when its run was killed goes on from there.
    """
    with current().read() as tx:
        for entry in reversed(registry.find(tx, loop=loop, candidate=candidate.output)):
            if any(decision.action != "register" for decision in ledger.find(tx, about=entry.name)):
                return entry
    return None


def person() -> str:
    """Who is at the keyboard, for the ledger."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"uid {os.getuid()}@{socket.gethostname()}"


# Source to version


@step
def ingest(source: Source, dataset: str, stamp: str) -> Snapshot:
    from everloop.data.ingest import take

    return take(source, dataset=dataset, place=place(dataset))


@step
def pinned(id: str) -> Snapshot:
    """A snapshot that was taken before."""
    with current().read() as tx:
        return records.load(tx, records.resolve(tx, id), Snapshot)


@step
def profile(snapshot: Snapshot) -> Profile:
    from everloop.data.profile import summarise
    from everloop.store.tables import load_table

    return summarise(load_table(current().blobs, snapshot.table), about=snapshot.id)


def contract(profile: Any, *, dataset: str, target: str, drop: Sequence[str]) -> Schema:
    """The schema beside the user's code; until it is written there, the one that the profile suggests."""
    return declared_schema(dataset) or infer(profile, dataset=dataset, target=target, drop=drop).result()


@step
def infer(profile: Profile, *, dataset: str, target: str, drop: Sequence[str]) -> Schema:
    from everloop.data.schema import infer as read_off

    return read_off(profile, dataset=dataset, target=target, drop=drop)


@step
def validate(snapshot: Snapshot, profile: Profile, schema: Schema) -> Verdict:
    from everloop.data.validate import validate as judge_data
    from everloop.store.tables import load_table

    return judge_data(profile, snapshot.columns, schema, about=snapshot.id, frame=load_table(current().blobs, snapshot.table))


@step
def prepare(
    snapshot: Snapshot, *, target: str, drop: Sequence[str], split: Split | None, transform: object | None, task: Task, seed: int
) -> Prepared:
    from everloop.data.prepare import prepare as part_and_transform

    return part_and_transform(snapshot, target=target, drop=tuple(drop), split=split, transform=transform, task=task, seed=seed)


@step
def fit(prepared: Prepared, *, model: object, params: Mapping[str, object], seed: int) -> Candidate:
    from everloop.train.fit import fit as train

    return train(prepared, model=model, params=params, seed=seed, loop="")


@step
def score(
    candidate: Candidate, prepared: Prepared, *, metrics: Sequence[str], slices: Sequence[str], seed: int, baselines: bool = True
) -> Evaluation:
    from everloop.evaluate.score import score as evaluate

    return evaluate(candidate, prepared, metrics=metrics, slices=slices, baselines=baselines, seed=seed)


@step
def judge(evaluation: Evaluation, champion: Evaluation | None, gates: Sequence[Any]) -> Verdict:
    from everloop.evaluate.gates import judge as hold_against

    return hold_against(evaluation, champion, gates)


@step(effect=True)
def register(loop: str, candidate: Candidate, evaluation: Evaluation, verdict: Verdict) -> Registered:
    from everloop.release.register import register as number

    run = current_run()
    return number(current(), loop=loop, candidate=candidate, evaluation=evaluation, verdict=verdict, run=run, actor=run)


@step
def prove(version: Registered, evaluation: Evaluation) -> Verdict:
    from everloop.serve.proof import prove as replay_golden_rows

    return replay_golden_rows(current(), version, evaluation)


# How a cycle ends


@step(effect=True)
def stop(loop: Loop, data: Snapshot, verdict: Verdict) -> None:
    """Schema skew: nothing is trained, a person is called."""
    from everloop.monitor.pages import page

    broken = "; ".join(finding.message.rstrip(".") for finding in verdict.failures)
    reason = f"The data of {loop.name!r} do not fit its schema: {broken}. Nothing was trained; the champion stays."
    evidence = {"findings": msgspec.to_builtins(verdict.failures)}
    run = current_run()
    with current().write() as tx:
        about = (run, verdict.id, data.id)
        ledger.append(tx, loop=loop.name, rule="schema", action="stop", reason=reason, about=about, evidence=evidence, actor=run)
        page(tx, loop=loop.name, rule="schema", reason=reason, actor=run, at=time.time(), about=about, evidence=evidence, sinks=loop.sinks)
    _conclude("stopped", reason, data=data, verdict=verdict)


@step(effect=True)
def refuse(loop: Loop, data: Snapshot, candidate: Candidate, evaluation: Evaluation, verdict: Verdict) -> None:
    """A candidate that failed its gate, or its parity with the served answers, is no version."""
    reason = f"The candidate is refused: {'; '.join(finding.message.rstrip('.') for finding in verdict.failures)}."
    run = current_run()
    with current().write() as tx:
        names = [entry.name for entry in registry.find(tx, loop=loop.name, candidate=candidate.id)]
        about = (run, verdict.id, candidate.id, evaluation.id, *names)
        ledger.append(tx, loop=loop.name, rule=verdict.question, action="refuse", reason=reason, about=about, actor=run)
    _conclude("refused", reason, data=data, candidate=candidate, evaluation=evaluation, verdict=verdict)


@step(effect=True)
def nothing_new(data: Snapshot, candidate: Candidate, known: Registered) -> None:
    """Equal work gives the equal candidate, which had its chance."""
    _conclude("done", f"Nothing new: this is version {known.name} already.", version=known.name, data=data, candidate=candidate)


@step(effect=True)
def release(loop: Loop, version: Registered, *, schema: Schema, data: Snapshot, evaluation: Evaluation, verdict: Verdict) -> None:
    """Put the version into its rollout; the first one writes the schema beside the user's code, to be edited there."""
    from everloop.data.schema import save
    from everloop.queries.chain import metric_text
    from everloop.release.deploy import begin

    path = schema_file(loop.name)
    if not path.exists():
        save(schema, path)
    decision = begin(current(), version, rollout(loop), now=time.time(), actor=current_run())
    shown = ", ".join(metric_text(metric) for metric in evaluation.metrics if not metric.slice)
    _conclude(
        "done", f"{version.name}: {shown}. {decision.reason}", version=version.name, data=data, evaluation=evaluation, verdict=verdict
    )


def rollout(loop: Loop) -> Any:
    from everloop.release.rollout import Rollout

    return loop.rollout or Rollout()


def current_run() -> str:
    """The id of the run that this step belongs to: who acted."""
    from everloop.engine.scope import execution

    active = execution.get()
    return active.run.id if active else person()


def _conclude(status: Any, summary: str, *, version: str = "", data: Snapshot, **made: Any) -> None:
    result = {"summary": summary, "version": version, "snapshot": data.id, "rows": data.rows} | {
        name: record.id for name, record in made.items()
    }
    if evaluation := made.get("evaluation"):
        result |= {"candidate": evaluation.candidate, "prepared": evaluation.prepared}
    conclude(status, result)


# Captured predictions to decisions


def observe(workspace: Workspace, loop: Loop, *, now: float, actor: str) -> list[Decision]:
    """Close the windows that are full, judge them, and page a person where a verdict failed."""
    from everloop.data.profile import summarise
    from everloop.monitor.watch import watch

    watched = watch(workspace, loop.name, summarise=summarise, now=now, actor=actor, window_rows=loop.window_rows, sinks=tuple(loop.sinks))
    return [decision for one in watched for decision in one.decisions]


def trigger(workspace: Workspace, loop: Loop, *, now: float, actor: str) -> list[Decision]:
    """Show every trigger the newest window and what the source has now; those that fire share one run."""
    from everloop.trigger.fire import consider

    return consider(workspace, loop.name, loop.triggers, evidence(workspace, loop), now=now, actor=actor) if loop.triggers else []


def evidence(workspace: Workspace, loop: Loop) -> Any:
    from everloop.monitor.watch import latest
    from everloop.trigger.evidence import Evidence

    with workspace.read() as tx:
        number = registry.deployment(tx, loop.name).champion
        newest = None if number is None else latest(tx, loop.name, number)
        begun = [run for run in runs.find(tx, loop=loop.name, limit=50) if run.started_at is not None]
    stamp, rows = _rows_now(workspace, loop)
    seen = next((int(str(run.result["rows"])) for run in begun if run.result.get("rows") is not None), None)
    return Evidence(
        window=newest[0] if newest else None,
        verdict=newest[1] if newest else None,
        new_rows=rows - seen if seen is not None else 0,
        stamp=stamp,
        since=begun[0].started_at if begun else None,
    )


def _rows_now(workspace: Workspace, loop: Loop) -> tuple[str, int]:
    """The source's stamp, and how many rows it has; read only when the stamp is another one than last time."""
    here = Place(loop.name, workspace.project, workspace.home)
    with using(workspace):
        stamp = loop.source.stamp(here)
        with workspace.read() as tx:
            known = registry.cursor(tx, loop.name, "source")
        if known.get("stamp") != stamp:
            known = {"stamp": stamp, "rows": loop.source.read(here).table.height}
            with workspace.write() as tx:
                registry.put_cursor(tx, loop.name, "source", known)
    return stamp, int(known["rows"])


def advance(workspace: Workspace, loop: Loop, *, now: float, actor: str) -> list[Decision]:
    """The rollout one step on, or back, if its verdict says so."""
    from everloop.release.deploy import advance as move

    return move(workspace, loop.name, rollout(loop), now=now, actor=actor)


def deliver_pages(workspace: Workspace, *, now: float) -> None:
    from everloop.monitor.pages import deliver_pending

    deliver_pending(workspace, now)
