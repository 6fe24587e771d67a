"""Data in parts, so that only the parts that are new or changed are processed, and what was made of them is merged.

    parts = partitions.by_file("data/*.csv")
    cleaned = clean.map(parts)                          # one call a part: what is known is a hit
    whole = partitions.reduce(merge, cleaned)           # one new part costs about log2(n) merges, not n

Parts are known by content, so a part that was deleted is simply no longer merged, and one that came back is a hit. To fill in a span of
time, map over `between(parts, start, end)`: what was done before hits, then and later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from everloop.core.errors import BadInput
from everloop.engine.step import step

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")


def by_file(pattern: str, *, folder: Path | str | None = None) -> dict[str, Path]:
    """Name (the path from `folder` on) -> path of each file that matches, in the order of names. A path counts by its content.

    `folder` is by default the project's. BadInput when nothing matches.
    """
    start = Path(folder) if folder is not None else _project()
    found = sorted(path for path in start.glob(pattern) if path.is_file())
    if not found:
        raise BadInput(f"No file matches {pattern!r} in {start}. Mend the pattern, or put the files there.")
    return {path.relative_to(start).as_posix(): path for path in found}


@step
def by_key(table: pl.DataFrame, column: str) -> dict[str, pl.DataFrame]:
    """The rows of each value of a column, in the order of the values' text. Rows keep their order; null is the part `null`."""
    _check_column(table, column)
    return {
        ("null" if key[0] is None else str(key[0])): part for key, part in sorted(_groups(table, column), key=lambda pair: str(pair[0]))
    }


@step
def by_time(table: pl.DataFrame, column: str, every: str = "1d") -> dict[str, pl.DataFrame]:
    """The rows of each span of time (`1h`, `1d`, `1w`, `1mo`: Polars' own durations), named by its start in ISO 8601, in order.

    `column` is a date or datetime without nulls.
    """
    import polars as pl

    _check_column(table, column)
    if not table.schema[column].is_temporal():
        raise BadInput(f"Column {column!r} is {table.schema[column]}, no date or time. Convert it, or use by_key.")
    if table[column].null_count():
        raise BadInput(f"Column {column!r} has {table[column].null_count()} nulls, which lie in no span of time. Drop or fill them.")
    start = "__start__"
    spans = table.with_columns(pl.col(column).dt.truncate(every).alias(start))
    return {key[0].isoformat(): part.drop(start) for key, part in sorted(_groups(spans, start), key=lambda pair: pair[0][0])}


def between(parts: Mapping[str, T], start: str, end: str) -> dict[str, T]:
    """The parts whose names lie from `start` (included) to `end` (excluded), compared as text, as ISO dates may be."""
    return {name: part for name, part in parts.items() if start <= name < end}


def reduce(merge: Callable[[Any, Any], Any], parts: Mapping[str, Any]) -> Any:
    """All parts merged into one by `merge(earlier, later)`, a step that must be associative; its order is that of the names.

    The shape of the tree of merges follows from the names alone, by a hash of each (a treap: Seidel and Aragon, 1996), so that a part
    that is added, changed or taken away anywhere concerns about 2 ln(n) merges; all others hit.
    """
    if not parts:
        raise BadInput("There is no part to merge. Check what the parts were made from.")
    names = sorted(parts)
    ranks = {name: hashlib.sha256(name.encode()).digest() for name in names}

    def merged(low: int, high: int) -> Any:
        top = max(range(low, high), key=lambda index: ranks[names[index]])
        value = parts[names[top]]
        if top > low:
            value = merge(merged(low, top), value)
        if top + 1 < high:
            value = merge(value, merged(top + 1, high))
        return value

    return merged(0, len(names))


def _groups(table: pl.DataFrame, column: str) -> list[tuple[tuple[Any, ...], pl.DataFrame]]:
    return list(table.partition_by(column, as_dict=True, maintain_order=True).items())


def _check_column(table: pl.DataFrame, column: str) -> None:
    if column not in table.columns:
        from everloop.core.errors import unknown

        raise BadInput(str(unknown("Column", column, table.columns)))


def _project() -> Path:
    from everloop.store.workspace import current

    try:
        return current().project
    except BadInput:
        return Path.cwd()
