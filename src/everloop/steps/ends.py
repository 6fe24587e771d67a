"""How a cycle ends: stopped, refused, nothing new, or released. Each is an effect, and leaves a decision."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from everloop.core.models import Candidate, Evaluation
from everloop.core.schemas import Schema
from everloop.core.tables import Snapshot
from everloop.core.verdict import Verdict
from everloop.engine.run import conclude
from everloop.engine.step import step
from everloop.project import Loop
from everloop.steps.lookup import current_run, rollout, schema_file
from everloop.store import contracts, ledger, registry
from everloop.store.registry import Registered
from everloop.store.workspace import current


@step(effect=True)
def stop(loop: Loop, data: Snapshot, verdict: Verdict) -> None:
    """Schema skew, or a leak: nothing is trained, a person is called."""
    from everloop.monitor.pages import page

    broken = "; ".join(finding.message.rstrip(".") for finding in verdict.failures)
    what, rule = ("leak what a model must not know", "leakage") if verdict.question == "leakage" else ("do not fit its schema", "schema")
    reason = f"The data of {loop.name!r} {what}: {broken}. Nothing was trained; the champion stays."
    evidence = {"findings": msgspec.to_builtins(verdict.failures)}
    run = current_run()
    with current().write() as tx:
        about = (run, verdict.id, data.id)
        ledger.append(tx, loop=loop.name, rule=rule, action="stop", reason=reason, about=about, evidence=evidence, actor=run)
        page(tx, loop=loop.name, rule=rule, reason=reason, actor=run, at=time.time(), about=about, evidence=evidence, sinks=loop.sinks)
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
    if loop.schema is None and not path.exists():
        save(schema, path)
    with current().write() as tx:
        contracts.keep(tx, version, schema)
    decision = begin(current(), version, rollout(loop), now=time.time(), actor=current_run())
    shown = ", ".join(metric_text(metric) for metric in evaluation.metrics if not metric.slice)
    _conclude(
        "done", f"{version.name}: {shown}. {decision.reason}", version=version.name, data=data, evaluation=evaluation, verdict=verdict
    )


def _conclude(status: Any, summary: str, *, version: str = "", data: Snapshot, **made: Any) -> None:
    result = {"summary": summary, "version": version, "snapshot": data.id, "rows": data.rows} | {
        name: record.id for name, record in made.items()
    }
    if evaluation := made.get("evaluation"):
        result |= {"candidate": evaluation.candidate, "prepared": evaluation.prepared}
    conclude(status, result)
