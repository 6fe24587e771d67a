"""Values of few or many kinds -> features: one-hot, by their order, by a hash, lists of labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.utils import murmurhash3_32

from everloop.adapters.sklearn.recipe.flow import Flow
from everloop.adapters.sklearn.recipe.step import FittedStep


class Vocabularies(FittedStep):
    """`known` holds the values of each column that have a feature or a place."""

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__() | {"known": json.dumps(self.known)}
        state.pop("places", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._know(json.loads(state["known"]))

    def _know(self, known: dict[str, list[Any]]) -> None:
        self.known = known
        self.places = {name: {value: at for at, value in enumerate(values)} for name, values in known.items()}


class OneHot(Vocabularies):
    max_categories: int
    min_rows: int

    def fit(self, flow: Flow) -> None:
        known: dict[str, list[Any]] = {}
        self.others: dict[str, int] = {}
        self.missing: dict[str, int] = {}
        for name in self.names:
            values = flow.labels(name)
            counts = Counter(values)
            absent = counts.pop(None, 0)
            kept = frequent(counts, most=self.max_categories, least=self.min_rows)
            width = len(kept)
            known[name] = kept
            labels = [f"{name}={shown(value)}" for value in kept]
            self.others[name] = width if len(counts) > len(kept) else -1
            if self.others[name] >= 0:
                labels.append(f"{name}=(other)")
                width += 1
            self.missing[name] = width if absent else -1
            if absent:
                labels.append(f"{name}=(missing)")
            self.labels[f"{name}[{self.mark}]"] = labels
        self._know(known)

    def run(self, flow: Flow) -> None:
        for name in self.names:
            places, other, missing = self.places[name], self.others[name], self.missing[name]
            at = np.array([missing if value is None else places.get(value, other) for value in flow.labels(name)], dtype=np.int64)
            out = np.zeros((flow.height, len(self.labels[f"{name}[{self.mark}]"])))
            there = np.flatnonzero(at >= 0)
            out[there, at[there]] = 1.0
            flow.made[f"{name}[{self.mark}]"] = out


class Ordinal(Vocabularies):
    order: Any

    def fit(self, flow: Flow) -> None:
        known: dict[str, list[Any]] = {}
        for name in self.names:
            if self.order is None:
                known[name] = sorted({value for value in flow.labels(name) if value is not None})
            else:
                known[name] = [value if isinstance(value, str) else float(value) for value in self.order]
            self.labels[f"{name}[{self.mark}]"] = [f"{name}.place"]
        self._know(known)

    def run(self, flow: Flow) -> None:
        for name in self.names:
            places = self.places[name]
            flow.made[f"{name}[{self.mark}]"] = np.array(
                [np.nan if value is None else places.get(value, -1) for value in flow.labels(name)], dtype=np.float64
            )


class MultiHot(Vocabularies):
    max_categories: int

    def fit(self, flow: Flow) -> None:
        known: dict[str, list[Any]] = {}
        for name in self.names:
            counts = Counter(label for row in flow.lists(name) for label in members(row))
            known[name] = frequent(counts, most=self.max_categories, least=1)
            self.labels[f"{name}[{self.mark}]"] = [f"{name} has {shown(value)}" for value in known[name]]
        self._know(known)

    def run(self, flow: Flow) -> None:
        for name in self.names:
            places = self.places[name]
            out = np.zeros((flow.height, len(places)))
            for row, labels in enumerate(flow.lists(name)):
                for label in members(labels):
                    at = places.get(label)
                    if at is not None:
                        out[row, at] = 1.0
            flow.made[f"{name}[{self.mark}]"] = out


class Hashed(FittedStep):
    """Feature hashing (Weinberger et al. 2009) by MurmurHash3: its low bits choose the feature, its sign the sign."""

    buckets: int

    def fit(self, flow: Flow) -> None:
        for name in self.names:
            flow.labels(name)
            self.labels[f"{name}[{self.mark}]"] = [f"{name}#{at}" for at in range(self.buckets)]

    def run(self, flow: Flow) -> None:
        for name in self.names:
            out = np.zeros((flow.height, self.buckets))
            seen: dict[Any, tuple[int, float]] = {}
            for row, value in enumerate(flow.labels(name)):
                if value is None:
                    continue
                place = seen.get(value)
                if place is None:
                    place = seen[value] = signed(f"{name}={shown(value)}", self.buckets)
                out[row, place[0]] = place[1]
            flow.made[f"{name}[{self.mark}]"] = out


def signed(text: str, buckets: int) -> tuple[int, float]:
    value = int(murmurhash3_32(text.encode("utf-8", "surrogatepass")))
    return abs(value) % buckets, 1.0 if value >= 0 else -1.0


def frequent(counts: Counter[Any], *, most: int, least: int) -> list[Any]:
    """The most frequent values in sorted order; of those equally frequent, the smaller ones."""
    ranked = sorted((item for item in counts.items() if item[1] >= least), key=lambda item: (-item[1], item[0]))
    return sorted(value for value, _ in ranked[:most])


def members(row: list[Any] | None) -> Iterable[Any]:
    """Labels of a list, each once; numbers as floats, so that 1 and 1.0 are one label."""
    return dict.fromkeys(str(float(item)) if isinstance(item, (int, float)) else str(item) for item in row or () if item is not None)


def shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
