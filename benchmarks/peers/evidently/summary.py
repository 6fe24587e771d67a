"""Evidently's summary of a Parquet file: its data summary preset, as values and without a page. It says nothing of the time column."""

import sys

import pandas as pd
from evidently import Dataset, Report
from evidently.presets import DataSummaryPreset
from meter import metered, report

if __name__ == "__main__":
    with metered("read_"):
        table = pd.read_parquet(sys.argv[1])
    with metered():
        values = Report([DataSummaryPreset()]).run(Dataset.from_pandas(table), None).dict()
    found = {metric["metric_name"]: metric["value"] for metric in values["metrics"]}
    report(rows=found["RowCount()"], columns=found["ColumnCount()"])
