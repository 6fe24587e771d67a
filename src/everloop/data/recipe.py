"""What users write to say how columns become features: `transform=recipe.Recipe(recipe.dates("when"), recipe.scale("temp", "hum"))`.

Each step names its columns, or picks them by kind: `recipe.scale(recipe.of_kind("float"))`. Steps run in order, and see what those before them made. `impute`
and `scale` change columns in place; the others put features in the place of a column, which later steps may still read. What no step takes is
treated as without a recipe (`Recipe(rest=...)`). A recipe is fitted on the training part only, and travels with the model.

Nothing here looks at the target: encoders that do leak it unless they are fitted out of fold.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from everloop.core.errors import BadInput, unknown
from everloop.core.recipes import Pick, Recipe, Step
from everloop.core.tables import Kind

__all__ = [
    "Pick", "Recipe", "Step", "audio", "bucket", "custom", "dates", "drop", "flatten", "hashed", "image", "impute", "keep", "multi_hot", "of_kind", "one_hot",
    "ordinal", "scale", "text", "transformer",
]  # fmt: skip

DatePart: TypeAlias = Literal["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "days"]
Where: TypeAlias = str | Pick

CYCLES: Mapping[str, float] = {"month": 12, "day": 31, "day_of_year": 366, "weekday": 7, "hour": 24, "minute": 60}
"""How many steps it takes until a part of a date begins again."""


def of_kind(*kinds: Kind, but: Sequence[str] = ()) -> Pick:
    """All columns of these kinds (int, float, bool, text, time, bytes, list), but some."""
    for kind in kinds:
        if kind not in get_args(Kind):
            raise unknown("Kind", kind, get_args(Kind))
    if isinstance(but, str):
        raise BadInput(f"recipe.of_kind: but must be a list of names, not the text {but!r}.")
    return Pick(kinds, tuple(but))


def impute(*columns: Where, how: Literal["median", "mean", "most_frequent"] | float | str = "median", flag: bool = False) -> Step:
    """Missing numbers become the training part's median, mean or most frequent value, or the number given; missing texts the most frequent one, or the
    text given as `how`. With `flag` each column gets another, `<name>.missing`, of 1 where there was none."""
    makes = [f"{name}.missing" for name in columns if isinstance(name, str)] if flag else []
    return _step("impute", columns, makes=makes, how=how, flag=flag)


def scale(*columns: Where, how: Literal["standard", "min_max", "robust", "log"] = "standard") -> Step:
    """`standard`: zero mean, unit deviation. `min_max`: 0 to 1. `robust`: by median and quartiles. `log`: sign(x) log(1 + |x|), then `standard`."""
    return _step("scale", columns, how=_among("scale", how, ("standard", "min_max", "robust", "log")))


def keep(*columns: Where) -> Step:
    """Numbers as they are."""
    return _step("keep", columns)


def drop(*columns: Where) -> Step:
    """No features, unless another step takes them too."""
    return _step("drop", columns)


def one_hot(*columns: Where, max_categories: int = 50, min_rows: int = 1) -> Step:
    """A feature for each of the most frequent values (of `min_rows` rows or more), one for all others if there were others, and one for missing if
    some were missing. A value never seen in training has the feature of the others, or zeros."""
    return _step("one_hot", columns, max_categories=_positive("max_categories", max_categories), min_rows=_positive("min_rows", min_rows))


def ordinal(*columns: Where, order: Sequence[str | float] | None = None) -> Step:
    """The place of a value in `order`, or in the sorted values of the training part, from 0; -1 for a value that is none of them."""
    return _step("ordinal", columns, order=None if order is None else tuple(order))


def hashed(*columns: Where, buckets: int = 32) -> Step:
    """Values of a column of very many, spread over so many features by a hash (Weinberger et al. 2009): nothing is learned, no vocabulary is kept."""
    return _step("hashed", columns, buckets=_positive("buckets", buckets))


def bucket(*columns: Where, bins: int | Sequence[float] = 10, how: Literal["quantile", "width"] = "quantile", one_hot: bool = True) -> Step:
    """Numbers in intervals: so many of equal share or equal width, or between the edges given. As one feature each, or (`one_hot=False`) by their number."""
    edges = _positive("bins", bins) if isinstance(bins, int) else tuple(float(edge) for edge in bins)
    if isinstance(edges, tuple) and (not edges or list(edges) != sorted(set(edges))):
        raise BadInput(f"recipe.bucket: the edges {edges} must rise from one to the next.")
    return _step("bucket", columns, bins=edges, how=_among("bucket", how, ("quantile", "width")), one_hot=one_hot)


def text(
    *columns: Where,
    how: Literal["tfidf", "hashed"] = "tfidf",
    of: Literal["words", "chars"] = "words",
    ngrams: tuple[int, int] = (1, 1),
    max_features: int = 2000,
    min_rows: int = 2,
    sparse: bool | None = None,
) -> Step:
    """Words (or characters) and their n-grams. `tfidf`: the `max_features` most frequent that occur in `min_rows` rows or more, weighted by how rare they
    are; `hashed`: all of them, over `max_features` features. Each row has unit length. Beyond 256 features these, and with them all features,
    become a sparse matrix, which not every model takes; `sparse` decides it."""
    if not 1 <= ngrams[0] <= ngrams[1]:
        raise BadInput(f"recipe.text: ngrams={ngrams} must be (shortest, longest), from 1 on.")
    return _step(
        "text", columns, how=_among("text", how, ("tfidf", "hashed")), of=_among("text", of, ("words", "chars")), ngrams=tuple(ngrams),
        max_features=_positive("max_features", max_features), min_rows=_positive("min_rows", min_rows), sparse=sparse,
    )  # fmt: skip


def dates(
    *columns: Where, parts: Sequence[DatePart] = ("month", "weekday", "hour", "days"), cyclic: bool = True, since: str | None = None
) -> Step:
    """Parts of a time as numbers, `<name>.<part>`; with `cyclic`, those that come round (month to minute) as sine and cosine, `<name>.<part>.sin`, so
    that 23 h is next to 0 h. `days` counts days since `since` (ISO 8601), or since the earliest of the training part. Times are UTC."""
    if isinstance(parts, str):
        raise BadInput(f"recipe.dates: parts must be a list such as ['hour', 'weekday'], not the text {parts!r}.")
    for part in parts:
        _among("dates", part, get_args(DatePart))
    if since is not None:
        try:
            datetime.datetime.fromisoformat(since)
        except ValueError:
            raise BadInput(f"recipe.dates: since={since!r} is no date in ISO 8601, such as '2026-01-31'.") from None
    ends = [end for part in parts for end in ((f"{part}.sin", f"{part}.cos") if cyclic and part in CYCLES else (part,))]
    makes = [f"{name}.{end}" for name in columns if isinstance(name, str) for end in ends]
    cycles = tuple((part, CYCLES[part] if cyclic and part in CYCLES else 0) for part in parts)
    return _step("dates", columns, makes=makes, parts=cycles, since=since)


def image(*columns: Where, size: tuple[int, int] = (28, 28), mode: Literal["grey", "rgb"] = "grey", flatten: bool = True) -> Step:
    """Bytes of PNG, JPEG and whatever else Pillow reads, as `size` (width, height) pixels from 0 to 1, row by row. With `flatten=False` the features keep
    their shape (rows, height, width), and (…, 3) for rgb; then the image must be the only feature."""
    size = (_positive("size", size[0]), _positive("size", size[1]))
    return _step("image", columns, size=size, mode=_among("image", mode, ("grey", "rgb")), flatten=flatten)


def audio(*columns: Where, rate: int = 16_000, mels: int = 40, seconds: float = 30.0) -> Step:
    """Bytes of WAV, FLAC, OGG and whatever else libsndfile reads: mixed to one channel, resampled to `rate` a second, and told by the mean and the
    deviation over time of the logarithm of the power in `mels` bands. What comes after `seconds` is left out."""
    return _step("audio", columns, rate=_positive("rate", rate), mels=_positive("mels", mels), seconds=float(seconds))


def flatten(*columns: Where) -> Step:
    """Lists of numbers, all of the same length (embeddings), a feature a member. A list of another length counts as missing when serving."""
    return _step("flatten", columns)


def multi_hot(*columns: Where, max_categories: int = 50) -> Step:
    """Lists of labels: a feature for each of the most frequent, of 1 where the list has it."""
    return _step("multi_hot", columns, max_categories=_positive("max_categories", max_categories))


def custom(function: Callable[[Any], Any], *columns: Where, names: Sequence[str] | None = None) -> Step:
    """A function of your own. It gets a Polars frame of the columns, as many rows as there are (one, when serving one), and returns as many rows of numbers: a
    frame, a series, or an array of shape (rows,) or (rows, features). Each row must be answered from that row alone.

    `names` are those of the features, for later steps to take. The model that carries it is stored as a pickle, and marked so.
    """
    if not callable(function):
        raise BadInput(f"recipe.custom: the first argument must be a function, not {function!r:.60}.")
    return _step("custom", columns, code=function, makes=names or (), names=None if names is None else tuple(names))


def transformer(estimator: Any, *columns: Where) -> Step:
    """Any scikit-learn transformer: cloned, fitted on the columns as a pandas frame, without the target."""
    if isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "transform")):
        raise BadInput(f"recipe.transformer takes an instance of a scikit-learn transformer with fit and transform, not {estimator!r:.60}.")
    return _step("transformer", columns, code=estimator)


def _step(does: str, columns: tuple[Where, ...], *, makes: Sequence[str] = (), code: object = None, **options: object) -> Step:
    if not columns:
        raise BadInput(f"recipe.{does} names no column. Name some, or pick them: recipe.{does}(recipe.of_kind('float')).")
    for column in columns:
        if not isinstance(column, str | Pick):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadInput(f"recipe.{does}: columns are names or recipe.of_kind(...), not {column!r:.60}.")
    return Step(does=does, columns=columns, options=options, makes=tuple(makes), code=code)


def _among(step: str, value: Any, known: Sequence[str]) -> Any:
    if value not in known:
        raise unknown(f"recipe.{step}:", str(value), known)
    return value


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise BadInput(f"A recipe's {name} must be at least 1, not {value}.")
    return int(value)
