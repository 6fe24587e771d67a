"""A row's name: by it labels find their row again in every later snapshot."""

from __future__ import annotations

import polars as pl

from everloop.core.errors import BadInput, unknown
from everloop.data.kinds import normalise
from everloop.data.split import row_hash

PREFIX = "row-"


def names(frame: pl.DataFrame, *, key: str, target: str) -> list[str]:
    """`row-` and 16 hex digits of each row: of the column `key`, or of all columns but the target where `key` is empty.

    By content, a row keeps its name when columns change their order, when integers become floats, and when a column is added in which it has no value;
    rows with equal content have one name, and one label. BadInput when the key is missing, as a column or in a row.
    """
    if key:
        if key not in frame.columns:
            raise BadInput(f"Rows are to be named by {key!r}. {unknown('Column', key, frame.columns)}")
        if frame[key].null_count():
            raise BadInput(f"{frame[key].null_count()} rows have no value in {key!r}, which names them. Fill or remove them.")
        frame = frame.select(key)
    else:
        frame = frame.drop(target, strict=False)
        if not frame.width:
            raise BadInput(f"The data has no column besides {target!r}: there is nothing to look at.")
    return [f"{PREFIX}{value:016x}" for value in row_hash(normalise(frame)).tolist()]
