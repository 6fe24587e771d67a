"""A source that gives what it was given."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from everloop.core.ports import Extract, Place
from everloop.core.tables import Origin


class Given:
    def __init__(self, *tables: pl.DataFrame, name: str = "given") -> None:
        self.tables = tables
        self.name = name

    def describe(self) -> str:
        return self.name

    def stamp(self, place: Place) -> str:
        return "1"

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        return Extract(lambda: iter(self.tables))
