"""A window's rows -> its record, its verdict and its pages, committed together with how far windows have come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from everloop.core.live import Decision, Prediction, Window
from everloop.core.models import Candidate, Evaluation, Version
from everloop.core.profiles import Profile
from everloop.core.tables import Prepared
from everloop.core.verdict import Finding, Verdict
from everloop.monitor import pages
from everloop.monitor.assess import DETECTORS, Assessment, Summarise, assess
from everloop.monitor.detectors.detector import Detector
from everloop.monitor.windows import Cursor, Group, Judged, Taken
from everloop.store import labels, records, registry
from everloop.store.database import Transaction, serialise
from everloop.store.workspace import Workspace

CURSOR = "monitor"
# How many of a version's windows wait for their labels.
RECENT = 10


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Whose windows are judged, how, and by whom."""

    workspace: Workspace
    loop: str
    summarise: Summarise
    now: float
    actor: str
    detectors: Sequence[Detector] = DETECTORS
    sinks: Sequence[str] = pages.SINKS
    page_cooldown_s: float = pages.COOLDOWN_S


class Watched(NamedTuple):
    """A window that was judged now, what was found, and the pages that were decided on, done or suppressed."""

    window: Window
    verdict: Verdict
    decisions: tuple[Decision, ...]


class Moved(Exception):
    """Another process judged windows of this loop meanwhile: a signal to stop here, no error."""


def first_time(judge: Judge, group: Group, taken: Taken, cursor: Cursor) -> tuple[Watched, Cursor]:
    """Judge a window that was just closed. NotFound when its version is not in this workspace."""
    number = str(group.version)
    found = _assess(judge, group.first, [row.prediction for row in group.rows], cursor)
    judged = Judged(
        window=found.window.id,
        verdict=found.verdict.id,
        first=group.first,
        rows=len(group.rows),
        labelled=found.window.labelled,
        start=group.start,
        end={row.segment: row.end for row in group.rows},
    )
    after = msgspec.structs.replace(
        cursor,
        versions={**cursor.versions, number: taken},
        latest={**cursor.latest, number: (judged.window, judged.verdict)},
        recent={**cursor.recent, number: (*cursor.recent.get(number, ()), judged)[-RECENT:]},
        reference={number: found.profile.id} | dict(cursor.reference),
    )
    return _keep(judge, found, found.verdict.failures, cursor, after), after


def again(judge: Judge, before: Judged, rows: Sequence[Prediction], cursor: Cursor) -> tuple[Watched, Cursor]:
    """Judge a closed window again, now that more of its labels are known. Pages only for what had not failed before."""
    number = str(rows[0].version)
    found = _assess(judge, before.first, rows, cursor)
    judged = msgspec.structs.replace(before, window=found.window.id, verdict=found.verdict.id, labelled=found.window.labelled)
    recent = tuple(judged if one.first == before.first else one for one in cursor.recent[number])
    with judge.workspace.read() as tx:
        known = {finding.check for finding in records.load(tx, before.verdict, Verdict).failures}
    news = tuple(finding for finding in found.verdict.failures if finding.check not in known)
    # The trigger looks at the latest one: the newest window, or an older one that only its labels show to be bad.
    is_latest = bool(news) or cursor.latest.get(number, ("", ""))[0] == before.window
    after = msgspec.structs.replace(
        cursor,
        recent={**cursor.recent, number: recent},
        latest={**cursor.latest, number: (judged.window, judged.verdict)} if is_latest else cursor.latest,
    )
    return _keep(judge, found, news, cursor, after), after


def load_cursor(tx: Transaction, loop: str) -> Cursor:
    return msgspec.convert(registry.cursor(tx, loop, CURSOR), Cursor)


def move(tx: Transaction, loop: str, seen: Cursor, new: Cursor) -> None:
    """Move on from the state that the caller read; Moved when it is not that state any more."""
    serialise(tx)
    if load_cursor(tx, loop) != seen:
        raise Moved
    registry.put_cursor(tx, loop, CURSOR, msgspec.to_builtins(new))


def _keep(judge: Judge, found: Assessment, failures: Sequence[Finding], cursor: Cursor, after: Cursor) -> Watched:
    window = found.window
    with judge.workspace.write() as tx:
        move(tx, window.loop, cursor, after)
        records.keep(tx, found.profile, window, found.verdict)
        # A challenger's trouble is the rollout's business; a version that was replaced is nobody's.
        alarming = failures if registry.deployment(tx, window.loop).champion == window.version else ()
        decisions = tuple(
            pages.page(
                tx, loop=window.loop, rule=f"monitor:{finding.check}", reason=finding.message, actor=judge.actor, at=judge.now,
                about=(window.id, found.verdict.id, f"{window.loop}/{window.version}"), evidence=finding.evidence, sinks=judge.sinks,
                cooldown_s=judge.page_cooldown_s,
            )
            for finding in alarming
        )  # fmt: skip
    return Watched(window, found.verdict, decisions)


def _assess(judge: Judge, first: int, rows: Sequence[Prediction], cursor: Cursor) -> Assessment:
    """Read what the version is judged by; judge outside of any transaction."""
    number = rows[0].version
    with judge.workspace.read() as tx:
        version = records.load(tx, registry.get(tx, judge.loop, number).version, Version)
        candidate = records.load(tx, version.candidate, Candidate)
        evaluation = records.load(tx, version.evaluation, Evaluation)
        snapshot = records.load(tx, candidate.prepared, Prepared).snapshot
        profiles = [id for role, id in records.children(tx, snapshot) if role == "about" and id.startswith("profile-")]
        profile = records.load(tx, profiles[0], Profile) if profiles else None
        earlier = cursor.reference.get(str(number))
        answers = records.load(tx, earlier, Profile) if earlier else None
        known = labels.get(tx, [row.id for row in rows])
    return assess(
        rows, about=version.id, first=first, signature=candidate.signature, evaluation=evaluation, profile=profile, earlier=answers,
        labels=known, detectors=judge.detectors, summarise=judge.summarise,
    )  # fmt: skip
