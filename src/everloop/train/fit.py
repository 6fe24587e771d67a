"""Fit a model on the training part, its transform inside, and keep it as a candidate."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from everloop.core import plugins
from everloop.core.errors import BadInput
from everloop.core.models import Candidate
from everloop.core.ports import Examples
from everloop.core.tables import Column, Kind, Prepared
from everloop.store import records, workspace
from everloop.store.parts import load_part

if TYPE_CHECKING:
    import polars as pl

    from everloop.core.ports import Trainer


def trainer_of(model: object) -> str:
    """The trainer that fits this kind of `model=`. BadInput for a class instead of an instance, and for anything that cannot be fitted."""
    if isinstance(model, type):
        raise BadInput(f"model= is the class {model.__name__}. Give an instance: model={model.__name__}().")
    if hasattr(model, "fit") and hasattr(model, "get_params"):
        return "sklearn"
    if callable(model):
        return "function"
    raise BadInput(
        f"model= is a {type(model).__name__} ({model!r:.60}). It must be a scikit-learn-compatible estimator, such as LogisticRegression(), "
        "or a training function (train, valid, params, run) that returns a fitted model."
    )


def fit(prepared: Prepared, *, model: object, params: Mapping[str, object], seed: int, loop: str) -> Candidate:
    """Train and keep. The same arguments give the same candidate, as far as the model's own training is deterministic.

    BadInput for an unknown kind of model or parameter, for a target with nulls, and for one with a single class. What the model or the
    training function raises comes out as it is.
    """
    del loop
    here = workspace.current()
    trainer = cast("Trainer", plugins.find("trainers", trainer_of(model)))
    train = Examples(*load_part(here, prepared, "train"))
    valid = Examples(*load_part(here, prepared, "valid"))
    _fits(train, prepared)
    with tempfile.TemporaryDirectory(prefix="everloop-model-") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        fitted = trainer(
            model,
            train,
            valid,
            transform=here.blobs.get(prepared.transform),
            params=params,
            seed=seed,
            task=prepared.task,
            target=Column(prepared.target, target_kind(train.target)),
            features=prepared.features,
            folder=folder,
        )
        digest = here.blobs.put_tree(folder)
    candidate = Candidate(
        prepared=prepared.id,
        model=digest,
        signature=fitted.signature,
        flavor=fitted.flavor,
        trusted=fitted.trusted,
        estimator=fitted.estimator,
        params=fitted.params,
        seed=seed,
        environment=environment(fitted.libraries),
    )
    with here.write() as tx:
        records.keep(tx, candidate)
    return candidate


def target_kind(target: pl.Series) -> Kind:
    """The kind of a target's values; labels keep it in answers."""
    import polars as pl

    if target.dtype == pl.Boolean:
        return "bool"
    if target.dtype.is_integer():
        return "int"
    return "float" if target.dtype.is_numeric() else "text"


def environment(libraries: tuple[str, ...]) -> dict[str, str]:
    """Versions of Python and of the libraries that a model needs."""
    found = {"python": platform.python_version()}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _fits(train: Examples, prepared: Prepared) -> None:
    nulls = train.target.null_count()
    if nulls:
        raise BadInput(f"{nulls} of {train.frame.height} training rows have no {prepared.target!r}. Drop the rows without a target first.")
    if prepared.task == "classification" and train.target.n_unique() < 2:
        value = train.target[0] if train.frame.height else None
        raise BadInput(
            f"The target {prepared.target!r} has one value ({value!r}) in the {train.frame.height} training rows. A classifier needs two or more."
        )
