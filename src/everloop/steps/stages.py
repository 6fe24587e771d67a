"""Source to version: the memoised steps, and the one that numbers a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from everloop.core.models import Candidate, Evaluation, Task
from everloop.core.ports import Source
from everloop.core.tables import Prepared, Profile, Schema, Snapshot
from everloop.core.verdict import Verdict
from everloop.engine.step import step
from everloop.project import Loop
from everloop.steps.lookup import current_run, declared_schema, place
from everloop.store import records
from everloop.store.registry import Registered
from everloop.store.workspace import current

if TYPE_CHECKING:
    from everloop.data.prepare import Split


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


def consent(loop: Loop, candidate: Any, evaluation: Any) -> Verdict | None:
    """What a person says to the release, where the loop asks one."""
    from everloop.engine.approval import approval

    return approval(loop.approval, about=(candidate, evaluation)) if loop.approval else None
