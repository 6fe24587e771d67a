"""The profile of a Parquet file."""

import sys

import polars as pl
from meter import metered, report

from everloop.data.profile import summarise

if __name__ == "__main__":
    with metered("read_"):
        table = pl.read_parquet(sys.argv[1])
    with metered():
        found = summarise(table, about="orders")
    report(rows=found.rows, columns=len(found.columns))
