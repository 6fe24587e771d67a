"""The same statistics as somebody would write them for this one table, with Polars and NumPy."""

import sys
from pathlib import Path

import polars as pl
from meter import metered, report

sys.path.append(str(Path(__file__).parents[2]))
from measure.profile_by_hand import profile

if __name__ == "__main__":
    with metered("read_"):
        table = pl.read_parquet(sys.argv[1])
    with metered():
        found = profile(table)
    report(rows=found["rows"], columns=len(found["columns"]))
