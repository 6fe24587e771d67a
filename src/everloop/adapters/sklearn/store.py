"""A fitted transformer and model -> the stored folder and its description, without code where that is possible."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from everloop.adapters import pickle as pickled
from everloop.adapters.sklearn import model as stored
from everloop.adapters.sklearn.archive import CannotHold
from everloop.core.models import Signature, Task
from everloop.core.ports import Examples, Fitted
from everloop.core.tables import Column


def store(
    transformer: Any,
    model: Any,
    train: Examples,
    *,
    owner: object,
    name: str,
    params: Mapping[str, object],
    task: Task,
    target: Column,
    features: tuple[Column, ...],
    folder: Path,
) -> Fitted:
    """By skops if every part of the model is a type that we trust; else as a pickle, marked untrusted."""
    signature = Signature(
        inputs=features, output=target, task=task, classes=classes_of(model, train.target) if task == "classification" else ()
    )
    nullable = frozenset(column.name for column in features if train.frame[column.name].null_count())
    flavor, trusted, libraries = "sklearn", True, stored.libraries_of(transformer)
    try:
        if not hasattr(model, "get_params"):
            raise CannotHold(f"{type(model).__name__} is no scikit-learn estimator")
        stored.save(transformer, model, folder, signature, nullable=nullable)
    except CannotHold:
        pickled.save(transformer, model, folder, signature, nullable=nullable, owner=owner)
        flavor, trusted, libraries = "pickle", False, tuple(dict.fromkeys((*pickled.LIBRARIES, *getattr(transformer, "libraries", ()))))
    return Fitted(signature=signature, flavor=flavor, trusted=trusted, estimator=name, params=params, libraries=libraries)


def classes_of(model: Any, target: pl.Series) -> tuple[str, ...]:
    """Labels as text, in the order of the model's probability columns; polars' text form (`true`, `3`)."""
    known = getattr(model, "classes_", None)
    values = pl.Series(known) if known is not None else target.drop_nulls().unique().sort()
    return tuple(values.cast(pl.String).to_list())
