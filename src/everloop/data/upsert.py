"""Old rows and new ones -> rows in which the new ones have taken the places of those with the same key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from everloop.core.errors import BadInput, unknown
from everloop.data.sources.union import union

# New rows are held in memory, old ones are not.
MOST_NEW_BYTES = 2 << 30
_AT = "everloop.at"


def replaced(old: Iterable[pl.DataFrame], new: Iterable[pl.DataFrame], *, key: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The old rows in their order, each replaced as a whole by the new one with its key, then the new rows whose key is new. Of several new
    rows with one key the last counts. Raises BadInput when a new row has no key, or the key's columns are not there."""
    delta = _last(_in_memory(new), key)
    left = pl.Series([True] * delta.height, dtype=pl.Boolean)
    keys = delta.select(key).with_row_index(_AT) if delta.height else None
    for batch in old:
        if keys is None:
            yield batch
            continue
        _must_have(batch, key)
        at = _places(batch, keys, key)
        hit = at.is_not_null()
        if not hit.any():
            yield batch
            continue
        left = left & ~pl.Series(range(delta.height)).is_in(at.drop_nulls().implode())
        yield _exchanged(batch, delta, at)
    if delta.height and left.any():
        yield delta.filter(left)


def last_of_each(frames: Iterable[pl.DataFrame], *, key: Sequence[str]) -> pl.Series | None:
    """Which rows stay when of several with one key only the last does; None when no key comes twice. The frames hold at least the key."""
    found = pl.concat([_checked(frame.select(key), key) for frame in frames])
    stays = found.select(pl.struct(key).is_last_distinct()).to_series()
    return None if stays.all() else stays


def _in_memory(batches: Iterable[pl.DataFrame]) -> pl.DataFrame:
    found: list[pl.DataFrame] = []
    size = 0
    for batch in batches:
        if batch.height:
            size += int(batch.estimated_size())
            if size > MOST_NEW_BYTES:
                raise BadInput(
                    f"More than {MOST_NEW_BYTES >> 30} GB of new rows came at once, too many to be joined by key in memory. "
                    "Take them in several steps, or all together without a key."
                )
            found.append(batch)
    return union(found)


def _last(delta: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    return _checked(delta, key).unique(subset=list(key), keep="last", maintain_order=True) if delta.height else delta


def _checked(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    _must_have(frame, key)
    for name in key:
        if count := frame[name].null_count():
            row = int(frame[name].is_null().arg_true()[0])
            raise BadInput(
                f"{count} of {frame.height} rows have no value in {name!r}, which tells rows apart; the first is row {row + 1} of them."
            )
    return frame


def _must_have(frame: pl.DataFrame, key: Sequence[str]) -> None:
    for name in key:
        if name not in frame.columns:
            raise BadInput(f"{unknown('Key column', name, frame.columns)}")


def _places(batch: pl.DataFrame, keys: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """For each row of the batch, where in the new rows its successor is; null if it has none."""
    differ = [name for name in key if batch.schema[name] != keys.schema[name]]
    if differ:
        # A wider type is on its way for the whole table: compare in it.
        types = union([batch.select(key).head(1), keys.select(key).head(1)]).schema
        batch, keys = batch.cast({name: types[name] for name in differ}), keys.cast({name: types[name] for name in differ})
    return batch.select(key).join(keys, on=list(key), how="left", maintain_order="left")[_AT]


def _exchanged(batch: pl.DataFrame, delta: pl.DataFrame, at: pl.Series) -> pl.DataFrame:
    rows = pl.int_range(batch.height, eager=True)
    kept = batch.filter(at.is_null()).with_columns(rows.filter(at.is_null()).alias(_AT))
    new = delta[at.drop_nulls().to_list()].with_columns(rows.filter(at.is_not_null()).alias(_AT))
    return union([kept, new]).sort(_AT).drop(_AT)
