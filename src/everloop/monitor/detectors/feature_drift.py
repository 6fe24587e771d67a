"""Which features are distributed otherwise than in the training snapshot: diagnosis of an alarm, never an alarm itself."""

from __future__ import annotations

import msgspec

from everloop.core.profiles import ColumnProfile
from everloop.core.verdict import Finding
from everloop.monitor.detectors.counts import Difference, benjamini_hochberg, differ, either, merge, spike
from everloop.monitor.detectors.detector import Reference, Seen, quiet

# The chi-square approximation is a little liberal in small bins: what is tested at four fifths of a rate stays under it.
SLACK = 0.8


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """G-test a column on at most 20 merged reference bins, for numbers also a test for a spike in any one bin, Benjamini-Hochberg over
    the columns, and a population stability index of at least `min_psi`.

    `false_alarm_rate` is the share of unchanged windows in which any column at all is called drifted.
    """

    false_alarm_rate: float = 0.05
    min_psi: float = 0.003
    name: str = "feature_drift"

    def examine(self, seen: Seen, reference: Reference) -> Finding:
        if reference.profile is None:
            return quiet(self.name, "There is no profile of the training data to compare with.")
        tested: list[tuple[str, Difference]] = []
        for column in seen.profile.columns:
            usual = reference.profile.column(column.name)
            if usual is not None:
                difference = compare(usual, column)
                if difference is not None:
                    tested.append((column.name, difference))
        rejected = benjamini_hochberg([difference.p for _, difference in tested], SLACK * self.false_alarm_rate)
        drifted = [
            (name, difference) for (name, difference), yes in zip(tested, rejected, strict=True) if yes and difference.psi >= self.min_psi
        ]
        drifted.sort(key=lambda item: item[1].psi, reverse=True)
        names = ", ".join(name for name, _ in drifted[:5]) + (f" and {len(drifted) - 5} more" if len(drifted) > 5 else "")
        return Finding(
            check=self.name,
            passed=not drifted,
            message=f"{len(drifted)} of {len(tested)} features are distributed otherwise than in training: {names}."
            if drifted
            else f"{len(tested)} features are distributed as in training.",
            subject=drifted[0][0] if drifted else "",
            observed=len(drifted),
            limit=0,
            severity="info",
            evidence={"tested": len(tested), "false_alarm_rate": self.false_alarm_rate,
                      "columns": {name: {"p": difference.p, "psi": difference.psi} for name, difference in drifted[:50]}},
        )  # fmt: skip


def compare(reference: ColumnProfile, seen: ColumnProfile) -> Difference | None:
    """How one column differs; None where it cannot be compared."""
    bins = column_bins(reference, seen)
    if bins is None:
        return None
    if reference.counts and seen.counts:
        return either(differ(*bins), spike(reference.counts, seen.counts))
    return differ(*bins)


def column_bins(reference: ColumnProfile, seen: ColumnProfile) -> tuple[list[int], list[int]] | None:
    """Both columns counted in the same few bins, empty cells last; None where they cannot be compared."""
    empty = (reference.nulls + reference.nans, seen.nulls + seen.nans)
    if reference.counts and seen.counts:
        if reference.edges != seen.edges:
            return None
        usual, now = merge(reference.counts, seen.counts)
    elif reference.top:
        # Rare categories join the rest: each one kept is expected at least a few times in the window.
        known = dict(seen.top)
        least = max(10.0, 5 * reference.valid / max(seen.valid, 1))
        kept = [(value, count) for value, count in reference.top if count >= least][:20]
        usual = [count for _, count in kept]
        now = [known.get(value, 0) for value, _ in kept]
        # Where the reference did not list all its values, one that it lacks may still have been among them.
        unseen = seen.unseen if not reference.other else 0
        usual += [reference.valid - sum(usual), 0]
        now += [max(0, seen.valid - sum(now) - unseen), unseen]
    elif reference.valid == 0 or seen.valid == 0:
        usual, now = [reference.valid], [seen.valid]
    else:
        return None
    return [*usual, empty[0]], [*now, empty[1]]
