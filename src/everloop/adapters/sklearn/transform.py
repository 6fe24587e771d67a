"""The training part -> a fitted transformer, as bytes that travel with the model.

Without a `Recipe` it is made of stock scikit-learn classes, so that the stored model opens wherever scikit-learn does. Numbers and booleans are
scaled, and what is missing becomes the median; texts become one-hot columns of the 50 most frequent values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from everloop.adapters.code import dumps
from everloop.adapters.sklearn import archive
from everloop.adapters.sklearn.recipe import fitted as recipes
from everloop.core.errors import BadInput, unknown
from everloop.core.recipes import Recipe

if TYPE_CHECKING:
    import polars as pl

Wants: TypeAlias = Literal["numeric", "mixed", "recipe", "custom"]

MAX_CATEGORIES = 50
UNSCALED = "unscaled"
_ABSENT = "(missing)"
_PICKLED = b"cloudpickle\n"


def fit(train: pl.DataFrame, transform: object | None = None) -> bytes:
    """Fit on the training part only. `transform` is None for the standard recipe, "unscaled" for the same with numbers left as they are, a
    `Recipe`, or a scikit-learn transformer of the user's, which is cloned and given a pandas frame.

    BadInput for columns that the standard one has no answer to (times, bytes, lists) and for an object that is no transformer.
    """
    import polars as pl

    if isinstance(transform, str) and transform != UNSCALED:
        raise unknown("Transform", transform, [UNSCALED])
    if isinstance(transform, Recipe):
        return _dump(recipes.fit(train, transform))
    if transform is not None and transform != UNSCALED:
        return _dump(_fit_custom(train, transform))
    numeric = [name for name, dtype in train.schema.items() if dtype.is_numeric() or dtype == pl.Boolean]
    text = [name for name, dtype in train.schema.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
    other = {name: str(dtype) for name, dtype in train.schema.items() if name not in numeric and name not in text}
    if other:
        named = ", ".join(f"{name!r} ({dtype})" for name, dtype in other.items())
        raise BadInput(f"No standard transform exists for the columns {named}. Drop them, or name them in a recipe: transform=Recipe(...).")
    if not train.width:
        raise BadInput("There is no feature column left to transform. Check target= and drop=.")
    infinite = [name for name in numeric if train.schema[name].is_float() and train[name].is_infinite().any()]
    if infinite:
        raise BadInput(
            f"There are infinite values in the columns {', '.join(map(repr, infinite))}. Replace them by null, or drop the rows."
        )
    with np.errstate(invalid="ignore", divide="ignore"):  # a column without any value has no mean
        fitted = _standard(numeric, text, scaled=transform is None).fit(
            train.with_columns(pl.col(numeric).cast(pl.Float64), pl.col(text).cast(pl.String))
        )
    return _dump(fitted)


def load(data: bytes) -> Any:
    """The fitted transformer. `data` comes from a blob of this store; only a user's own transformer is ever a pickle."""
    if data.startswith(_PICKLED):
        import cloudpickle

        return cloudpickle.loads(data.removeprefix(_PICKLED))
    return archive.load(data, "The transform")


def wants(transformer: Any) -> Wants:
    """What to give it: `numeric` a float matrix, `mixed` and `recipe` a polars frame, `custom` a pandas frame."""
    if isinstance(transformer, recipes.FittedRecipe):
        return "recipe"
    if isinstance(transformer, Pipeline) and _is_scaler(transformer):
        return "numeric"
    if isinstance(transformer, ColumnTransformer) and [name for name, _, _ in transformer.transformers] == ["numbers", "texts"]:
        return "mixed"
    return "custom"


def _standard(numeric: list[str], text: list[str], *, scaled: bool) -> Any:
    # Scaled first: StandardScaler passes missing values on and takes booleans, which SimpleImputer refuses.
    scale = StandardScaler(with_mean=scaled, with_std=scaled)
    numbers = Pipeline([("scale", scale), ("impute", SimpleImputer(strategy="median", keep_empty_features=True))])
    if not text:
        return numbers
    texts = Pipeline(
        [
            ("nan", SimpleImputer(strategy="constant", fill_value=_ABSENT, keep_empty_features=True)),
            # None (polars) and NaN (pandas) are two kinds of missing to scikit-learn.
            ("none", SimpleImputer(missing_values=cast("Any", None), strategy="constant", fill_value=_ABSENT, keep_empty_features=True)),
            ("one_hot", OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False)),
        ]
    )
    return ColumnTransformer([("numbers", numbers, numeric), ("texts", texts, text)])


def _is_scaler(transformer: Pipeline) -> bool:
    match [(name, type(step)) for name, step in transformer.steps]:
        case [("scale", scale), ("impute", impute)]:
            return scale is StandardScaler and impute is SimpleImputer
        case _:
            return False


def _fit_custom(train: pl.DataFrame, transform: object) -> Any:
    if not (hasattr(transform, "fit") and hasattr(transform, "transform")):
        raise BadInput(f"transform= must be a scikit-learn transformer with fit and transform, got {type(transform).__name__}.")
    fitted: Any = clone(transform)  # pyright: ignore[reportArgumentType]
    fitted.fit(train.to_pandas())
    return fitted


def _dump(fitted: Any) -> bytes:
    try:
        return archive.dump(fitted)[0]
    except archive.CannotHold:
        return _PICKLED + dumps(fitted)
