"""What Polars needs to read a CSV file and write it as Parquet, and nothing else."""

import sys

import polars as pl
from meter import metered, report

if __name__ == "__main__":
    with metered():
        pl.scan_csv(sys.argv[1]).sink_parquet("all.parquet")
    report(rows=pl.scan_parquet("all.parquet").select(pl.len()).collect().item())
