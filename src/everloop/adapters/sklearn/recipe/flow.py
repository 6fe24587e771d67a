"""Rows on their way through a recipe: columns as they came, and what steps made of them.

A value is looked at in the form that a step asks for, and only then; a few rows go through plain Python, which for one row takes a hundredth of the time
that a query engine needs. Both ways give the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import polars as pl

from everloop.core.errors import BadInput

Array = np.ndarray[Any, Any]

FEW_ROWS = 16
_EPOCH_TYPE = "datetime64[us]"


class Flow:
    """`made` holds arrays of shape (rows,) or (rows, features), sparse matrices, or lists of texts, by name."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self.height = rows.height
        self.made: dict[str, Any] = {}
        self._few: dict[str, tuple[Any, ...]] | None = None
        if 0 < rows.height <= FEW_ROWS:
            self._few = dict(zip(rows.columns, zip(*rows.rows(), strict=True), strict=True))

    def numbers(self, name: str) -> Array:
        """Float64, (rows,); NaN where there is no value."""
        made = self.made.get(name)
        if made is not None:
            if isinstance(made, np.ndarray) and made.ndim == 1:
                return cast("Array", made)
            raise BadInput(f"Column {name!r} is text after the steps before; a step that takes numbers was given it.")
        dtype = self._dtype(name)
        if not dtype.is_numeric() and dtype not in (pl.Boolean, pl.Null):
            raise BadInput(f"Column {name!r} is {dtype}; a step that takes numbers was given it.")
        if self._few is not None:
            return np.array(self._few[name], dtype=np.float64)
        return self.rows[name].cast(pl.Float64).to_numpy()

    def matrix(self, names: Sequence[str]) -> Array:
        """Float64, (rows, columns)."""
        out = np.empty((self.height, len(names)), dtype=np.float64)
        for at, name in enumerate(names):
            out[:, at] = self.numbers(name)
        return out

    def texts(self, name: str) -> list[str | None]:
        made = self.made.get(name)
        if isinstance(made, list):
            return cast("list[str | None]", made)
        if made is not None or self._dtype(name) not in (pl.String, pl.Null, pl.Categorical, pl.Enum):
            raise BadInput(
                f"Column {name!r} is {'a number' if made is not None else self._dtype(name)}; a step that takes texts was given it."
            )
        return self._list(name)

    def labels(self, name: str) -> list[Any]:
        """Values as they can be keys: texts, or numbers as floats; None where there is none."""
        made = self.made.get(name)
        if isinstance(made, list) or (made is None and self._dtype(name) in (pl.String, pl.Categorical, pl.Enum)):
            return self.texts(name)
        return [None if value != value else value for value in self.numbers(name).tolist()]  # noqa: PLR0124

    def times(self, name: str) -> Array:
        """datetime64[us], (rows,); NaT where there is none."""
        dtype = self._dtype(name)
        if not isinstance(dtype, pl.Date | pl.Datetime):
            hint = f" Name it where it is read: Files(..., time={name!r})." if dtype == pl.String else ""
            raise BadInput(f"Column {name!r} is {dtype}, not a date or time; a step that takes times was given it.{hint}")
        if self._few is not None:
            return np.array(self._few[name], dtype=_EPOCH_TYPE)
        return self.rows[name].cast(pl.Datetime("us")).to_numpy().astype(_EPOCH_TYPE, copy=False)

    def blobs(self, name: str) -> Iterable[bytes | None]:
        if self._dtype(name) not in (pl.Binary, pl.Null):
            raise BadInput(f"Column {name!r} is {self._dtype(name)}; a step that takes the bytes of files was given it.")
        return self._few[name] if self._few is not None else self.rows[name]

    def lists(self, name: str) -> Iterable[list[Any] | None]:
        """Members of each row. A text is read as JSON: so lists come from MLflow's clients."""
        dtype = self._dtype(name)
        if dtype == pl.String:
            return [None if value is None else json.loads(value) for value in self._list(name)]
        if not dtype.is_nested() and dtype != pl.Null:
            raise BadInput(f"Column {name!r} is {dtype}; a step that takes lists was given it.")
        return self._list(name)

    def frame(self, names: Sequence[str]) -> pl.DataFrame:
        """As the user's own code gets it: the columns as they came, with what steps changed. Times are `Datetime("us")` and lists of numbers are of
        floats, as they are when serving."""
        return pl.DataFrame([self._series(name) for name in names])

    def is_text(self, name: str) -> bool:
        made = self.made.get(name)
        return isinstance(made, list) or (made is None and self._dtype(name) in (pl.String, pl.Categorical, pl.Enum))

    def _series(self, name: str) -> pl.Series:
        if name in self.made:
            return pl.Series(name, self.made[name])
        series = self.rows[name]
        dtype = series.dtype
        if dtype == pl.Date:
            return series.cast(pl.Datetime("us"))
        if isinstance(dtype, pl.List | pl.Array) and (dtype.inner.is_numeric() or dtype.inner == pl.Null):
            return series.cast(pl.List(pl.Float64))
        return series

    def _list(self, name: str) -> list[Any]:
        return list(self._few[name]) if self._few is not None else self.rows[name].to_list()

    def _dtype(self, name: str) -> pl.DataType:
        dtype = self.rows.schema.get(name)
        if dtype is None:
            raise BadInput(f"The model needs the column {name!r}, which the rows do not have.")
        return dtype
