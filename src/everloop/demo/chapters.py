"""The chapters of the story, in order; every `holds` is one of its lines."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import polars as pl

from everloop.core.models import Evaluation, Version
from everloop.core.runs import Run
from everloop.core.tables import Snapshot
from everloop.demo.stage import PATIENCE_S
from everloop.demo.story import FIRST_ROWS, HEALTHY_ROWS, LOOP, WINDOW_ROWS, Story
from everloop.demo.traffic import Answer, accuracy
from everloop.store import ledger, records, registry, runs
from everloop.store.workspace import Workspace


def ingest(story: Story) -> None:
    story.chapter(1, "The first part of the stream arrives")
    story.first.write_csv(story.stage.folder / "stream" / "001.csv")
    first = story.run()
    again = story.run()
    story.holds("the first run finished", first.status == "done", first.error or first.result.get("summary", ""))
    story.holds(f"{FIRST_ROWS} rows became a snapshot", _snapshot(story, first).rows == FIRST_ROWS, first.result["snapshot"])
    story.holds("ingested again it is the same snapshot", again.result["snapshot"] == first.result["snapshot"])
    with story.workspace.read() as tx:
        repeated = [step.name for step in runs.steps_of(tx, again.id) if step.status == "done" and "effect" not in step.because]
    story.holds("and no work was done again", not repeated, f"executed: {repeated or 'nothing'}")
    story.facts |= {"first_run": first.id, "first_snapshot": first.result["snapshot"]}


def deliver(story: Story) -> None:
    story.chapter(2, "A candidate passes its gate, becomes champion and answers")
    with story.workspace.read() as tx:
        entry = registry.get(tx, LOOP, 1)
        version = records.load(tx, entry.version, Version)
        evaluation = records.load(tx, version.evaluation, Evaluation)
    found = evaluation.metric("accuracy")
    dummy = next(metric for metric in evaluation.baselines["dummy"] if metric.name == "accuracy")
    assert found is not None
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert dummy.value is not None
    story.holds(
        "its accuracy comes with n and an interval",
        found.low <= found.value <= found.high,
        f"{found.value:.3f} in [{found.low:.3f}, {found.high:.3f}], n = {found.n}",
    )
    story.holds("it beats the dummy baseline beyond its interval", found.low > dummy.value, f"dummy {dummy.value:.3f}")
    story.holds("version 1 is champion", story.champion() == 1)
    story.stage.wait("the data plane to answer", story.traffic.is_served)
    answer = story.traffic.send(story.healthy[:1])
    story.holds("and answers over HTTP", len(answer) == 1 and answer[0].version == 1, answer[0].id if answer else story.traffic.failures)
    story.facts |= {"version_1": entry.version, "accuracy_evaluated": found.value, "first_prediction": answer[0].id}


def refuse_malformed(story: Story) -> None:
    story.chapter(3, "A malformed batch arrives: a pixel is missing, another is text")
    bad = story.healthy[:40].drop("p34").with_columns(pl.lit("n/a").alias("p43"))
    path = story.stage.folder / "stream" / "002.csv"
    bad.write_csv(path)
    before = story.now()
    run = story.run()
    story.holds("the schema verdict stops the run", run.status == "stopped", run.result.get("summary", ""))
    with story.workspace.read() as tx:
        ran = [step.name for step in runs.steps_of(tx, run.id)]
    later = {"prepare", "fit", "score", "judge", "register", "release"} & set(ran)
    story.holds("nothing downstream ran", not later and "validate" in ran, ", ".join(ran))
    page = story.decided("a page about the schema", after=before, action="page")
    named = page.reason + str(page.evidence)
    story.holds("a person is called, and told which columns", "p34" in named and "p43" in named, page.id)
    story.stage.wait("the page in pages.jsonl", lambda: page.id in _read(story.workspace.home / "pages.jsonl"))
    story.holds("on the console and in a file", page.id in _read(story.stage.log))
    answer = story.traffic.send(story.healthy[:5])
    story.holds("the champion still answers", len(answer) == 5 and all(one.version == 1 for one in answer))
    # The person who was called takes the batch out.
    (story.stage.folder / "quarantine").mkdir()
    path.rename(story.stage.folder / "quarantine" / "002.csv")


def stay_calm(story: Story) -> None:
    story.chapter(4, f"Healthy traffic: {HEALTHY_ROWS} requests")
    before, windows = story.now(), story.windows_closed()
    answers = story.traffic.send(story.healthy)
    story.stage.wait("the windows to be closed", lambda: story.windows_closed() >= windows + HEALTHY_ROWS // WINDOW_ROWS)
    pages = story.decisions(after=before, action="page")
    story.holds(
        f"{HEALTHY_ROWS // WINDOW_ROWS} windows, no page", not pages, [page.reason for page in pages] or f"accuracy {accuracy(answers):.3f}"
    )
    story.facts["accuracy_before"] = accuracy(answers)


def notice(story: Story) -> None:
    story.chapter(5, "A new scanner is put in: contrast, brightness and a small rotation")
    before, windows = story.now(), story.windows_closed()
    story.drifted = story.traffic.send(story.scan(WINDOW_ROWS))
    page = story.decided("a page about performance", after=before, action="page", outcome="done")
    story.holds("a person is paged, with no label known", "estimated" in page.reason.lower(), page.reason)
    fired = story.decided("the trigger", after=before, action="start_run", outcome="done")
    story.holds("the trigger fires and says why", "performance" in fired.rule and fired.reason, fired.reason)
    run = story.started_by(fired)
    story.holds(
        "the run finds nothing new to learn: no label of the new scanner is known yet",
        run.status == "done" and story.champion() == 1,
        run.result.get("summary", ""),
    )
    story.drifted += story.traffic.send(story.scan(WINDOW_ROWS))
    story.stage.wait("the second window", lambda: story.windows_closed() >= windows + 2)
    held = story.decided("the second alarm", after=fired.seq, action="start_run", outcome="suppressed")
    story.holds("the same alarm within the cool-down is recorded as suppressed", held.rule == fired.rule, held.reason)
    during = accuracy(story.drifted)
    story.holds(
        "what really happened meanwhile",
        during < story.facts["accuracy_before"] - 0.1,
        f"accuracy {during:.3f} on {len(story.drifted)} images",
    )
    story.facts |= {"accuracy_during": during, "page": page.id, "trigger": fired.id, "suppressed": held.id}


def refuse_bad(story: Story) -> None:
    story.chapter(6, "A bad candidate on purpose: its labels are shuffled")
    run = story.run(params={"shuffle_labels": True})
    story.holds("the gate refuses it", run.status == "refused", run.result.get("summary", ""))
    with story.workspace.read() as tx:
        versions = len(registry.find(tx, loop=LOOP))
    story.holds("it is no version, and the champion stays", versions == 1 and story.champion() == 1)
    story.facts["refused"] = run.result.get("candidate", run.id)


def recover(story: Story) -> None:
    story.chapter(7, "A person labels the new scanner's images; the loop learns them")
    before = story.now()
    added = story.traffic.label(story.drifted)
    story.holds("the labels are kept", added == len(story.drifted), f"{added} labels")
    fired = story.decided("the new rows to fire a trigger", after=before, action="start_run", outcome="done")
    story.holds("enough new rows fire the trigger", "new_rows" in fired.rule, fired.reason)
    run = story.started_by(fired, meanwhile=lambda: _work(story, 5))
    story.holds(
        "a candidate trained on them passes the gate",
        run.status == "done" and run.result.get("version") == f"{LOOP}/2",
        run.result.get("summary", run.error),
    )
    story.decided("the shadow stage", after=before, action="shadow")
    canary = story.decided("the canary stage", after=before, action="canary", meanwhile=lambda: _work(story, 10))
    story.holds("it was shadowed first, its answers compared and never returned", canary.reason, canary.reason)
    promoted = story.decided("the promotion", after=before, action="promote", meanwhile=lambda: _work(story, 20))
    story.holds("took a share of the live traffic, and was promoted by its labels", story.champion() == 2, promoted.reason)
    story.stage.wait("the data plane to follow", lambda: all(one.version == 2 for one in _label(story, story.traffic.send(story.scan(10)))))
    after = _label(story, story.traffic.send(story.scan(200)))
    found = accuracy(after)
    limit = (story.facts["accuracy_before"] + story.facts["accuracy_during"]) / 2
    story.holds(
        "accuracy on the new scanner recovers",
        found > limit,
        f"{found:.3f} on {len(after)} images, {story.facts['accuracy_during']:.3f} before",
    )
    story.facts |= {"accuracy_after": found, "promoted": promoted.id, "retrained_snapshot": run.result.get("snapshot")}


def roll_back(story: Story) -> None:
    story.chapter(8, "Someone retrains on the old snapshot: fine on old data, worse on live traffic")
    # The question of the next chapter takes a process that has the model's libraries to load: it may think meanwhile.
    story.asked = story.stage.command("why", story.drifted[0].id, "--replay", "--json")
    before, failed, asked = story.now(), len(story.traffic.failures), story.traffic.sent
    run = story.run(snapshot=story.facts["first_snapshot"], params={"C": 0.03})
    story.holds(
        "it passes the gate on the data it was given", run.result.get("version") == f"{LOOP}/3", run.result.get("summary", run.error)
    )
    unlabelled: list[Answer] = []
    canary = story.decided(
        "the canary stage", after=before, action="canary", meanwhile=lambda: unlabelled.extend(story.traffic.send(story.scan(10)))
    )
    served = story.stage.wait(
        "version 3 to answer", lambda: [one for one in story.traffic.send(story.scan(10)) if one.version == 3] or None
    )
    story.holds("no label known yet, it comes to answer a share of the live traffic", served, canary.reason)
    started = time.monotonic()
    _label(story, unlabelled)
    back = story.decided("the rollback", after=before, action="rollback", meanwhile=lambda: _work(story, 20))
    took = time.monotonic() - started
    story.holds("its labels roll it back in seconds", took < 30, f"{took:.1f} s after the first label: {back.reason}")
    with story.workspace.read() as tx:
        trained = [run for run in runs.find(tx, loop=LOOP) if (run.started_at or 0) > canary.at]
    story.holds("without retraining", not trained)
    story.stage.wait("the data plane to follow", lambda: all(one.version == 2 for one in story.traffic.send(story.scan(10))))
    story.holds("version 2 answers everything again", story.champion() == 2)
    story.holds("and without a failed request", len(story.traffic.failures) == failed, f"{story.traffic.sent - asked} sent")
    story.facts |= {"rolled_back": back.id, "rollback_seconds": round(took, 2)}


def explain(story: Story) -> None:
    story.chapter(9, "Asked why")
    id = story.drifted[0].id
    printed, _ = story.asked.communicate(timeout=PATIENCE_S)
    answer = _json(printed)
    story.holds(
        "a prediction replayed from the record gives the same answer", story.asked.returncode == 0 and answer["replay"]["equal"], id
    )
    kinds = [link["kind"] for link in answer["explanation"]["chain"]]
    wanted = ["prediction", "version", "candidate", "prepared", "snapshot", "source"]
    story.holds(
        "its chain leads to the source",
        [kind for kind in kinds if kind in wanted][:2] == wanted[:2] and set(wanted) <= set(kinds),
        " -> ".join(wanted),
    )
    with story.workspace.read() as tx:
        broken, entries = ledger.verify(tx), story.now()
    story.holds("the ledger verifies", not broken, f"{entries} decisions")
    copy = _tampered_copy(story.workspace)
    try:
        with copy.read() as tx:
            found = ledger.verify(tx)
    finally:
        copy.close()
    story.holds("a tampered copy does not", found, found[0].message if found else "")


def conclude(story: Story, started: float) -> dict[str, Any]:
    story.chapter(10, "In the end")
    with story.workspace.read() as tx:
        entries = ledger.find(tx, loop=LOOP)
        versions = [entry.name for entry in registry.find(tx, loop=LOOP)]
        dangling = records.dangling(tx)
    story.holds("no record is without its parents", not dangling)
    story.holds("no request failed", not story.traffic.failures, f"{story.traffic.sent} sent")
    return {
        **{key: round(value, 4) if isinstance(value, float) and not math.isnan(value) else value for key, value in story.facts.items()},
        "versions": versions,
        "champion": f"{LOOP}/{story.champion()}",
        "alarms": sum(entry.action == "page" and entry.outcome == "done" for entry in entries),
        "decisions": len(entries),
        "suppressed_decisions": sum(entry.outcome == "suppressed" for entry in entries),
        "refused_candidates": sum(entry.action == "refuse" for entry in entries),
        "requests_sent": story.traffic.sent,
        "requests_failed": len(story.traffic.failures),
        "lines": len(story.lines),
        "seconds": round(time.monotonic() - started, 1),
    }


CHAPTERS = (ingest, deliver, refuse_malformed, stay_calm, notice, refuse_bad, recover, roll_back, explain)


def _work(story: Story, rows: int) -> None:
    """Live traffic from the new scanner, labelled by people as it comes."""
    _label(story, story.traffic.send(story.scan(rows)))


def _label(story: Story, answers: list[Answer]) -> list[Answer]:
    story.traffic.label(answers)
    return answers


def _snapshot(story: Story, run: Run) -> Snapshot:
    with story.workspace.read() as tx:
        return records.load(tx, str(run.result["snapshot"]), Snapshot)


def _tampered_copy(workspace: Workspace) -> Workspace:
    """The database as it is, with one word of one decision changed."""
    import sqlite3

    folder = workspace.home / "tampered"
    folder.mkdir()
    with sqlite3.connect(workspace.home / "everloop.db") as original, sqlite3.connect(folder / "everloop.db") as copy:
        original.backup(copy)
        copy.execute("UPDATE decisions SET reason = reason || ' (or so)' WHERE seq = 3")
    copy.close()
    original.close()
    return Workspace(workspace.project, home=folder, database_url=f"sqlite:///{folder / 'everloop.db'}")


def _json(text: str) -> Any:
    import json

    return json.loads(text) if text.strip() else {}


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
