"""Numbers -> numbers: imputed, scaled, kept, in buckets."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np

from everloop.adapters.sklearn.recipe.flow import Array, Flow
from everloop.adapters.sklearn.recipe.step import FittedStep
from everloop.core.errors import BadInput

_NARROWEST = 1e-150


class Keep(FittedStep):
    spends = False

    def fit(self, flow: Flow) -> None:
        self.labels = {name: [name] for name in self.names}

    def run(self, flow: Flow) -> None:
        for name in self.names:
            flow.made[name] = flow.numbers(name)


class Impute(FittedStep):
    spends = False
    how: Any
    flag: bool

    def fit(self, flow: Flow) -> None:
        self.labels = {name: [name] for name in self.names}
        if self.flag:
            self.labels |= {f"{name}.missing": [f"{name}.missing"] for name in self.names}
        self.fill: dict[str, Any] = {name: self._usual(flow, name) for name in self.names}

    def run(self, flow: Flow) -> None:
        for name in self.names:
            fill = self.fill[name]
            if isinstance(fill, str):
                texts = flow.texts(name)
                missing: Array = np.array([value is None for value in texts], dtype=bool)
                flow.made[name] = [fill if value is None else value for value in texts]
            else:
                values = flow.numbers(name)
                missing = np.isnan(values)
                flow.made[name] = np.where(missing, fill, values) if missing.any() else values
            if self.flag:
                flow.made[f"{name}.missing"] = missing.astype(np.float64)

    def _usual(self, flow: Flow, name: str) -> Any:
        if flow.is_text(name):
            if self.how in ("median", "most_frequent"):
                return _most_frequent([value for value in flow.texts(name) if value is not None], "")
            if not isinstance(self.how, str) or self.how == "mean":
                raise BadInput(
                    f"Recipe step 'impute': {name!r} is text and cannot be filled with {self.how!r}. Give a text: impute(…, how='none')."
                )
            return self.how
        if not isinstance(self.how, str):
            return float(self.how)
        values = flow.numbers(name)
        values = values[~np.isnan(values)]
        if not len(values):
            return 0.0
        match self.how:
            case "median":
                return float(np.median(values))
            case "mean":
                return float(values.mean())
            case "most_frequent":
                return _most_frequent(values.tolist(), 0.0)
            case other:
                raise BadInput(
                    f"Recipe step 'impute': {name!r} holds numbers and cannot be filled with {other!r}. Give a number, or 'median', 'mean', 'most_frequent'."
                )


class Scale(FittedStep):
    """(x - centre) / width, after sign(x) log(1 + |x|) where `how` is log. A column that does not vary is centred only."""

    spends = False
    how: str

    def fit(self, flow: Flow) -> None:
        self.labels = {name: [name] for name in self.names}
        found = [self._measures(flow.numbers(name)) for name in self.names]
        self.centre: Array = np.array([centre for centre, _ in found])
        self.width: Array = np.array([width for _, width in found])

    def run(self, flow: Flow) -> None:
        values = flow.matrix(self.names)
        if self.how == "log":
            values = np.sign(values) * np.log1p(np.abs(values))
        values -= self.centre
        values /= self.width
        for at, name in enumerate(self.names):
            flow.made[name] = values[:, at]

    def _measures(self, values: Array) -> tuple[float, float]:
        values = values[~np.isnan(values)]
        if not len(values):
            return 0.0, 1.0
        if self.how == "min_max":
            centre, width = float(values.min()), float(values.max() - values.min())
        elif self.how == "robust":
            low, centre, high = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
            width = high - low
        else:
            values = np.sign(values) * np.log1p(np.abs(values)) if self.how == "log" else values
            centre, width = float(values.mean()), float(values.std())
        # What rounding leaves of a constant's deviation is no width, nor is what makes infinities of usual numbers.
        return centre, width if width > max(10 * np.finfo(np.float64).eps * abs(centre), _NARROWEST) else 1.0


class Bucket(FittedStep):
    bins: Any
    how: str
    one_hot: bool

    def fit(self, flow: Flow) -> None:
        self.edges: dict[str, Array] = {}
        for name in self.names:
            self.edges[name] = edges = self._edges(flow.numbers(name))
            bounds = ["-inf", *(f"{edge:.6g}" for edge in edges), "inf"]
            intervals = [f"{name}[{low}, {high})" for low, high in pairwise(bounds)]
            self.labels[f"{name}[{self.mark}]"] = intervals if self.one_hot else [f"{name}.bucket"]

    def run(self, flow: Flow) -> None:
        for name in self.names:
            values, edges = flow.numbers(name), self.edges[name]
            place: Any = np.searchsorted(edges, values, side="right")
            missing = np.isnan(values)
            if self.one_hot:
                out = np.zeros((len(values), len(edges) + 1))
                there = np.flatnonzero(~missing)
                out[there, place[there]] = 1.0
            else:
                out = np.where(missing, np.nan, place.astype(np.float64))
            flow.made[f"{name}[{self.mark}]"] = out

    def _edges(self, values: Array) -> Array:
        if not isinstance(self.bins, int):
            return np.array(self.bins, dtype=np.float64)
        values = values[~np.isnan(values)]
        if not len(values):
            return np.empty(0)
        inner = np.linspace(0, 1, self.bins + 1)[1:-1]
        if self.how == "quantile":
            return np.unique(np.quantile(values, inner))
        low, high = values.min(), values.max()
        return np.unique(low + inner * (high - low))


def _most_frequent(values: list[Any], empty: Any) -> Any:
    """Of values equally frequent, the smallest."""
    return min(Counter(values).items(), key=lambda item: (-item[1], item[0]))[0] if values else empty
