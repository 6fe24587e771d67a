"""A plain training function -> a fitted, stored model.

The function is called as `model(train, valid, params, run)` with those of the four that its signature names (or, without such names, by
position). It gets features that are already transformed, and returns a model that works on them.
"""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from everloop.adapters.sklearn import transform as transforms
from everloop.adapters.sklearn.features import Features
from everloop.adapters.sklearn.predictor import TransformedModel
from everloop.adapters.sklearn.store import classes_of, store
from everloop.adapters.sklearn.trainer import labels, plain
from everloop.core.errors import BadInput
from everloop.core.models import Signature, Task
from everloop.core.ports import Examples, Fitted
from everloop.core.tables import Column

GIVEN = ("train", "valid", "params", "run")
HISTORY_FILE = "history.json"


@dataclass(frozen=True)
class TrainingData:
    """One part, as training functions get it: `frame` the raw feature columns, `features` the transformed array, `target` in row order."""

    frame: pl.DataFrame
    features: Any
    target: np.ndarray[Any, Any]

    @property
    def rows(self) -> int:
        return self.frame.height


@dataclass(frozen=True)
class TrainingRun:
    """What a training function may use beside its data: a seed, its parameters, a scratch folder, and a place to log to."""

    seed: int
    params: Mapping[str, Any]
    folder: Path
    history: list[tuple[str, float, int]] = field(default_factory=list[tuple[str, float, int]])

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Note a number of the training itself, such as a loss after an epoch. It is stored beside the model."""
        self.history.append((str(name), float(value), int(step)))


def fit(
    model: Any,
    train: Examples,
    valid: Examples,
    *,
    transform: bytes,
    params: Mapping[str, object],
    seed: int,
    task: Task,
    target: Column,
    features: tuple[Column, ...],
    folder: Path,
) -> Fitted:
    """Call the function and store what it returns. An exception of the function's own comes out as it is.

    BadInput when its signature asks for something else, or it returns nothing that can predict.
    """
    transformer = transforms.load(transform)
    featured = Features(transformer, train.frame.columns)
    with tempfile.TemporaryDirectory(prefix="everloop-train-") as scratch:
        run = TrainingRun(seed=seed, params=dict(params), folder=Path(scratch))
        given = {
            "train": TrainingData(train.frame, featured(train.frame), labels(train.target)),
            "valid": TrainingData(valid.frame, featured(valid.frame) if valid.frame.height else np.empty((0, 0)), labels(valid.target)),
            "params": dict(params),
            "run": run,
        }
        args, kwargs = arguments(model, given)
        fitted = model(*args, **kwargs)
    name = _name(model)
    _checked(
        fitted, name, lambda signature: TransformedModel(transformer, fitted, signature), train, task=task, target=target, features=features
    )
    stored = store(
        transformer,
        fitted,
        train,
        owner=model,
        name=f"{name} -> {type(fitted).__name__}",
        params={key: plain(value) for key, value in sorted(params.items())},
        task=task,
        target=target,
        features=features,
        folder=folder,
    )
    if run.history:
        (folder / HISTORY_FILE).write_text(json.dumps(run.history))
    return stored


def arguments(function: Callable[..., object], given: Mapping[str, object]) -> tuple[list[object], dict[str, object]]:
    """Which of `given` to call the function with: by name if it names any of them, else by position. BadInput when neither fits."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return list(given.values()), {}
    if any(parameter.name in given and parameter.kind is not parameter.VAR_POSITIONAL for parameter in parameters):
        kwargs: dict[str, object] = {}
        for parameter in parameters:
            if parameter.name in given and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                kwargs[parameter.name] = given[parameter.name]
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs |= {name: value for name, value in given.items() if name not in kwargs}
            elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
                raise BadInput(_asks(function, parameter.name))
        return [], kwargs
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return [], dict(given)
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return list(given.values()), {}
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    only = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(required) > len(given) or only:
        raise BadInput(_asks(function, (only or required[len(given) :])[0].name))
    return list(given.values())[: len(positional)], {}


def _asks(function: Callable[..., object], name: str) -> str:
    return f"The training function {_name(function)!r} asks for {name!r}. It is called with (train, valid, params, run), or with fewer of them."


def _checked(
    fitted: Any,
    name: str,
    predictor: Callable[[Signature], TransformedModel],
    train: Examples,
    *,
    task: Task,
    target: Column,
    features: tuple[Column, ...],
) -> None:
    """Ask the model about a few training rows, so that what it cannot do shows now and not in production."""
    if fitted is None:
        raise BadInput(f"The training function {name!r} returned None. It must return the fitted model.")
    if not callable(getattr(fitted, "predict", None)):
        raise BadInput(
            f"The training function {name!r} returned a {type(fitted).__name__}, which has no predict. Return an object with predict(features)."
        )
    rows = train.frame.head(8)
    classes = classes_of(fitted, train.target) if task == "classification" else ()
    signature = Signature(inputs=features, output=target, task=task, classes=classes)
    try:
        outputs, probabilities = predictor(signature).predict(rows)
    except Exception as error:
        raise BadInput(
            f"The model that the training function {name!r} returned cannot predict its own training rows ({type(error).__name__}: {error}). "
            "It must work on features like train.features and give one answer a row."
        ) from error
    if len(outputs) != rows.height:
        raise BadInput(f"The model of the training function {name!r} gave {len(outputs)} answers for {rows.height} rows.")
    if task == "classification":
        strange = sorted(set(pl.Series(outputs).cast(pl.String).to_list()) - set(classes))
        if strange:
            raise BadInput(f"The model of the training function {name!r} answers {strange[0]!r}, which is no label of {target.name!r}.")
        if probabilities is not None and probabilities.shape != (rows.height, len(classes)):
            raise BadInput(
                f"The model of the training function {name!r} gives probabilities of shape {probabilities.shape} where "
                f"{(rows.height, len(classes))} was expected: one column a label, in sorted order."
            )


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__
