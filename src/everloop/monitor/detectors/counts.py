"""Counts in bins -> is it the same distribution, and how far is it: the statistics of all drift detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 20
MIN_EXPECTED = 8.0


class Difference(NamedTuple):
    """`p` of the test; `psi` the population stability index less its expectation without a change, so that small windows do not inflate it."""

    p: float
    psi: float


def merge(reference: Sequence[int], seen: Sequence[int], most: int = BINS) -> tuple[list[int], list[int]]:
    """Neighbouring bins of two equally binned histograms joined, until each holds about as many of the reference's rows and at least
    `MIN_EXPECTED` of the window's are expected in it."""
    total, rows = sum(reference), sum(seen)
    if not total or not rows:
        return [total], [rows]
    wanted = max(total / most, MIN_EXPECTED * total / rows)
    joined: list[int] = []
    found: list[int] = []
    held = here = 0
    for one, other in zip(reference, seen, strict=True):
        held += one
        here += other
        if held >= wanted:
            joined.append(held)
            found.append(here)
            held = here = 0
    if held or here:
        if joined:
            joined[-1] += held
            found[-1] += here
        else:
            joined, found = [held], [here]
    return joined, found


def differ(reference: Sequence[int], seen: Sequence[int]) -> Difference:
    """Two-sample G-test of homogeneity with Williams' correction (Sokal and Rohlf, Biometry, 17.4), and the PSI.

    Bins in which both together hold fewer than five rows are joined, as the chi-square approximation needs.
    """
    from scipy.special import chdtrc

    reference, seen = _join_rare(reference, seen)
    m, n = sum(reference), sum(seen)
    k = len(reference)
    if k < 2 or not m or not n:
        return Difference(1.0, 0.0)
    total = m + n
    g = inverse = psi = 0.0
    for a, b in zip(reference, seen, strict=True):
        both = a + b
        inverse += 1 / both
        for observed, size in ((a, m), (b, n)):
            if observed:
                g += observed * math.log(observed * total / (size * both))
        p, q = (a + 0.5) / (m + 0.5 * k), (b + 0.5) / (n + 0.5 * k)
        psi += (q - p) * math.log(q / p)
    correction = 1 + (total / m + total / n - 1) * (total * inverse - 1) / (6 * total * (k - 1))
    return Difference(float(chdtrc(k - 1, max(0.0, 2 * g / correction))), max(0.0, psi - (k - 1) * (1 / m + 1 / n)))


def spike(reference: Sequence[int], seen: Sequence[int]) -> Difference:
    """Whether some one bin is fuller than before, which joined bins would hide: a default value, say, that was written where a value is
    missing.

    In each bin a one-sided binomial test given both counts, Bonferroni over the bins. It is exact also where edges are the
    reference's own values: that `b` new values fall before the (a + 1)-th old one is the same event.
    """
    from scipy.special import bdtrc

    old, new = np.asarray(reference, dtype=np.int64), np.asarray(seen, dtype=np.int64)
    m, n = int(old.sum()), int(new.sum())
    if not m or not n:
        return Difference(1.0, 0.0)
    p_values = np.where(new > 0, bdtrc(np.maximum(new - 1, 0), old + np.maximum(new, 1), n / (m + n)), 1.0)
    best = int(np.argmin(p_values))
    p, q = (old[best] + 0.5) / (m + 0.5), (new[best] + 0.5) / (n + 0.5)
    return Difference(min(1.0, float(p_values[best]) * len(old)), float((q - p) * np.log(q / p)))


def either(*tests: Difference) -> Difference:
    """One answer from several tests of the same column: the clearest one, its p times their number (Bonferroni)."""
    clearest = min(tests, key=lambda test: test.p)
    return clearest._replace(p=min(1.0, len(tests) * clearest.p))


def benjamini_hochberg(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are rejected at false discovery rate `alpha` (Benjamini and Hochberg, 1995)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    last = max((rank for rank, i in enumerate(order, 1) if p_values[i] <= alpha * rank / len(order)), default=0)
    rejected = set(order[:last])
    return [i in rejected for i in range(len(p_values))]


def _join_rare(reference: Sequence[int], seen: Sequence[int]) -> tuple[list[int], list[int]]:
    kept_reference: list[int] = []
    kept_seen: list[int] = []
    rare_reference = rare_seen = 0
    for a, b in zip(reference, seen, strict=True):
        if a + b < 5:
            rare_reference += a
            rare_seen += b
        else:
            kept_reference.append(a)
            kept_seen.append(b)
    if rare_reference + rare_seen >= 5 or not kept_reference:
        kept_reference.append(rare_reference)
        kept_seen.append(rare_seen)
    elif rare_reference + rare_seen:
        smallest = min(range(len(kept_reference)), key=lambda i: kept_reference[i] + kept_seen[i])
        kept_reference[smallest] += rare_reference
        kept_seen[smallest] += rare_seen
    return kept_reference, kept_seen
