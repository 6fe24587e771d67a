"""A fitted transformer and a fitted model -> the one object that answers in evaluation, batch and online serving."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import ThreadpoolController

from everloop.adapters.sklearn.features import Features
from everloop.core.models import Signature
from everloop.core.ports import Answers

if TYPE_CHECKING:
    import polars as pl

Array = np.ndarray[Any, Any]

# predict is the class of the largest predict_proba by definition: asking once is enough.
_ARGMAX = frozenset(
    {
        "DecisionTreeClassifier",
        "ExtraTreesClassifier",
        "GaussianNB",
        "HistGradientBoostingClassifier",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MLPClassifier",
        "RandomForestClassifier",
    }
)
# These start an OpenMP team for each call, which for few rows costs more than the work (11.8k against 2.1k calls/s).
_OPENMP = ("HistGradientBoosting", "KNeighbors", "RadiusNeighbors")
_SMALL_BATCH_ROWS = 1000


class TransformedModel:
    """Predictor over `transformer`, then `model`: anything with `predict` on transformed features, and perhaps `predict_proba`."""

    def __init__(self, transformer: Any, model: Any, signature: Signature) -> None:
        self.signature = signature
        self.model = model
        self._features = Features(transformer, [column.name for column in signature.inputs])
        kind = type(model).__name__
        own = type(model).__module__.startswith("sklearn.")
        self._once = own and kind in _ARGMAX and hasattr(model, "predict_proba")
        self._threads = ThreadpoolController() if own and kind.startswith(_OPENMP) else None

    def predict(self, rows: pl.DataFrame) -> Answers:
        if rows.height == 0:
            return self._nothing()
        features = self._features(rows)
        with self._one_thread(rows.height):
            if self.signature.task == "regression":
                return Answers(np.asarray(self.model.predict(features), dtype=np.float64).reshape(rows.height), None)
            return self._classify(features)

    def _classify(self, features: Any) -> Answers:
        probabilities: Array | None = None
        # Whether an estimator has it may depend on its parameters, so it is asked each time.
        ask = getattr(self.model, "predict_proba", None)
        if ask is not None and self.signature.classes:
            probabilities = np.asarray(ask(features), dtype=np.float64)
        if self._once and probabilities is not None:
            outputs = self.model.classes_[probabilities.argmax(axis=1)]
        else:
            outputs = self.model.predict(features)
        return Answers(as_labels(outputs, self.signature), probabilities)

    def _one_thread(self, rows: int) -> AbstractContextManager[object]:
        if self._threads is None or rows > _SMALL_BATCH_ROWS:
            return nullcontext()
        return self._threads.limit(limits=1)

    def _nothing(self) -> Answers:
        empty = as_labels(np.empty(0), self.signature) if self.signature.task == "classification" else np.empty(0)
        has = self.signature.task == "classification" and hasattr(self.model, "predict_proba")
        return Answers(empty, np.empty((0, len(self.signature.classes))) if has else None)


def for_answering(model: Any) -> Any:
    """Prepare a freshly loaded model, in memory only."""
    # Its input is always our own array in the right order; the names would only be checked, and warned about.
    getattr(model, "__dict__", {}).pop("feature_names_in_", None)
    if getattr(model, "n_jobs", None) not in (None, 1):
        # A pool of workers a call is for training; requests bring their own parallelism.
        model.n_jobs = 1
    return model


def as_labels(outputs: Any, signature: Signature) -> Array:
    """What a classifier answered, as labels of the target's own kind."""
    flat = np.asarray(outputs).reshape(-1)
    match signature.output.kind:
        case "int":
            return flat.astype(np.int64, copy=False)
        case "float":
            return flat.astype(np.float64, copy=False)
        case "bool":
            return flat.astype(np.bool_, copy=False)
        case _:
            return flat.astype(np.str_, copy=False)
