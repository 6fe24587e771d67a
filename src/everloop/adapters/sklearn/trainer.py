"""A scikit-learn estimator -> a fitted, stored model."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import clone

from everloop.adapters.sklearn import transform as transforms
from everloop.adapters.sklearn.features import Features
from everloop.adapters.sklearn.store import store
from everloop.core.errors import BadInput
from everloop.core.models import Task
from everloop.core.ports import Examples, Fitted
from everloop.core.tables import Column

Array = np.ndarray[Any, Any]


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
    """Fit a clone of `model` with `params` on the training part. The validation part is left for early stopping by training functions.

    BadInput for an unknown parameter, and for an estimator of the other task.
    """
    del valid
    estimator = _configured(model, params, seed)
    _of_task(estimator, task)
    transformer = transforms.load(transform)
    estimator.fit(Features(transformer, train.frame.columns)(train.frame), labels(train.target))
    return store(
        transformer,
        estimator,
        train,
        owner=model,
        name=_name(model),
        params=effective(estimator, model, params),
        task=task,
        target=target,
        features=features,
        folder=folder,
    )


def labels(target: pl.Series) -> Array:
    """The target as numpy in its own type; texts as fixed-width strings, so that classes need no object arrays."""
    if target.dtype.is_numeric() or target.dtype == pl.Boolean:
        return np.ascontiguousarray(target.to_numpy())
    return np.array(target.cast(pl.String).to_list(), dtype=np.str_)


def effective(estimator: Any, model: Any, params: Mapping[str, object]) -> dict[str, object]:
    """The parameters that make this fit: those given now, and those with which the user's object differs from its class's defaults."""
    defaults = _defaults(model)
    found: dict[str, object] = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in params or name not in defaults or not _same(value, defaults[name]):
            found[name] = plain(value)
    found.update({name: plain(value) for name, value in params.items() if name not in found})
    return dict(sorted(found.items()))


def plain(value: object) -> object:
    """A parameter as something that a record can hold; estimators and functions by their text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value
        case np.generic():
            return plain(value.item())
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case _ if callable(value) and hasattr(value, "__qualname__"):
            return f"{value.__module__}.{value.__qualname__}"
        case _ if hasattr(value, "get_params"):
            # No repr: scikit-learn shortens long ones.
            inner: Any = value
            return {"class": _name(inner), **{name: plain(item) for name, item in inner.get_params(deep=False).items()}}
        case _:
            return type(value).__name__


def _configured(model: Any, params: Mapping[str, object], seed: int) -> Any:
    estimator: Any = clone(model)
    known: dict[str, object] = estimator.get_params(deep=True)
    for name in params:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise BadInput(f"{type(model).__name__} has no parameter {name!r}.{hint} Known: {', '.join(sorted(known))}.")
    try:
        estimator.set_params(**params)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{type(model).__name__} does not accept the parameters {sorted(params)}: {error}") from error
    # Nested ones too (a pipeline's last step, a search's estimator), where the user left them open.
    seeds = {
        name: seed
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    estimator.set_params(**{name: value for name, value in seeds.items() if name not in params})
    return estimator


def _of_task(estimator: Any, task: Task) -> None:
    from sklearn.base import is_classifier, is_regressor

    wrong = is_regressor(estimator) if task == "classification" else is_classifier(estimator)
    if wrong:
        other = "regression" if task == "classification" else "classification"
        raise BadInput(
            f"{type(estimator).__name__} is a {other} model, but the target and metrics ask for {task}. Choose another model, or other metrics."
        )


def _defaults(model: Any) -> dict[str, object]:
    try:
        return type(model)().get_params(deep=False)
    except TypeError:
        return {}


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and (one is other or repr(one) == repr(other))


def _name(model: Any) -> str:
    return f"{type(model).__module__.partition('.')[0]}.{type(model).__qualname__}"
