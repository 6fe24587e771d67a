"""Captured predictions -> tables with their features under their own names, whatever versions answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from everloop.core.live import Prediction
from everloop.core.models import Candidate, Signature
from everloop.core.ports import BATCH_BYTES
from everloop.core.tables import Kind, Prepared
from everloop.store import records, registry
from everloop.store.workspace import current

if TYPE_CHECKING:
    import polars as pl

Item = TypeVar("Item")

# Of captured bytes that are made into one table: as Python objects, on the way to it, they are several times as large.
ANSWER_BYTES = BATCH_BYTES // 4


class Shape(NamedTuple):
    """What the rows of one version mean."""

    signature: Signature
    target: str


class Shapes:
    """Shapes by version number, looked up when they are first needed."""

    def __init__(self, loop: str) -> None:
        self._loop = loop
        self._known: dict[int, Shape] = {}

    def of(self, version: int) -> Shape:
        if version not in self._known:
            with current().read() as tx:
                candidate = records.load(tx, registry.get(tx, self._loop, version).candidate, Candidate)
                self._known[version] = Shape(candidate.signature, records.load(tx, candidate.prepared, Prepared).target)
        return self._known[version]

    def sound(self, prediction: Prediction) -> bool:
        """A prediction whose features are fewer or more than the version takes was not made by it."""
        return len(prediction.features) == len(self.of(prediction.version).signature.inputs)


def features(predictions: Sequence[Prediction], shapes: Shapes) -> pl.DataFrame:
    """One row a prediction, in their order; a feature that a version does not have is null in its rows. At least one prediction, all sound."""
    import polars as pl

    from everloop.data.sources.union import union

    places: dict[int, list[int]] = {}
    for at, prediction in enumerate(predictions):
        places.setdefault(prediction.version, []).append(at)
    tables = [
        pl.DataFrame(
            [
                column_of(feature.name, [predictions[row].features[at] for row in rows], feature.kind)
                for at, feature in enumerate(shapes.of(version).signature.inputs)
            ]
        )
        for version, rows in places.items()
    ]
    # One table a version, however they took turns; then the rows go back to where they were.
    order = pl.Series([row for rows in places.values() for row in rows])
    return union(tables)[order.arg_sort()]


def in_pieces(items: Iterable[tuple[Item, int]]) -> Iterator[list[Item]]:
    """Items with their captured sizes -> lists of at most about ANSWER_BYTES."""
    piece: list[Item] = []
    size = 0
    for item, bytes_ in items:
        if piece and size + bytes_ > ANSWER_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(item)
        size += bytes_
    if piece:
        yield piece


def labelled(name: str, predictions: Sequence[Prediction], values: Mapping[str, Any], shapes: Shapes) -> pl.Series:
    """The predictions' labels as a column, in the kind of each one's own output; null where there is none."""
    from everloop.data.sources.json import column

    return column(name, [conform(values.get(one.id), shapes.of(one.version).signature.output.kind) for one in predictions])


def column_of(name: str, values: list[Any], kind: Kind) -> pl.Series:
    """Values as clients sent them, in the model's own kind where nothing is lost by it."""
    import polars as pl

    from everloop.data.sources.json import column

    dtypes: dict[Kind, tuple[type, Any]] = {
        "float": (float, pl.Float64),
        "int": (int, pl.Int64),
        "bool": (bool, pl.Boolean),
        "text": (str, pl.String),
    }
    own, dtype = dtypes.get(kind, (str, pl.String))
    if set(map(type, values)) <= {own, type(None)}:
        # Nearly always; an integer of more than 64 bits is the exception to be looked at.
        try:
            return pl.Series(name, values, dtype=dtype)
        except (OverflowError, TypeError, pl.exceptions.PolarsError):
            pass
    return column(name, [conform(value, kind) for value in values])


def chances(name: str, predictions: Sequence[Prediction]) -> pl.Series:
    """Their probabilities, a list each. By Arrow: Polars makes a series of each list, which takes ten times as long."""
    import polars as pl
    import pyarrow  # pyright: ignore[reportMissingTypeStubs]

    pa: Any = pyarrow
    lists = pa.array([one.probabilities for one in predictions], type=pa.large_list(pa.float64()))
    return pl.Series(name, lists)


def moments(name: str, predictions: Sequence[Prediction]) -> pl.Series:
    """When they were answered, as a column of times (UTC)."""
    import polars as pl

    micros = pl.Series(name, [round(one.at * 1e6) for one in predictions], dtype=pl.Int64)
    return micros.cast(pl.Datetime("us"))


def conform(value: Any, kind: Kind) -> Any:
    """A value as the model's own kind where nothing is lost by it: clients send 1 for "1", or "1" for 1."""
    if value is None or (kind == "text" and isinstance(value, str)):
        return value
    if kind == "text":
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "float" and type(value) is int:
        return float(value)
    if kind in ("int", "float") and isinstance(value, str):
        try:
            return int(value) if kind == "int" else float(value)
        except ValueError:
            return value
    if kind == "bool" and value in (0, 1):
        return bool(value)
    return value
