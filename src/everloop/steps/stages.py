"""Source to version: the memoised steps, and the one that numbers a version."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from everloop.core.models import Candidate, Evaluation, Task
from everloop.core.ports import Source
from everloop.core.profiles import Profile
from everloop.core.schemas import Schema
from everloop.core.tables import Prepared, Snapshot
from everloop.core.verdict import Verdict
from everloop.engine.step import step
from everloop.project import Loop
from everloop.steps.lookup import current_run, declared_schema, place
from everloop.store import datasets, records
from everloop.store.registry import Registered
from everloop.store.workspace import current

if TYPE_CHECKING:
    from everloop.data.growth import Growth
    from everloop.data.prepare import Split


@step
def ingest(source: Source, dataset: str, stamp: str, growth: Growth, before: Snapshot | None) -> Snapshot:
    from everloop.data.ingest import take

    return take(source, dataset=dataset, place=place(dataset), growth=growth, before=before)


@step
def pinned(id: str) -> Snapshot:
    """A snapshot that was taken before."""
    with current().read() as tx:
        return records.load(tx, id, Snapshot)


@step(effect=True)
def enter(loop: Loop, data: Snapshot) -> None:
    """Write down that the dataset is this now."""
    from everloop.data.growth import mode_of

    workspace = current()
    with workspace.write() as tx:
        datasets.note(tx, data, mode=mode_of(loop.ingest), by=current_run(), project=str(workspace.project))


@step
def profile(snapshot: Snapshot) -> Profile:
    from everloop.data.tallies import profile_of

    return profile_of(current().blobs, snapshot)


def contract(loop: Loop, profile: Any) -> Schema:
    """The schema that the loop declares, or the one beside the user's code; until it is written there, the one that the profile suggests."""
    return declared_schema(loop) or infer(profile, dataset=loop.name, target=loop.target, drop=loop.drop).result()


@step
def infer(profile: Profile, *, dataset: str, target: str, drop: Sequence[str]) -> Schema:
    from everloop.data.schema import infer as read_off

    return read_off(profile, dataset=dataset, target=target, drop=drop)


def validate(snapshot: Any, profile: Any, schema: Schema) -> Any:
    """The verdict on the data. What asks how old the data is asks anew each time; the rest is known as long as data and schema are the same."""
    return hold_against_schema(snapshot, profile, schema, time.time() if schema.timely else None)


@step(name="validate")
def hold_against_schema(snapshot: Snapshot, profile: Profile, schema: Schema, now: float | None) -> Verdict:
    from everloop.data.check import check

    return check(current().blobs, snapshot, schema, profile=profile, now=now)


@step
def prepare(
    snapshot: Snapshot, *, target: str, drop: Sequence[str], split: Split | None, transform: object | None, task: Task, seed: int
) -> Prepared:
    from everloop.data.prepare import prepare as part_and_transform

    return part_and_transform(snapshot, target=target, drop=tuple(drop), split=split, transform=transform, task=task, seed=seed)


@step
def leakage(snapshot: Snapshot, prepared: Prepared, *, split: Split | None, allow: Sequence[str]) -> Verdict:
    from everloop.data.leakage import check_prepared

    return check_prepared(current(), snapshot, prepared, split=split, allow=tuple(allow))


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


def consent(loop: Loop, candidate: Any, evaluation: Any) -> Verdict | None:
    """What a person says to the release, where the loop asks one."""
    from everloop.engine.approval import approval

    return approval(loop.approval, about=(candidate, evaluation)) if loop.approval else None
