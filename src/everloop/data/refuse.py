"""What no training can be made of, said before any is tried."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from everloop.core.errors import BadInput, unknown
from everloop.core.models import Task
from everloop.core.tables import Column, Snapshot
from everloop.data.kinds import kind_of
from everloop.store.snapshots import batches
from everloop.store.workspace import current

MIN_ROWS = 10
# A float target with this many different, partly fractional values is a quantity, whatever the task says.
_MAX_CLASSES = 50


def unusable(snapshot: Snapshot, *, target: str, drop: Sequence[str]) -> None:
    """Raise BadInput with a sentence when the table cannot be prepared; return when it can."""
    if snapshot.rows == 0:
        raise BadInput("The table has no rows.")
    names = [column.name for column in snapshot.columns]
    if target not in names:
        raise BadInput(str(unknown("Target column", target, names)))
    for name in drop:
        if name not in names:
            raise BadInput(f"{unknown('Column', name, names)} It is named in drop=.")
    if target in drop:
        raise BadInput(f"Column {target!r} is the target and is named in drop= as well. Take it out of drop=.")


def without_features(snapshot: Snapshot, features: Sequence[Column]) -> None:
    """Raise BadInput when nothing is left to learn from, or a feature has no value at all."""
    if not features:
        raise BadInput(
            "No feature is left: besides the target there are only dropped columns, times, bytes and lists. Those are features only where a recipe "
            "makes them some: transform=Recipe(recipe.dates('when'))."
        )
    names = [feature.name for feature in features]
    filled: set[str] = set()
    for batch in batches(current().blobs, snapshot, names):
        filled.update(name for name in batch.columns if batch[name].null_count() < batch.height)
        # Mostly the first chunk tells.
        if len(filled) == len(names):
            return
    empty = [name for name in names if name not in filled]
    raise BadInput(f"{', '.join(map(repr, empty))}: no row has a value. Leave such columns out: drop={empty!r}.")


def unusable_target(target: pl.Series, task: Task) -> None:
    """Raise BadInput when nothing can be learned to predict it, or the task is another one."""
    kind = kind_of(target.dtype)
    valid = target.drop_nulls()
    if kind == "float":
        valid = valid.filter(valid.is_finite())
    if not len(valid):
        raise BadInput(f"The target {target.name!r} has no value in any of {len(target):,} rows.")
    if len(valid) < MIN_ROWS:
        raise BadInput(f"Only {len(valid)} rows have a target value in {target.name!r}; at least {MIN_ROWS} are needed.")
    if kind not in ("int", "float", "bool", "text"):
        raise BadInput(f"The target {target.name!r} is of kind {kind}. It must be a number or a category.")
    if valid.n_unique() == 1:
        raise BadInput(f"The target {target.name!r} is {valid[0]!r} in every row: there is nothing to learn.")
    if task == "regression" and kind == "text":
        raise BadInput(
            f"The target {target.name!r} is text, such as {valid[0]!r}: a regression needs numbers. Mend the data, or use a classifier."
        )
    if task == "classification" and kind == "float" and valid.n_unique() > _MAX_CLASSES and bool((valid != valid.round()).any()):
        raise BadInput(
            f"The target {target.name!r} has {valid.n_unique():,} different fractional values: these are quantities, not classes. Use a regressor."
        )
