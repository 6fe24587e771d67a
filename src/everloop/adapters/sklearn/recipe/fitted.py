"""The fitted recipe: the one object that makes features of rows in training, batch and online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from everloop.adapters.sklearn.recipe import categories, numbers, own, pictures, sounds, times, words
from everloop.adapters.sklearn.recipe.flow import Array, Flow
from everloop.adapters.sklearn.recipe.step import FittedStep
from everloop.core.errors import BadInput
from everloop.core.recipes import Recipe, Step
from everloop.core.tables import Column, Kind

STEPS: Mapping[str, type[FittedStep]] = {
    "audio": sounds.Audio,
    "bucket": numbers.Bucket,
    "custom": own.Custom,
    "dates": times.Dates,
    "flatten": own.Flatten,
    "hashed": categories.Hashed,
    "image": pictures.Image,
    "impute": numbers.Impute,
    "keep": numbers.Keep,
    "multi_hot": categories.MultiHot,
    "one_hot": categories.OneHot,
    "ordinal": categories.Ordinal,
    "scale": numbers.Scale,
    "text": words.Text,
    "transformer": own.Transformer,
}
MAX_CATEGORIES = 50


class FittedRecipe(TransformerMixin, BaseEstimator):
    """`transform` takes a polars or pandas frame with at least the training columns; (rows, features) comes out, sparse if a step's texts are wide.

    `steps` run in order; `keys` name what of their results becomes features, `fill` what stands in for a missing one (empty: it stays NaN).
    """

    def __init__(self) -> None:
        self.steps: list[FittedStep] = []
        self.keys: list[str] = []
        self.fill: Array = np.empty(0)

    def transform(self, X: Any) -> Any:  # noqa: N803 - as scikit-learn calls it
        rows: pl.DataFrame = X if isinstance(X, pl.DataFrame) else pl.from_pandas(X)
        flow = Flow(rows)
        for step in self.steps:
            step.run(flow)
        return assembled([flow.made[key] for key in self.keys], self.fill)

    def get_feature_names_out(self, input_features: object = None) -> Array:
        del input_features
        labels = {key: names for step in self.steps for key, names in step.labels.items()}
        return np.array([label for key in self.keys for label in labels[key]], dtype=object)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that it needs beside scikit-learn."""
        return tuple(dict.fromkeys(["everloop", "polars", *(name for step in self.steps for name in step.libraries)]))

    @property
    def code(self) -> tuple[Any, ...]:
        """What it holds of the user's own."""
        return tuple(step.code for step in self.steps if isinstance(step, own.Custom | own.Transformer))


def fit(train: pl.DataFrame, recipe: Recipe) -> FittedRecipe:
    """Fit each step on the training part, as the steps before have left it. BadInput, naming step and column, for what it cannot take."""
    columns = [Column(name, _kind(dtype)) for name, dtype in train.schema.items()]
    _refuse_infinite(train)
    building = _Building(train)
    for step in recipe.steps:
        building.add(step, step.takes(columns))
    if recipe.rest != "drop":
        untouched = [column for column in columns if column.name not in building.touched]
        plain = [column.name for column in untouched if column.kind in ("int", "float", "bool")]
        # Texts that were only imputed are still no features.
        texts = [key for key in building.keys if isinstance(building.flow.made[key], list)]
        texts = [column.name for column in columns if column.name in texts or (column in untouched and column.kind == "text")]
        options = {"how": "standard"} if recipe.rest == "standard" else {}
        building.add(Step(does="scale" if recipe.rest == "standard" else "keep", columns=(), options=options), plain)
        building.add(Step(does="one_hot", columns=(), options={"max_categories": MAX_CATEGORIES, "min_rows": 1}), texts)
    return building.done(recipe)


class _Building:
    """The recipe as far as it is fitted. `keys` are the features so far, in order."""

    def __init__(self, train: pl.DataFrame) -> None:
        self.flow = Flow(train)
        self.keys: dict[str, None] = {}
        self.touched: set[str] = set()
        self._made = FittedRecipe()

    def add(self, declared: Step, names: Sequence[str]) -> None:
        self.touched.update(names)
        if not names:
            return
        if declared.does == "drop":
            for name in names:
                self.keys.pop(name, None)
            return
        kind = STEPS[declared.does]
        again = sum(type(step) is kind for step in self._made.steps)
        step = kind(names, mark=f"{declared.does}{again + 1}" if again else declared.does, **_options(declared))
        try:
            step.fit(self.flow)
            step.run(self.flow)
        except BadInput as error:
            raise error if str(error).startswith("Recipe step") else BadInput(f"Recipe step {declared.does!r}: {error}") from error
        if step.spends:
            for name in names:
                self.keys.pop(name, None)
        self.keys.update(dict.fromkeys(step.labels))
        self._made.steps.append(step)

    def done(self, recipe: Recipe) -> FittedRecipe:
        if not self.keys:
            raise BadInput("The recipe leaves no feature. Name columns in its steps, or let rest='standard' take the others.")
        blocks = [self.flow.made[key] for key in self.keys]
        for key, block in zip(self.keys, blocks, strict=True):
            if isinstance(block, list):
                raise BadInput(f"Column {key!r} is still text after all steps of the recipe. Encode it: recipe.one_hot({key!r}).")
        self._made.keys = list(self.keys)
        self._made.fill = _medians(blocks) if recipe.missing == "median" else np.empty(0)
        assembled(blocks, self._made.fill)
        return self._made


def assembled(blocks: Sequence[Any], fill: Array) -> Any:
    """(rows, features); CSR if any block is sparse; the one block in its own shape if it has more dimensions. `fill` for NaN, a value a feature."""
    if any(not sparse.issparse(block) and block.ndim > 2 for block in blocks):
        if len(blocks) > 1:
            raise BadInput(
                "Recipe step 'image': with flatten=False the image must be the only feature. Flatten it, or leave the others out: rest='drop'."
            )
        return _filled(blocks[0], fill.reshape(blocks[0].shape[1:]) if len(fill) else fill)
    if not any(sparse.issparse(block) for block in blocks):
        out = np.empty((blocks[0].shape[0], sum(map(_width, blocks))))
        at = 0
        for block in blocks:
            width = _width(block)
            out[:, at : at + width] = block.reshape(len(block), width)
            at += width
        return _filled(out, fill)
    parts: list[Any] = []
    at = 0
    for block in blocks:
        width = _width(block)
        parts.append(block if sparse.issparse(block) else sparse.csr_array(_filled(block.reshape(-1, width), fill[at : at + width])))
        at += width
    return sparse.hstack(parts, format="csr")


def _width(block: Any) -> int:
    return 1 if block.ndim == 1 else int(np.prod(block.shape[1:]))


def _filled(values: Array, fill: Array) -> Array:
    if not len(fill):
        return values
    missing = np.isnan(values)
    return np.where(missing, fill, values) if missing.any() else values


def _medians(blocks: Sequence[Any]) -> Array:
    """Of each feature; 0 where there is no value at all, and of sparse ones, which have no gaps."""
    found: list[Array] = []
    for block in blocks:
        if sparse.issparse(block):
            found.append(np.zeros(_width(block)))
            continue
        values = block.reshape(len(block), _width(block))
        missing = np.isnan(values)
        if not missing.any():
            # A row that misses it later still gets what is usual.
            found.append(np.median(values, axis=0))
            continue
        empty = missing.all(axis=0)
        found.append(np.where(empty, 0.0, np.nanmedian(np.where(empty, 0.0, values), axis=0)))
    return np.concatenate(found)


def _options(declared: Step) -> dict[str, Any]:
    options = dict(declared.options)
    if declared.code is not None:
        options["code"] = declared.code
    if declared.does == "custom":
        options["names_made"] = options.pop("names")
    return options


def _refuse_infinite(train: pl.DataFrame) -> None:
    infinite = [name for name, dtype in train.schema.items() if dtype.is_float() and train[name].is_infinite().any()]
    if infinite:
        raise BadInput(
            f"There are infinite values in the columns {', '.join(map(repr, infinite))}. Replace them by null, or drop the rows."
        )


def _kind(dtype: pl.DataType) -> Kind:
    if dtype.is_integer():
        return "int"
    if dtype.is_numeric():
        return "float"
    if dtype == pl.Boolean:
        return "bool"
    if isinstance(dtype, pl.Date | pl.Datetime | pl.Time):
        return "time"
    if dtype == pl.Binary:
        return "bytes"
    return "list" if isinstance(dtype, pl.List | pl.Array) else "text"
