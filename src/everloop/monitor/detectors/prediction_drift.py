"""Whether the answers are distributed otherwise than they were: on the evaluation rows for classes, in the first window for numbers."""

from __future__ import annotations

import msgspec

from everloop.core.verdict import Finding
from everloop.monitor.detectors.counts import differ, merge
from everloop.monitor.detectors.detector import Reference, Seen, quiet


class PredictionDrift(msgspec.Struct, frozen=True, kw_only=True):
    """G-test of the answers' classes or bins at `false_alarm_rate`, and at least `min_psi`. A failed one is a warning."""

    false_alarm_rate: float = 0.01
    min_psi: float = 0.02
    name: str = "prediction_drift"

    def examine(self, seen: Seen, reference: Reference) -> Finding:
        if seen.outputs and reference.outputs:
            classes = sorted({*reference.outputs, *seen.outputs})
            bins = [reference.outputs.get(name, 0) for name in classes], [seen.outputs.get(name, 0) for name in classes]
        elif seen.output and reference.output and seen.output.edges == reference.output.edges:
            bins = merge(reference.output.counts, seen.output.counts)
        else:
            return quiet(self.name, "There are no earlier answers to compare with.")
        p, psi = differ(*bins)
        passed = p > self.false_alarm_rate or psi < self.min_psi
        return Finding(
            check=self.name,
            passed=passed,
            message=f"Answers are distributed {'as usual' if passed else 'otherwise than before'} (PSI {psi:.3f}, p = {p:.2g}).",
            observed=psi,
            limit=self.min_psi,
            severity="warn",
            evidence={"p": p, "psi": psi, "false_alarm_rate": self.false_alarm_rate},
        )
