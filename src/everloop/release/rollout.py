"""Where a deployment stands and what was seen -> the next move, or none. A pure state machine.

    registered -> shadow -> canary -> champion -> (probation) -> settled
                     \\-------\\-----------------------> rollback

A challenger in shadow answers nobody; in the canary it answers a share of the traffic beside the champion, and both are compared on the
same stretch of time. Probation goes on comparing the new champion with the one before.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from everloop.core.errors import BadInput
from everloop.core.live import Deployment
from everloop.core.verdict import Finding, Verdict, verdict
from everloop.release.losses import Losses, is_worse

Action: TypeAlias = Literal["shadow", "canary", "promote", "rollback"]
QUESTION = "rollout"
ERRORS_LEAST = 3


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How a version comes to answer.

    `shadow_rows` predictions in shadow, then `canary_rows` answered by the challenger at a share `canary_share` of the traffic, then champion;
    0 rows leave a stage out, `direct` all of them. Where labels come, at least `min_labels` on each side are compared: the challenger
    is withdrawn as soon as its mean loss is significantly worse (error rate `alpha` over all looks, probation included) by more than `min_effect` (of
    the answers for classes, relative to the champion's error for numbers). A part of requests above `max_error_rate` that it fails on withdraws it too.
    For `probation_rows` labelled answers the new champion is compared with the one before. Without traffic for `idle_s` nothing can
    be compared and the challenger is promoted.
    """

    shadow_rows: int = 100
    canary_rows: int = 200
    canary_share: float = 0.2
    probation_rows: int = 1000
    alpha: float = 0.05
    min_effect: float = 0.02
    min_labels: int = 30
    max_error_rate: float = 0.01
    idle_s: float = 86_400.0
    direct: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.canary_share <= 1 or not 0 < self.alpha < 1 or not 0 <= self.max_error_rate <= 1:
            raise BadInput(
                f"Rollout: canary_share ({self.canary_share}) must be in (0, 1], alpha ({self.alpha}) in (0, 1) "
                f"and max_error_rate ({self.max_error_rate}) in [0, 1]."
            )
        small = [name for name in ("shadow_rows", "canary_rows", "probation_rows", "min_effect", "idle_s") if getattr(self, name) < 0]
        if small or self.min_labels < 2:
            raise BadInput(
                f"Rollout: {', '.join(small) or 'min_labels'} is too small. Rows and seconds are at least 0, min_labels at least 2."
            )


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen since the present stage began; in probation since the promotion, `champion` then being the version before.

    `looks` counts the label comparisons of this rollout so far, `looked_at` the labels on both sides at the last one of this stage. `idle_s` is how long
    ago anything was answered (or the stage began).
    """

    rows: int = 0
    champion_rows: int = 0
    compared: int = 0
    agreed: int = 0
    errors: int = 0
    latency_ms: float | None = None
    champion_latency_ms: float | None = None
    challenger: Losses = Losses()
    champion: Losses = Losses()
    looks: int = 0
    looked_at: int = 0
    idle_s: float = 0.0


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the rollout: the deployment after it, and the verdict that it rests on."""

    action: Action
    reason: str
    to: Deployment
    verdict: Verdict


def first_step(config: Rollout, deployment: Deployment, number: int, *, about: str, idle_s: float | None, now: float) -> Move:
    """How version `number` begins. `idle_s` is how long the champion has answered nothing, None when it never did."""
    if deployment.champion is None:
        return _promote(deployment, number, about, now, [_told("champion", "There is no champion to compare with.")])
    if config.direct:
        return _promote(deployment, number, about, now, [_told("direct", "This rollout is direct: the champion is replaced at once.")])
    if idle_s is None or idle_s >= config.idle_s:
        return _promote(deployment, number, about, now, [_no_traffic(idle_s)])
    if not config.shadow_rows and not config.canary_rows:
        return _promote(deployment, number, about, now, [_told("rows", "Neither shadow nor canary was asked for.")])
    share = 0.0 if config.shadow_rows else config.canary_share
    return _stage(share, deployment, number, [_told("begin", f"It is compared with version {deployment.champion}.")], about=about, now=now)


def next_step(
    config: Rollout, deployment: Deployment, traffic: Traffic, *, about: str, now: float, on_probation: bool = False
) -> Move | None:
    """What follows from what was seen; None to go on watching. `about` is the id of the version on trial.

    Never makes a champion of anything but the challenger of this deployment; never leaves a failed finding behind a promotion.
    """
    if deployment.stage == "none" or deployment.challenger is None:
        return _probation(config, deployment, traffic, about, now) if on_probation else None
    findings = [_errors(config, traffic), *_compared(traffic)]
    if compares(config, traffic):
        findings.append(_worse(config, traffic, "champion"))
    if any(not finding.passed and finding.severity == "stop" for finding in findings):
        return _withdraw(deployment, about, now, findings)
    if traffic.idle_s >= config.idle_s:
        return _promote(deployment, deployment.challenger, about, now, [*findings, _no_traffic(traffic.idle_s)])
    wanted = config.shadow_rows if deployment.stage == "shadow" else config.canary_rows
    findings.append(_told("rows", f"{traffic.rows} of {wanted} predictions seen in {deployment.stage}.", traffic.rows, wanted))
    if traffic.rows < wanted:
        return None
    if deployment.stage == "shadow" and config.canary_rows:
        return _stage(config.canary_share, deployment, deployment.challenger, findings, about=about, now=now)
    if deployment.stage == "canary" and _labels_are_coming(config, traffic):
        return None
    if not any(finding.check == "loss" for finding in findings):
        findings.append(_unlooked(config, traffic))
    return _promote(deployment, deployment.challenger, about, now, findings)


def compares(config: Rollout, traffic: Traffic) -> bool:
    """Whether there are labels enough on both sides, and new ones enough since the last look (a tenth more): looks cost error rate."""
    enough = min(traffic.challenger.n, traffic.champion.n) >= config.min_labels
    return enough and traffic.challenger.n + traffic.champion.n >= max(1.1 * traffic.looked_at, traffic.looked_at + 1)


def _labels_are_coming(config: Rollout, traffic: Traffic) -> bool:
    """Some labels came, but too few yet, and the canary may be twice as long to wait for more."""
    fewest = min(traffic.challenger.n, traffic.champion.n)
    some = traffic.challenger.n + traffic.champion.n > 0
    return some and fewest < config.min_labels and traffic.rows < 2 * config.canary_rows


def _probation(config: Rollout, deployment: Deployment, traffic: Traffic, about: str, now: float) -> Move | None:
    if deployment.champion is None or deployment.previous is None or not compares(config, traffic):
        return None
    finding = _worse(config, traffic, "champion before")
    if finding.passed:
        return None
    to = msgspec.structs.replace(deployment, champion=deployment.previous, previous=None, since=now, champion_since=now)
    reason = f"Version {deployment.champion} is rolled back to version {deployment.previous}: {finding.message}"
    return Move(action="rollback", reason=reason, to=to, verdict=verdict(QUESTION, about, [finding]))


def _errors(config: Rollout, traffic: Traffic) -> Finding:
    asked = traffic.rows + traffic.errors
    rate = traffic.errors / asked if asked else 0.0
    return Finding(
        check="errors",
        passed=traffic.errors < ERRORS_LEAST or rate <= config.max_error_rate,
        message=f"The challenger failed on {traffic.errors} of {asked} requests.",
        observed=rate,
        limit=config.max_error_rate,
    )


def _compared(traffic: Traffic) -> list[Finding]:
    found: list[Finding] = []
    if traffic.compared:
        part = traffic.agreed / traffic.compared
        found.append(_told("agreement", f"{part:.1%} of {traffic.compared} answers agree with the champion's.", part))
    if traffic.latency_ms is not None and traffic.champion_latency_ms is not None:
        text = f"Mean latency {traffic.latency_ms:.2f} ms, the champion's {traffic.champion_latency_ms:.2f} ms."
        found.append(_told("latency", text, traffic.latency_ms, traffic.champion_latency_ms))
    return found


def _worse(config: Rollout, traffic: Traffic, other: str) -> Finding:
    new, old = traffic.challenger, traffic.champion
    margin = config.min_effect if new.binary else config.min_effect * old.mean
    look = traffic.looks + 1
    worse = is_worse(new, old, alpha=config.alpha, look=look, margin=margin)
    what = "error rate" if new.binary else "mean absolute error"
    return Finding(
        check="loss",
        passed=not worse,
        message=f"By labels its {what} is {new.mean:.4g} ({new.n} answers), the {other}'s {old.mean:.4g} ({old.n}): "
        f"{'significantly worse' if worse else 'not significantly worse'}.",
        observed=new.mean,
        limit=old.mean + margin,
        evidence={"look": look, "alpha": config.alpha, "labels": [new.n, old.n]},
    )


def _unlooked(config: Rollout, traffic: Traffic) -> Finding:
    new, old = traffic.challenger, traffic.champion
    if min(new.n, old.n) < config.min_labels:
        return _told("loss", f"Too few labels came to compare losses ({new.n} and {old.n}); judged by errors alone.")
    return _told(
        "loss", f"By labels its mean loss is {new.mean:.4g} ({new.n} answers), the champion's {old.mean:.4g} ({old.n}).", new.mean, old.mean
    )


def _told(check: str, message: str, observed: float | int | None = None, limit: float | int | None = None) -> Finding:
    return Finding(check=check, passed=True, message=message, observed=observed, limit=limit, severity="info")


def _no_traffic(idle_s: float | None) -> Finding:
    last = "ever" if idle_s is None else f"in the last {idle_s:.0f} s"
    return _told("traffic", f"No live traffic to compare with: nothing was answered {last}.", idle_s)


def _stage(share: float, deployment: Deployment, number: int, findings: list[Finding], *, about: str, now: float) -> Move:
    """Into the canary at `share`, or with no share into shadow."""
    stage: Literal["shadow", "canary"] = "canary" if share else "shadow"
    to = msgspec.structs.replace(deployment, challenger=number, stage=stage, share=share, since=now)
    where = f"answers {share:.0%} of the traffic" if share else "answers in shadow, seen by nobody"
    reason = f"Version {number} {where}. {' '.join(finding.message for finding in findings)}"
    if deployment.challenger not in (None, number):
        reason = f"{reason} It replaces version {deployment.challenger}, which was in {deployment.stage}."
    return Move(action=stage, reason=reason, to=to, verdict=verdict(QUESTION, about, findings))


def _promote(deployment: Deployment, number: int, about: str, now: float, findings: list[Finding]) -> Move:
    to = msgspec.structs.replace(
        deployment, champion=number, previous=deployment.champion, challenger=None, stage="none", share=0.0, since=now, champion_since=now
    )
    reason = f"Version {number} is champion. {' '.join(finding.message for finding in findings)}"
    return Move(action="promote", reason=reason, to=to, verdict=verdict(QUESTION, about, findings))


def _withdraw(deployment: Deployment, about: str, now: float, findings: list[Finding]) -> Move:
    to = msgspec.structs.replace(deployment, challenger=None, stage="none", share=0.0, since=now)
    failed = " ".join(finding.message for finding in findings if not finding.passed)
    reason = (
        f"Version {deployment.challenger} is withdrawn from its {deployment.stage}; version {deployment.champion} stays champion. {failed}"
    )
    return Move(action="rollback", reason=reason, to=to, verdict=verdict(QUESTION, about, findings))
