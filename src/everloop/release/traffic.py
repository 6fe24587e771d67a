"""Captured predictions and labels since a stage began -> what the rollout rule looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from everloop.core.live import Deployment, Label, Prediction
from everloop.release.losses import Losses, losses
from everloop.release.rollout import Traffic
from everloop.store import captures, labels, registry
from everloop.store.captures import Position
from everloop.store.database import Transaction

CURSOR = "rollout"
ERRORS = "challenger-errors"
# What one look reads at most: a rollout that needs more has a share too small to ever end.
MOST_ROWS = 500_000

Value: TypeAlias = bool | int | float | str | None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What the rollout remembers: the version on trial, where its evidence begins in the captured stream, and the looks taken."""

    version: int = 0
    position: Position = {}
    looks: int = 0
    looked_at: int = 0
    probation: bool = False


class Answer(NamedTuple):
    """`id` is what its label comes under: for a shadow, the answer that it copied."""

    id: str
    output: Value
    latency_us: int


class Sides(NamedTuple):
    """Answers of the version on trial and of the one that it is compared with; `newest` is when anything was answered last."""

    challenger: list[Answer]
    champion: list[Answer]
    newest: float | None


def load_trial(tx: Transaction, loop: str) -> Trial:
    return msgspec.convert(registry.cursor(tx, loop, CURSOR), Trial)


def put_trial(tx: Transaction, loop: str, trial: Trial) -> None:
    registry.put_cursor(tx, loop, CURSOR, msgspec.to_builtins(trial))


def begins(folder: Path, loop: str, version: int | None, rows: int) -> tuple[Position, float | None]:
    """Where to read from to have the last `rows` answers that `version` gave, and when it gave the newest one."""
    position, newest = captures.tail(folder, loop, rows, lambda p: p.version == version and p.role != "shadow")
    return position, newest.at if newest else None


def collect(folder: Path, deployment: Deployment, trial: Trial) -> Sides:
    """Read both sides' answers of the present stage."""
    stream = (p for _, _, p in islice(captures.frames(folder, deployment.loop, trial.position), MOST_ROWS))
    return sides(stream, deployment, probation=trial.probation)


def sides(stream: Iterable[Prediction], deployment: Deployment, *, probation: bool) -> Sides:
    """Sort predictions by the side that they are evidence for. Pure."""
    challenger: list[Answer] = []
    champion: list[Answer] = []
    newest: float | None = None
    for p in stream:
        answer = Answer(p.id, p.output, p.latency_us)
        if p.role != "shadow":
            newest = p.at if newest is None else max(newest, p.at)
        if deployment.stage == "none":
            if probation and p.role != "shadow":
                if p.version == deployment.champion and p.at >= deployment.champion_since:
                    challenger.append(answer)
                elif p.version == deployment.previous and p.at < deployment.champion_since:
                    champion.append(answer)
        elif p.at >= deployment.since:
            if p.version == deployment.challenger and p.role == deployment.stage:
                challenger.append(answer._replace(id=p.request) if p.role == "shadow" else answer)
            elif p.version == deployment.champion and p.role == "champion":
                champion.append(answer)
    return Sides(challenger, champion, newest)


def weigh(
    both: Sides, known: Mapping[str, Label], deployment: Deployment, trial: Trial, *, binary: bool, errors: int, now: float
) -> Traffic:
    """Join answers with labels. Pure. In shadow only the answers to the same request are compared."""
    champion = both.champion
    compared = agreed = 0
    if deployment.stage == "shadow":
        given = {answer.id: answer for answer in champion}
        pairs = [(answer, given[answer.id]) for answer in both.challenger if answer.id in given]
        compared, agreed = len(pairs), sum(same(one.output, other.output) for one, other in pairs) if binary else 0
        champion = [other for _, other in pairs]
        both = both._replace(challenger=[*(one for one, _ in pairs), *(a for a in both.challenger if a.id not in given)])
    began = deployment.champion_since if deployment.stage == "none" else deployment.since
    return Traffic(
        rows=len(both.challenger),
        champion_rows=len(champion),
        compared=compared if binary else 0,
        agreed=agreed,
        errors=errors,
        latency_ms=_latency_ms(both.challenger),
        champion_latency_ms=_latency_ms(champion),
        challenger=_losses(both.challenger, known, binary),
        champion=_losses(champion, known, binary),
        looks=trial.looks,
        looked_at=trial.looked_at,
        idle_s=now - max(began, both.newest or 0.0),
    )


def errors_of(tx: Transaction, loop: str, version: int | None) -> int:
    """Requests on which the challenger failed, as the servers counted them."""
    counted = registry.cursor(tx, loop, ERRORS)
    return int(counted.get("errors", 0)) if version is not None and counted.get("version") == version else 0


def labels_of(tx: Transaction, both: Sides) -> dict[str, Label]:
    return labels.get(tx, dict.fromkeys(answer.id for answer in (*both.challenger, *both.champion)))


def same(output: Value, label: Value) -> bool:
    """Labels travel as JSON and may come back as text."""
    return output == label or str(output) == str(label)


def _losses(answers: Iterable[Answer], known: Mapping[str, Label], binary: bool) -> Losses:
    values: list[float] = []
    for answer in answers:
        label = known.get(answer.id)
        if label is None:
            continue
        if binary:
            values.append(0.0 if same(answer.output, label.value) else 1.0)
            continue
        try:
            values.append(abs(float(answer.output) - float(label.value)))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
    return losses(values, binary=binary)


def _latency_ms(answers: list[Answer]) -> float | None:
    return sum(answer.latency_us for answer in answers) / len(answers) / 1000 if answers else None
