"""Snapshot -> prepared: the split of its rows, and the transform fitted on the training part only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import msgspec

from everloop.core import plugins
from everloop.core.errors import BadInput
from everloop.core.models import Task
from everloop.core.recipes import PLAIN_KINDS, Recipe
from everloop.core.tables import Column, Prepared, Snapshot

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.split import Parts


class Split(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How rows are parted: `hash` by their content, `stratified` the same in each class of a column (by default the target), `group` by a column's
    value, `time` by a column, oldest first. See `split.assign`.

    `gap_s` keeps rows out of training (and validation) that are less than so many seconds older than the first of the next part, for
    targets that are only known later.
    """

    how: Literal["hash", "stratified", "group", "time"] = "hash"
    by: str | None = None
    valid: float = 0.2
    test: float = 0.2
    gap_s: float = 0.0

    def __post_init__(self) -> None:
        if self.valid < 0 or self.test <= 0 or self.valid + self.test >= 1:
            raise BadInput(
                f"Split(valid={self.valid}, test={self.test}): shares of all rows; test must be above 0, and both together below 1."
            )
        if self.gap_s < 0 or (self.gap_s and self.how != "time"):
            raise BadInput(
                f"Split(gap_s={self.gap_s:g}, how={self.how!r}): a gap is a number of seconds of 0 or more, and is for how='time'."
            )

    @property
    def fractions(self) -> tuple[float, float, float]:
        return 1.0 - self.valid - self.test, self.valid, self.test


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
    """Features are all columns but the target and `drop`; times, bytes and lists only if a step of the recipe takes them. BadInput when nothing can be
    learned from the table.

    The split is kept as one byte a row in snapshot order; a row without a target value is 255, in no part. Of the rows, the columns that decide on
    the part are read first, then the features of the training part alone.
    """
    import numpy as np
    import polars as pl

    from everloop.data.refuse import unusable, unusable_target, without_features
    from everloop.store.parts import select
    from everloop.store.snapshots import load
    from everloop.store.workspace import current

    split = split or Split()
    blobs = current().blobs
    unusable(snapshot, target=target, drop=drop)
    answer = load(blobs, snapshot, [target])[target]
    unusable_target(answer, task)
    features = features_of(snapshot.columns, target=target, drop=drop, transform=transform)
    without_features(snapshot, features)

    parts = part(snapshot, split, answer=answer, seed=seed)
    train = pl.Series(parts == 0)
    if task == "classification" and (known := answer.filter(train)).n_unique() < 2:
        raise BadInput(f"All {len(known)} training rows have the target {target} = {known[0]!r}. Split the data another way.")
    fit = cast("FitTransform", plugins.find("transforms", "sklearn"))
    fitted = fit(select(blobs, snapshot, train, [column.name for column in features]), transform)
    return Prepared(
        snapshot=snapshot.id,
        target=target,
        features=features,
        task=task,
        split=blobs.put(parts.tobytes()),
        transform=blobs.put(fitted),
        rows={name: int(np.count_nonzero(parts == at)) for at, name in enumerate(("train", "valid", "test"))},
        seed=seed,
    )


def features_of(columns: Sequence[Column], *, target: str, drop: Sequence[str], transform: object | None) -> tuple[Column, ...]:
    """The columns that become features. BadInput for a name in a recipe's step that is none of them."""
    left = tuple(column for column in columns if column.name not in {target, *drop})
    return transform.features(left) if isinstance(transform, Recipe) else tuple(column for column in left if column.kind in PLAIN_KINDS)


def part(snapshot: Snapshot, split: Split, *, answer: pl.Series, seed: int) -> Parts:
    """The part of each row, (rows,). `answer` is the target; rows without a value are in none. One chunk of the snapshot is in memory at a time."""
    import numpy as np

    from everloop.data.split import NO_PART, age, check, cut, places
    from everloop.store.snapshots import batches, load
    from everloop.store.workspace import current

    blobs = current().blobs
    by = answer.name if split.how == "stratified" and split.by is None else split.by
    check([column.name for column in snapshot.columns], split.how, by, split.fractions)
    answered = answer.is_not_null()
    if answer.dtype.is_float():
        answered = answered & answer.is_finite().fill_null(False)
    mask: Any = answered.to_numpy()
    ruling = load(blobs, snapshot, [by])[by].filter(answered) if by is not None else None
    if split.how == "time" and ruling is not None:
        found = cut(age(ruling), split.fractions, how=split.how, by=by, times=ruling, gap_s=split.gap_s)
    else:
        content = [by] if split.how == "group" and by is not None else None
        place = np.concatenate([places(batch, seed=seed) for batch in batches(blobs, snapshot, content)])[mask]
        found = cut(place, split.fractions, how=split.how, by=by, classes=ruling if split.how == "stratified" else None)
    parts = np.full(snapshot.rows, NO_PART, dtype=np.uint8)
    parts[mask] = found
    return parts
