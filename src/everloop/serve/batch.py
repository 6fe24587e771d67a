"""A table -> the same table with predictions: batch scoring with the very model that answers online."""

from __future__ import annotations

from typing import Any

import polars as pl

from everloop.core.errors import BadInput, unknown
from everloop.core.models import Signature
from everloop.core.tables import Column
from everloop.serve.frame import DTYPES
from everloop.store.models import open_version
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

_SLICE_ROWS = 50_000


def score_frame(workspace: Workspace, registered: Registered, frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `prediction` and, for a classifier with probabilities, `probability_<class>`. Other columns are kept as they are.

    Raises BadInput naming the column when one is missing or of another kind, or when a name to be added is taken.
    """
    candidate, model = open_version(workspace, registered)
    rows = conform(frame, candidate.signature, name=registered.name)
    added = ["prediction", *(f"probability_{label}" for label in candidate.signature.classes)]
    taken = [name for name in added if name in frame.columns]
    if taken:
        raise BadInput(f"The table already has a column {taken[0]!r}, which scoring adds. Rename or drop it.")
    if not rows.height:
        output: Any = DTYPES.get(candidate.signature.output.kind)
        return frame.with_columns(pl.Series(name, [], dtype=output if name == "prediction" else pl.Float64) for name in added)
    parts: list[pl.DataFrame] = []
    for part in rows.iter_slices(_SLICE_ROWS):
        outputs, probabilities = model.predict(part)
        columns = [pl.Series("prediction", outputs.tolist() if outputs.dtype == object else outputs)]
        if probabilities is not None:
            columns += [pl.Series(name, probabilities[:, at]) for at, name in enumerate(added[1:])]
        parts.append(pl.DataFrame(columns))
    return pl.concat([frame, pl.concat(parts)], how="horizontal")


def conform(frame: pl.DataFrame, signature: Signature, *, name: str) -> pl.DataFrame:
    """The signature's columns in its order and types. Only conversions that lose nothing are made."""
    missing = [column.name for column in signature.inputs if column.name not in frame.columns]
    if missing:
        close = unknown("Column", missing[0], frame.columns)
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInput(f"{name} needs the column {missing[0]!r}{more}, which the table lacks. {close}")
    return frame.select(_converted(frame[column.name], column, name) for column in signature.inputs)


def _converted(series: pl.Series, column: Column, name: str) -> pl.Series:
    target: Any = DTYPES.get(column.kind)
    if target is None or series.dtype in (target, pl.Null):
        return series if target is None else series.cast(target)
    dtype = series.dtype
    possible = {
        "int": dtype.is_integer() or dtype.is_float(),
        "float": dtype.is_numeric(),
        "text": isinstance(dtype, pl.Categorical | pl.Enum),
        "time": dtype.is_temporal() or dtype == pl.String,
    }
    if possible.get(column.kind, False):
        try:
            if dtype == pl.String:
                return series.str.to_datetime(time_unit="us", strict=True).rename(column.name)
            if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
                return series.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(target)
            converted = series.cast(target, strict=True)
            if column.kind != "int" or not dtype.is_float() or converted.cast(dtype).eq_missing(series).all():
                return converted
        except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError):
            pass
    raise BadInput(f"{name} expects column {column.name!r} to be {column.kind}; in the table it is {dtype}.")
