"""Simple models that a candidate has to beat: predicting the usual, a linear model, a small tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from everloop.adapters.sklearn import transform as transforms
from everloop.adapters.sklearn.features import Features
from everloop.adapters.sklearn.predictor import TransformedModel
from everloop.adapters.sklearn.store import classes_of
from everloop.adapters.sklearn.trainer import labels
from everloop.core.models import Signature, Task
from everloop.core.ports import Examples
from everloop.core.tables import Column

MAX_ROWS = 20_000


def fit(
    train: Examples, *, transform: bytes, task: Task, target: Column, features: tuple[Column, ...], seed: int = 0
) -> dict[str, TransformedModel]:
    """Name -> fitted predictor, on at most 20,000 rows (a sample by `seed`); text targets and their classes as everywhere else."""
    frame, answer = train
    if frame.height > MAX_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(frame.height, MAX_ROWS, replace=False))
        frame, answer = frame[chosen], answer[chosen]
    transformer = transforms.load(transform)
    x, y = Features(transformer, frame.columns)(frame), labels(answer)
    fitted: dict[str, TransformedModel] = {}
    for name, model in _models(task, seed).items():
        if task == "classification" and name == "linear" and len(np.unique(y)) < 2:
            continue
        model.fit(x, y)
        classes = classes_of(model, answer) if task == "classification" else ()
        fitted[name] = TransformedModel(transformer, model, Signature(inputs=features, output=target, task=task, classes=classes))
    return fitted


def _models(task: Task, seed: int) -> dict[str, Any]:
    if task == "classification":
        return {
            "dummy": DummyClassifier(strategy="prior"),
            "linear": LogisticRegression(max_iter=200, tol=1e-3),
            "tree": DecisionTreeClassifier(max_depth=4, random_state=seed),
        }
    return {"dummy": DummyRegressor(), "linear": Ridge(), "tree": DecisionTreeRegressor(max_depth=4, random_state=seed)}
