"""Which rows to label first: those the champion is least sure of, and those least like the ones before.

Settles, B. (2009), Active learning literature survey, gives the measures of uncertainty. Farthest-first traversal is Gonzalez' (1985), Clustering to
minimize the maximum intercluster distance: each row is the one farthest from all rows taken so far, at most twice as far from any row as the best
choice of as many would be; Sener and Savarese (2018), Active learning for convolutional neural networks: a core-set approach, use it so. Taking the
uncertain ones first and spreading among them is Zhdanov's (2019), Diverse mini-batch active learning.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from everloop.core.errors import BadInput

How: TypeAlias = Literal["plain", "random", "uncertainty", "diversity", "mixed"]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Order: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

SPREAD = 1000
"""How many rows are spread out: each costs a pass over the candidates. Behind them the others follow by uncertainty, or as they stand."""
CANDIDATES = 10_000


def arrange(
    rows: int, *, how: How, uncertainty: Floats | None = None, features: Floats | None = None, seed: int = 0, spread: int = SPREAD
) -> Order:
    """Row numbers in the order in which to label them, (rows,): a permutation, the same for the same input and seed.

    `uncertainty` is (rows,), higher first; `features` (rows, d), standardised. Equal uncertainty goes by a shuffle of `seed`. BadInput when `how` needs
    one that is not given.
    """
    if how == "plain":
        return np.arange(rows)
    shuffled = np.random.default_rng(seed).permutation(rows)
    if how == "random":
        return shuffled
    if how in ("uncertainty", "mixed"):
        if uncertainty is None:
            raise BadInput(f"Order {how!r} needs a champion that gives probabilities. Choose diversity, random or plain.")
        base = shuffled[np.argsort(-uncertainty[shuffled], kind="stable")]
        if how == "uncertainty":
            return base
    else:
        base = shuffled
    if features is None or not features.shape[1]:
        raise BadInput(
            f"Order {how!r} needs columns with numbers, times, flags or text; there are none. Choose uncertainty, random or plain."
        )
    candidates = base[: max(CANDIDATES, spread)] if how == "diversity" else base[: max(2 * spread, rows // 10)][:CANDIDATES]
    first = base[:0]
    if spread and rows:
        taken = farthest_first(features[candidates], min(spread, len(candidates)))
        first = candidates[taken]
    rest = np.setdiff1d(np.arange(rows), first) if how == "diversity" else base[~np.isin(base, first)]
    return np.concatenate([first, rest])


def farthest_first(features: Floats, count: int) -> Order:
    """`count` row numbers of (n, d), spread out: the first is row 0, each next the one farthest (Euclid) from all before; ties take the lowest number."""
    if not len(features):
        return np.empty(0, dtype=np.int64)
    taken = [0]
    distance = _squared(features, 0)
    distance[0] = -1.0
    while len(taken) < min(count, len(features)):
        at = int(np.argmax(distance))
        taken.append(at)
        np.minimum(distance, _squared(features, at), out=distance)
        # Its equals are as near as can be, but not taken.
        distance[at] = -1.0
    return np.array(taken, dtype=np.int64)


def margin(probabilities: Floats) -> Floats:
    """1 - (largest - second largest) of (n, classes): 0 sure, 1 undecided between two. (n,)"""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return 1.0 - (top[:, 1] - top[:, 0])


def entropy(probabilities: Floats) -> Floats:
    """Shannon entropy of (n, classes) over its largest possible, so that it is 0 to 1 with any number of classes. (n,)"""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    total: Floats = -(probabilities * logs).sum(axis=1) / np.log(probabilities.shape[1])
    return total


def _squared(features: Floats, at: int) -> Floats:
    away = features - features[at]
    return np.einsum("ij,ij->i", away, away)
