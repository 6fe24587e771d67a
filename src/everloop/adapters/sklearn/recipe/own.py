"""The user's own functions and scikit-learn transformers, and lists of numbers."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.base import clone

from everloop.adapters.sklearn.recipe.flow import Array, Flow
from everloop.adapters.sklearn.recipe.step import FittedStep
from everloop.core.errors import BadInput


class Custom(FittedStep):
    code: Any
    names_made: Any

    def fit(self, flow: Flow) -> None:
        self.key = f"{getattr(self.code, '__name__', type(self.code).__name__)}({', '.join(self.names)})"
        found, own = self._called(flow)
        width = 1 if found.ndim == 1 else found.shape[1]
        labels = self.names_made or own or ([self.key] if width == 1 else [f"{self.key}#{at}" for at in range(width)])
        if len(labels) != width:
            raise BadInput(f"Recipe step 'custom': {self.key} gives {width} features, but {len(labels)} names: {', '.join(labels)}.")
        # Those with names can be taken by later steps, one by one.
        self.single = bool(self.names_made or own)
        self.width = width
        self.labels = {label: [label] for label in labels} if self.single else {self.key: list(labels)}

    def run(self, flow: Flow) -> None:
        found, _ = self._called(flow)
        width = 1 if found.ndim == 1 else found.shape[1]
        if width != self.width:
            raise BadInput(
                f"Recipe step 'custom': {self.key} gave {width} features for {flow.height} rows; it gave {self.width} in training."
            )
        if self.single:
            block = found.reshape(flow.height, width)
            flow.made.update({label: block[:, at] for at, label in enumerate(self.labels)})
        else:
            flow.made[self.key] = found

    def _called(self, flow: Flow) -> tuple[Any, list[str]]:
        answer: Any = self.code(flow.frame(self.names))
        own: list[str] = []
        if isinstance(answer, pl.DataFrame):
            own = list(answer.columns)
            answer = answer.cast(pl.Float64).to_numpy()
        elif isinstance(answer, pl.Series):
            answer = answer.cast(pl.Float64).to_numpy()
        return _checked(answer, flow.height, f"Recipe step 'custom': {self.key}"), own


class Transformer(FittedStep):
    code: Any

    def fit(self, flow: Flow) -> None:
        fitted: Any = clone(self.code)
        frame = flow.frame(self.names).to_pandas()
        fitted.fit(frame)
        self.code = fitted
        self.key = f"{type(fitted).__name__}({', '.join(self.names)})"
        found = self._called(flow)
        try:
            labels = [str(label) for label in fitted.get_feature_names_out()]
        except Exception:  # transformers without names for what they make have many ways to say so
            labels = [f"{self.key}#{at}" for at in range(found.shape[1])]
        self.labels = {self.key: labels}

    def run(self, flow: Flow) -> None:
        flow.made[self.key] = self._called(flow)

    def _called(self, flow: Flow) -> Any:
        answer: Any = self.code.transform(flow.frame(self.names).to_pandas())
        found = _checked(answer, flow.height, f"Recipe step 'transformer': {self.key}")
        return found.reshape(flow.height, -1) if found.ndim == 1 else found


class Flatten(FittedStep):
    def fit(self, flow: Flow) -> None:
        self.widths: dict[str, int] = {}
        for name in self.names:
            lengths = {len(row) for row in flow.lists(name) if row is not None}
            if len(lengths) != 1:
                raise BadInput(
                    f"Recipe step 'flatten': the lists of {name!r} have {len(lengths)} different lengths {sorted(lengths)[:5]}; one is expected."
                )
            self.widths[name] = lengths.pop()
            self.labels[f"{name}[{self.mark}]"] = [f"{name}[{at}]" for at in range(self.widths[name])]

    def run(self, flow: Flow) -> None:
        for name in self.names:
            out = np.full((flow.height, self.widths[name]), np.nan)
            for row, values in enumerate(flow.lists(name)):
                if values is None or len(values) != self.widths[name]:
                    continue
                try:
                    out[row] = np.array(values, dtype=np.float64)
                except (TypeError, ValueError):
                    raise BadInput(f"Recipe step 'flatten': row {row}, column {name!r}: {values!r:.60} is no list of numbers.") from None
            flow.made[f"{name}[{self.mark}]"] = out


def _checked(answer: Any, rows: int, what: str) -> Array:
    found: Any = sparse.csr_array(cast("Any", answer)) if sparse.issparse(answer) else np.asarray(answer, dtype=np.float64)
    if found.ndim not in (1, 2) or found.shape[0] != rows:
        raise BadInput(f"{what} gave an array of shape {found.shape} for {rows} rows; (rows,) or (rows, features) is expected.")
    return found
