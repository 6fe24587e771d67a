"""Great Expectations: one suite of all rules over a pandas frame, in memory, with counts and some of the unexpected values (BASIC)."""

import json
import sys
from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from meter import metered, report


def expectation(rule):
    column = rule["column"]
    match rule["check"]:
        case "present":
            return gxe.ExpectColumnValuesToNotBeNull(column=column)
        case "unique":
            return gxe.ExpectColumnValuesToBeUnique(column=column)
        case "matches":
            return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=rule["pattern"])
        case "among":
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=rule["values"])
        case "between":
            return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=rule["low"], max_value=rule["high"])
        case "at_most":
            return gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A=rule["other"], column_B=column, or_equal=True)


if __name__ == "__main__":
    rules = json.loads(Path(sys.argv[2]).read_text())
    with metered("read_"):
        table = pd.read_parquet(sys.argv[1])
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = context.data_sources.add_pandas("memory").add_dataframe_asset("orders").add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="orders", expectations=[expectation(rule) for rule in rules])
    with metered():
        answer = batch.get_batch({"dataframe": table}).validate(suite, result_format="BASIC")
    failed = [one for one in answer.results if not one.success]
    report(checked=len(answer.results), rules=len(failed), rows=sum(one.result["unexpected_count"] for one in failed))
