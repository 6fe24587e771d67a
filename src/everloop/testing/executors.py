"""The conformance suite of executors: one that passes it behaves as the others do.

Whoever writes an executor registers it in the entry-point group `everloop.executors` and runs the checks over it:

    @pytest.mark.parametrize("check", executors.CHECKS)
    def test_conformance(check: str, tmp_path: Path) -> None:
        executors.CHECKS[check](executors.Under("mine", tmp_path))

A check raises AssertionError with what it saw and what should have been. All processes must be on this machine: an executor for a
cluster is checked on a local one. `Under(..., workers=2)` says how many bodies can run at once, at least two.
"""

from __future__ import annotations

from collections.abc import Mapping

from everloop.testing.conformance import apart, failures, graphs, port, scripts
from everloop.testing.conformance.under import Check, Under

__all__ = ["ANYWHERE", "APART", "CHECKS", "PORT", "Check", "Under"]

PORT: Mapping[str, Check] = {check.__name__: check for check in port.CHECKS}
"""Tickets and bytes: `core.work.Executor` alone."""

ANYWHERE: Mapping[str, Check] = {check.__name__: check for check in (*graphs.CHECKS, *failures.CHECKS, *scripts.ANYWHERE, *graphs.HEAVY)}
"""Pipelines, with what they give and what is written of them; `inline` passes them too."""

APART: Mapping[str, Check] = {check.__name__: check for check in (*apart.CHECKS, *scripts.APART)}
"""Pipelines whose bodies run in other processes, several at once."""

CHECKS: Mapping[str, Check] = {**PORT, **APART, **ANYWHERE}
