"""The twenty rules of `rules.py` as somebody would write them by hand in Polars: one `select` of counts, nothing around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
from measure.rules import RULES, Rule


def counts(table: pl.DataFrame, rules: Iterable[Rule] = RULES) -> dict[str, int]:
    """How many values break each rule; a value that is missing breaks only `present`."""
    return table.select([_broken(rule).alias(f"{rule['check']} {rule['column']}") for rule in rules]).row(0, named=True)


def _broken(rule: Rule) -> Any:
    column: Any = pl.col(rule["column"])
    match rule["check"]:
        case "present":
            return column.null_count()
        case "unique":
            return column.count() - column.n_unique()
        case "between":
            return (~column.is_between(rule["low"], rule["high"])).sum()
        case "among":
            return (~column.is_in(rule["values"])).sum()
        case "matches":
            return (~column.str.contains(rule["pattern"])).sum()
        case _:
            return (column > pl.col(rule["other"])).sum()
