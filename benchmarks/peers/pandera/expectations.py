"""Pandera's schema of all rules over a Polars frame, all failures collected."""

import json
import sys
from pathlib import Path

import pandera.polars as pa
import polars as pl
from meter import metered, report
from pandera.errors import SchemaErrors


def check(rule):
    match rule["check"]:
        case "matches":
            return pa.Check.str_matches(rule["pattern"])
        case "among":
            return pa.Check.isin(rule["values"])
        case "between":
            return pa.Check.in_range(rule["low"], rule["high"])


def schema(rules, dtypes):
    columns = {}
    for name in dict.fromkeys(rule["column"] for rule in rules):
        own = [rule for rule in rules if rule["column"] == name]
        columns[name] = pa.Column(
            dtypes[name],
            [made for rule in own if (made := check(rule)) is not None],
            nullable=all(rule["check"] != "present" for rule in own),
            unique=any(rule["check"] == "unique" for rule in own),
        )
    pairs = [(rule["column"], rule["other"]) for rule in rules if rule["check"] == "at_most"]
    whole = [pa.Check(lambda data, low=low, high=high: data.lazyframe.select(pl.col(low) <= pl.col(high))) for low, high in pairs]
    return pa.DataFrameSchema(columns, checks=whole)


if __name__ == "__main__":
    rules = json.loads(Path(sys.argv[2]).read_text())
    with metered("read_"):
        table = pl.read_parquet(sys.argv[1])
    contract = schema(rules, table.schema)
    failed = None
    with metered():
        try:
            contract.validate(table, lazy=True)
        except SchemaErrors as errors:
            failed = errors
    cases = failed.failure_cases
    report(checked=len(rules), rules=cases.select("column", "check").n_unique(), rows=cases.height)
