"""The rules counted by one hand-written Polars expression each, all in one `select`."""

import json
import sys
from pathlib import Path

import polars as pl
from meter import metered, report

sys.path.append(str(Path(__file__).parents[2]))
from measure.validate_by_hand import counts

if __name__ == "__main__":
    rules = json.loads(Path(sys.argv[2]).read_text())
    with metered("read_"):
        table = pl.read_parquet(sys.argv[1])
    with metered():
        found = counts(table, rules)
    report(checked=len(found), rules=sum(count > 0 for count in found.values()), rows=sum(found.values()))
