"""The one answer to "good enough?": a Verdict of Findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from everloop.core.record import Record

Scalar: TypeAlias = None | bool | int | float | str
Severity: TypeAlias = Literal["stop", "warn", "info"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was observed against which limit.

    `severity` says what a failed finding means: `stop` fails the verdict, `warn` is shown to a person, `info` explains.
    `evidence` holds whatever supports the observation: sample rows, intervals, ids.
    """

    check: str
    passed: bool
    message: str
    subject: str = ""
    observed: Scalar = None
    limit: Scalar = None
    severity: Severity = "stop"
    evidence: Mapping[str, object] = {}


class Verdict(Record, frozen=True, kw_only=True, tag="verdict"):
    """Data validation, gates, rollouts, drift and tests of a project all answer with this. A failed one is a value, no error."""

    question: str
    about: str
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that decide: failed, and severe enough to stop."""
        return tuple(f for f in self.findings if not f.passed and f.severity == "stop")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.passed and f.severity == "warn")

    def parents(self) -> dict[str, str]:
        return {"about": self.about} if self.about else {}

    def sentence(self) -> str:
        """The verdict in one line, failures first."""
        shown = self.failures or self.findings
        state = "passed" if self.passed else "failed"
        return f"{self.question}: {state}" + (": " + "; ".join(f.message.rstrip(".") for f in shown[:5]) if shown else "")


def verdict(question: str, about: str, findings: Iterable[Finding]) -> Verdict:
    return Verdict(question=question, about=about, findings=tuple(findings))
