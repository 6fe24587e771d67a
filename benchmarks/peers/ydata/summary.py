"""ydata-profiling's statistics of a Parquet file in its minimal mode (no correlations, no interactions), without a page made of them."""

import sys

import pandas as pd
from meter import metered, report
from ydata_profiling import ProfileReport

if __name__ == "__main__":
    with metered("read_"):
        table = pd.read_parquet(sys.argv[1])
    with metered():
        described = ProfileReport(table, minimal=True, progress_bar=False).get_description()
    report(rows=described.table["n"], columns=described.table["n_var"])
