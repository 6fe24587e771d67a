"""A sample of rows -> how the target goes with each feature, one at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from everloop.data.kinds import kind_of

# A feature's values are put into so many groups at most: numbers by their quantiles, texts by how often they come.
GROUPS = 12
CLASSES = 6
_OTHER = "other"


class Group(NamedTuple):
    """Rows with like values of the feature. `mean` of a numeric target with its standard error, or `shares` of the classes in their order."""

    label: str
    rows: int
    mean: float | None = None
    error: float | None = None
    shares: tuple[float, ...] = ()


class Relation(NamedTuple):
    """`explains` is the share of the target's variance that is between the groups (correlation ratio of Pearson 1903; for classes Goodman and Kruskal's tau,
    1954), less what as many groups of noise would explain: 0 for none, 1 for all."""

    feature: str
    explains: float
    groups: tuple[Group, ...]
    classes: tuple[str, ...] = ()


def relations(sample: pl.DataFrame, target: str) -> tuple[Relation, ...]:
    """The strongest first. Rows without a target value are left out; bytes and lists have no relation."""
    answered = sample.filter(pl.col(target).is_not_null())
    if sample.schema[target].is_float():
        answered = answered.filter(pl.col(target).is_finite())
    if answered.height < 2:
        return ()
    wanted, classes = _target(answered[target])
    if wanted is None:
        return ()
    found = [
        _relation(answered[name], wanted, classes)
        for name, dtype in answered.schema.items()
        if name != target and kind_of(dtype) in ("int", "float", "bool", "text", "time")
    ]
    return tuple(sorted((relation for relation in found if relation is not None), key=lambda relation: -relation.explains))


def _target(series: pl.Series) -> tuple[Any, tuple[str, ...]]:
    """(rows, columns) of numbers: one column for a number, one a class for a category; None for what cannot be a target."""
    kind = kind_of(series.dtype)
    if kind in ("int", "float") and series.n_unique() > CLASSES:
        return series.cast(pl.Float64).to_numpy()[:, None], ()
    if kind not in ("int", "float", "bool", "text"):
        return None, ()
    texts = series.cast(pl.String)
    best = texts.value_counts(sort=True)[series.name].to_list()
    classes = best[:CLASSES] if len(best) <= CLASSES else [*best[: CLASSES - 1], _OTHER]
    one_hot = [(texts == name).to_numpy() for name in classes if name != _OTHER or len(best) <= CLASSES]
    if len(best) > CLASSES:
        one_hot.append(~np.logical_or.reduce(one_hot))
    return np.stack(one_hot, axis=1).astype(np.float64), tuple(map(str, classes))


def _relation(series: pl.Series, wanted: Any, classes: tuple[str, ...]) -> Relation | None:
    labels, codes = _groups(series)
    sizes = np.bincount(codes, minlength=len(labels)).astype(np.float64)
    kept = np.flatnonzero(sizes)
    if len(kept) < 2:
        return None
    sums = np.stack([np.bincount(codes, weights=column, minlength=len(labels)) for column in wanted.T], axis=1)
    squares = np.stack([np.bincount(codes, weights=column * column, minlength=len(labels)) for column in wanted.T], axis=1)
    n = len(codes)
    means = sums[kept] / sizes[kept, None]
    total = float((squares.sum(axis=0) - sums.sum(axis=0) ** 2 / n).sum())
    if total <= 0:
        return None
    between = float((sizes[kept, None] * (means - sums.sum(axis=0) / n) ** 2).sum())
    chance = (len(kept) - 1) / max(n - 1, 1)
    explains = max((between / total - chance) / (1 - chance), 0.0) if chance < 1 else 0.0
    groups: list[Group] = []
    for row, at in enumerate(kept):
        size = int(sizes[at])
        if classes:
            groups.append(Group(labels[at], size, shares=tuple(float(share) for share in means[row])))
        else:
            spread = max(float(squares[at, 0] / size - means[row, 0] ** 2), 0.0)
            groups.append(Group(labels[at], size, mean=float(means[row, 0]), error=(spread / size) ** 0.5))
    return Relation(series.name, min(explains, 1.0), tuple(groups), classes)


def _groups(series: pl.Series) -> tuple[list[str], Any]:
    """(labels in order, the group of each row)."""
    missing = series.is_null() | series.is_nan().fill_null(False) if series.dtype.is_float() else series.is_null()
    valid = series.filter(~missing)
    codes = np.full(len(series), -1, dtype=np.int64)
    if kind_of(series.dtype) in ("int", "float", "time") and valid.n_unique() > GROUPS:
        labels, found = _by_quantiles(valid)
    else:
        labels, found = _by_value(valid)
    codes[~missing.to_numpy()] = found
    if missing.any():
        codes[codes < 0] = len(labels)
        labels = [*labels, "missing"]
    return labels, codes


def _by_quantiles(valid: pl.Series) -> tuple[list[str], Any]:
    """Of equally many rows each; a value that holds more rows than that is a group of its own."""
    numbers: Any = valid.to_physical().cast(pl.Float64).to_numpy()
    finite = numbers[np.isfinite(numbers)]
    values, counts = np.unique(finite, return_counts=True)
    heavy = values[counts * GROUPS > len(finite)]
    rest = finite[~np.isin(finite, heavy)]
    even: Any = np.quantile(rest, np.linspace(0, 1, GROUPS + 1 - min(len(heavy), GROUPS - 2))) if len(rest) else rest
    edges = np.unique(np.concatenate([even, heavy, np.nextafter(heavy, np.inf)]))
    codes: Any = np.clip(cast("Any", np.searchsorted(edges, numbers, side="right")) - 1, 0, max(len(edges) - 2, 0))
    temporal = valid.dtype.is_temporal()
    texts = [str(pl.Series([round(edge)]).cast(valid.dtype)[0])[:16] if temporal else f"{edge:.4g}" for edge in edges]
    alone = np.nextafter(edges[:-1], np.inf) == edges[1:]
    return [low if single else f"{low} to {high}" for (low, high), single in zip(pairwise(texts), alone, strict=True)] or texts, codes


def _by_value(valid: pl.Series) -> tuple[list[str], Any]:
    counted = valid.value_counts(sort=True)
    best = counted[valid.name].head(GROUPS).sort()
    frame = pl.DataFrame({"v": valid}).join(
        pl.DataFrame({"v": best, "at": np.arange(len(best))}), on="v", how="left", maintain_order="left", nulls_equal=True
    )
    labels = [str(value)[:40] for value in best]
    rest = counted.height > GROUPS
    codes = frame["at"].fill_null(len(labels) if rest else 0).to_numpy()
    return ([*labels, _OTHER] if rest else labels), codes
