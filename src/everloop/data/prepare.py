"""Snapshot -> prepared: the split of its rows, and the transform fitted on the training part only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, cast

import msgspec

from everloop.core import plugins
from everloop.core.errors import BadInput
from everloop.core.models import Task
from everloop.core.tables import Kind, Prepared, Snapshot

if TYPE_CHECKING:
    import polars as pl

FEATURE_KINDS: tuple[Kind, ...] = ("int", "float", "bool", "text")
# A row without a target value belongs to no part.
NO_PART = 255


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are parted: `hash` by their content, `group` by a column's value, `time` by a column, oldest first. See `split.assign`."""

    how: Literal["hash", "time", "group"] = "hash"
    by: str | None = None
    valid: float = 0.2
    test: float = 0.2

    def __post_init__(self) -> None:
        if self.valid < 0 or self.test <= 0 or self.valid + self.test >= 1:
            raise BadInput(
                f"Split(valid={self.valid}, test={self.test}): shares of all rows; test must be above 0, and both together below 1."
            )


class FitTransform(Protocol):
    """Fits a preprocessing step on the training features; its bytes. Entry-point group `transforms`."""

    def __call__(self, train: pl.DataFrame, transform: object | None) -> bytes: ...


def prepare(
    snapshot: Snapshot,
    *,
    target: str,
    drop: tuple[str, ...] = (),
    split: Split | None = None,
    transform: object | None = None,
    task: Task,
    seed: int = 0,
) -> Prepared:
    """Features are all columns but the target, `drop`, times, bytes and lists. BadInput when nothing can be learned from the table.

    The split is kept as one byte a row in snapshot order; a row without a target value is 255, in no part.
    """
    import numpy as np
    import polars as pl

    from everloop.data.refuse import unusable, without_features
    from everloop.data.split import assign
    from everloop.store.tables import load_table
    from everloop.store.workspace import current

    split = split or Split()
    blobs = current().blobs
    frame = load_table(blobs, snapshot.table)
    unusable(frame, target=target, drop=drop, task=task)
    left_out = {target, *drop}
    features = tuple(column for column in snapshot.columns if column.name not in left_out and column.kind in FEATURE_KINDS)
    without_features(features, frame)

    answered = frame[target].is_not_null()
    if frame[target].dtype.is_float():
        answered = answered & frame[target].is_finite().fill_null(False)
    rows = frame.filter(answered)
    fractions = (1.0 - split.valid - split.test, split.valid, split.test)
    found = assign(rows, how=split.how, by=split.by, fractions=fractions, seed=seed)
    parts = np.full(frame.height, NO_PART, dtype=np.uint8)
    parts[answered.to_numpy()] = found

    train = rows.filter(pl.Series(found == 0))
    if task == "classification" and train[target].n_unique() < 2:
        raise BadInput(f"All {train.height} training rows have the target {target} = {train[target][0]!r}. Split the data another way.")
    fit = cast("FitTransform", plugins.find("transforms", "sklearn"))
    fitted = fit(train.select([column.name for column in features]), transform)
    return Prepared(
        snapshot=snapshot.id,
        target=target,
        features=features,
        task=task,
        split=blobs.put(parts.tobytes()),
        transform=blobs.put(fitted),
        rows={"train": int((parts == 0).sum()), "valid": int((parts == 1).sum()), "test": int((parts == 2).sum())},
        seed=seed,
    )
