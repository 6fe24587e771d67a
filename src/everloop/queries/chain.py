"""Any id -> where it came from, back to the source, and the decisions on the way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

import msgspec

from everloop.core.errors import EverloopError, NotFound
from everloop.core.labelling import LabelSet
from everloop.core.live import Decision, Label, Prediction, Window
from everloop.core.models import Candidate, Evaluation, Metric, Version
from everloop.core.profiles import Profile
from everloop.core.record import Record
from everloop.core.runs import Run
from everloop.core.schemas import Schema
from everloop.core.tables import Prepared, Snapshot
from everloop.core.verdict import Verdict
from everloop.store import approvals, captures, labels, ledger, records, registry, runs
from everloop.store.database import Transaction
from everloop.store.workspace import Workspace


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One station of the chain: what it is, in what role it served the one before, and a sentence on it."""

    role: str
    kind: str
    id: str
    summary: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`chain` goes from the thing asked about to the source; `decisions` are those about anything in it, oldest first."""

    id: str
    kind: str
    chain: tuple[Link, ...]
    decisions: tuple[Decision, ...]


def explain(workspace: Workspace, id: str) -> Explanation:
    """`id` is a prediction, a version (`loop/3`, or its record), a decision, an approval, a run, or any record; a unique beginning will do."""
    with workspace.read() as tx:
        if id.startswith("p-"):
            return _of_prediction(tx, captures.find(workspace.predictions, id))
        if id.startswith("decision-"):
            decision = ledger.by_hash(tx, id)
            if decision is None:
                raise NotFound(f"No decision's id begins with {id!r}. 'everloop status' shows the latest.")
            return _of_decision(tx, decision)
        if id.startswith("approval-"):
            return _of_approval(tx, approvals.one(tx, id))
        if id.startswith("run-"):
            return _of_run(tx, runs.one(tx, id))
        if "/" in id:
            loop, _, number = id.rpartition("/")
            entry = registry.by_alias(tx, loop, number)
            return _of_version(tx, entry, [])
        return _of_record(tx, records.resolve(tx, id))


def record_of(workspace: Workspace, id: str) -> Record | None:
    """The record with exactly this id, None when it names something else."""
    with workspace.read() as tx:
        return _maybe(tx, id)


def _of_prediction(tx: Transaction, prediction: Prediction) -> Explanation:
    entry = registry.get(tx, prediction.loop, prediction.version)
    label = labels.get(tx, [prediction.id]).get(prediction.id)
    link = Link(role="asked about", kind="prediction", id=prediction.id, summary=_prediction_summary(prediction, label))
    return _of_version(tx, entry, [link])


def _of_version(tx: Transaction, entry: registry.Registered, before: list[Link]) -> Explanation:
    chain = [
        *before,
        Link(role="answered by" if before else "asked about", kind="version", id=entry.name, summary=f"model {entry.model[:12]}"),
    ]
    chain += _ancestors(tx, entry.version)
    return _explanation(tx, chain, [entry.version, entry.run])


def _of_decision(tx: Transaction, decision: Decision) -> Explanation:
    chain = [Link(role="asked about", kind="decision", id=decision.id, summary=_decision_summary(decision))]
    others: list[str] = []
    for subject in decision.about:
        others.append(subject)
        chain += _station(tx, subject)
    return _explanation(tx, chain, others)


def _of_approval(tx: Transaction, asked: approvals.Approval) -> Explanation:
    first = Link(role="asked about", kind="approval", id=asked.id, summary=f"{asked.question!r}: {approvals.sentence(asked)}")
    return _explanation(tx, [first, *(link for subject in asked.about for link in _station(tx, subject))], [asked.run])


def _of_run(tx: Transaction, run: Run) -> Explanation:
    chain = [Link(role="asked about", kind="run", id=run.id, summary=_run_summary(run))]
    outputs = [step.output for step in runs.steps_of(tx, run.id) if step.output]
    for id in dict.fromkeys(outputs):
        record = _maybe(tx, id)
        if record is not None:
            chain.append(Link(role="made", kind=record.kind, id=record.id, summary=summary(record)))
    return _explanation(tx, chain, [run.decision])


def _of_record(tx: Transaction, id: str) -> Explanation:
    record = records.load(tx, id, Record)
    first = Link(role="asked about", kind=record.kind, id=record.id, summary=summary(record))
    return _explanation(tx, [first, *_ancestors(tx, record.id)], [])


def _station(tx: Transaction, subject: str) -> list[Link]:
    """One thing that a decision is about, with its ancestors."""
    try:
        if subject.startswith("run-"):
            run = runs.get(tx, subject)
            return [Link(role="about", kind="run", id=run.id, summary=_run_summary(run))]
        if "/" in subject:
            entry = registry.by_alias(tx, *subject.rsplit("/", 1))
            return [Link(role="about", kind="version", id=entry.name, summary=f"model {entry.model[:12]}"), *_ancestors(tx, entry.version)]
        record = records.load(tx, subject, Record)
    except EverloopError:
        return [Link(role="about", kind="", id=subject, summary="")]
    return [Link(role="about", kind=record.kind, id=record.id, summary=summary(record)), *_ancestors(tx, record.id)]


def _ancestors(tx: Transaction, id: str) -> list[Link]:
    links: list[Link] = []
    seen: set[str] = {id}
    for _, role, parent in records.ancestry(tx, id):
        if parent in seen:
            continue
        seen.add(parent)
        record = _maybe(tx, parent)
        if record is None:
            continue
        links.append(Link(role=role, kind=record.kind, id=record.id, summary=summary(record)))
        if isinstance(record, Snapshot):
            links.append(Link(role="source", kind="source", id=record.source, summary=_source_summary(record)))
    return links


def _explanation(tx: Transaction, chain: list[Link], others: Iterable[str]) -> Explanation:
    found: dict[int, Decision] = {}
    asked = [*(link.id for link in chain), *others]
    asked += [run.decision for id in asked if id.startswith("run-") for run in runs.find(tx, beginning=id, limit=1)]
    for id in dict.fromkeys(asked):
        if id.startswith("decision-"):
            decision = ledger.by_hash(tx, id)
            found |= {decision.seq: decision} if decision else {}
        elif id:
            found |= {decision.seq: decision for decision in ledger.find(tx, about=id)}
    first = chain[0]
    return Explanation(id=first.id, kind=first.kind, chain=tuple(chain), decisions=tuple(found[seq] for seq in sorted(found)))


def _maybe(tx: Transaction, id: str) -> Record | None:
    try:
        return records.load(tx, id, Record)
    except NotFound:
        return None


@singledispatch
def summary(record: Record) -> str:
    """A record in one line."""
    return record.kind


@summary.register
def _(record: Snapshot) -> str:
    return f"{record.rows} rows, {len(record.columns)} columns of {record.dataset!r}"


@summary.register
def _(record: LabelSet) -> str:
    return f"{record.rows:,} labels {record.target!r} of queue {record.queue!r}, after annotation {record.until}"


@summary.register
def _(record: Profile) -> str:
    return f"{record.rows} rows, {len(record.columns)} columns"


@summary.register
def _(record: Schema) -> str:
    return f"contract of {len(record.columns)} columns"


@summary.register
def _(record: Prepared) -> str:
    parts = ", ".join(f"{rows} {part}" for part, rows in record.rows.items())
    return f"{record.task} of {record.target!r} from {len(record.features)} features; {parts} rows"


@summary.register
def _(record: Candidate) -> str:
    params = ", ".join(f"{name}={value}" for name, value in record.params.items())
    return f"{record.estimator}({params}), seed {record.seed}, model {record.model[:12]}"


@summary.register
def _(record: Evaluation) -> str:
    return f"on {record.part}: " + ", ".join(metric_text(metric) for metric in record.metrics if not metric.slice)


@summary.register
def _(record: Version) -> str:
    return f"version of {record.loop!r}"


@summary.register
def _(record: Verdict) -> str:
    return record.sentence()


@summary.register
def _(record: Window) -> str:
    quality = [
        f"{name} {metric_text(metric)}" for name, metric in (("estimated", record.estimated), ("realised", record.realised)) if metric
    ]
    return f"{record.rows} predictions of version {record.version}" + (": " + ", ".join(quality) if quality else "")


def metric_text(metric: Metric) -> str:
    """`accuracy 0.962 [0.941, 0.979] (n = 360)`"""
    value = "undefined" if metric.value is None else f"{metric.value:.4g}"
    interval = "" if metric.low is None or metric.high is None else f" [{metric.low:.4g}, {metric.high:.4g}]"
    return f"{metric.name} {value}{interval} (n = {metric.n})"


def _prediction_summary(prediction: Prediction, label: Label | None) -> str:
    known = "no label yet" if label is None else f"label {label.value!r}"
    return f"{prediction.output!r} as {prediction.role} of {prediction.loop!r}, {known}"


def _decision_summary(decision: Decision) -> str:
    done = "" if decision.outcome == "done" else f" ({decision.outcome})"
    return f"{decision.action}{done} by rule {decision.rule!r}: {decision.reason}"


def _run_summary(run: Run) -> str:
    return f"{run.pipeline} of {run.loop!r}: {run.status}" + (f" ({run.error})" if run.error else "")


def _source_summary(snapshot: Snapshot) -> str:
    named = [f"{part.get('locator', '')} ({part.get('rows', '?')} rows)" for part in snapshot.origins]
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
