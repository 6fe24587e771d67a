"""Arrow batches of a driver -> tables of a good size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from everloop.core.errors import BadInput
from everloop.core.ports import BATCH_BYTES
from everloop.data.sources.columnar import sliced

if TYPE_CHECKING:
    import polars as pl

GATHERED_BYTES = BATCH_BYTES // 4
# Of rows that come one by one, so many are fetched before it is known how large they are.
FIRST_ROWS = 100


def rows_at_once(found: pl.DataFrame) -> int:
    """How many rows to fetch next, going by the last ones."""
    return max(1, min(1 << 16, GATHERED_BYTES * found.height // max(1, int(found.estimated_size()))))


def one_name_each(names: list[str], said: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            f"{said}: the query gives several columns named {', '.join(map(repr, twice))}. Name each one apart: … as other_name."
        )


def gathered(batches: Iterable[Any]) -> Iterator[pl.DataFrame]:
    """Small batches put together, large ones cut."""
    held: list[Any] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= GATHERED_BYTES:
            yield from sliced(_frame(held))
            held, size = [], 0
    if held:
        yield from sliced(_frame(held))


def _frame(batches: list[Any]) -> pl.DataFrame:
    import polars as pl

    arrow: Any = import_module("pyarrow")
    found = pl.from_arrow(arrow.Table.from_batches(batches))  # pyright: ignore[reportUnknownMemberType]
    assert isinstance(found, pl.DataFrame)
    return found
