"""The rules as a schema of all 20 columns: their names and kinds are checked as well, and what is broken is found with rows and values."""

import json
import sys
from collections import defaultdict
from pathlib import Path

import polars as pl
from meter import metered, report

from everloop.core.schemas import ColumnRule, RowRule, Schema
from everloop.data.kinds import columns_of
from everloop.data.validate import validate


def schema(rules, columns):
    asked = defaultdict(dict)
    relations = []
    for rule in rules:
        of = asked[rule["column"]]
        match rule["check"]:
            case "present":
                of["nullable"] = False
            case "unique":
                of["unique"] = True
            case "matches":
                of["pattern"] = rule["pattern"]
            case "among":
                of["vocabulary"] = tuple(rule["values"])
            case "between":
                of["low"], of["high"] = rule["low"], rule["high"]
            case "at_most":
                relations.append(RowRule(check=f"pl.col({rule['column']!r}) <= pl.col({rule['other']!r})"))
    whole = (ColumnRule(name=one.name, kind=one.kind, tolerance=0.0, **{"nullable": True, **asked[one.name]}) for one in columns)
    return Schema(dataset="orders", columns=tuple(whole), rules=tuple(relations))


if __name__ == "__main__":
    rules = json.loads(Path(sys.argv[2]).read_text())
    with metered("read_"):
        table = pl.read_parquet(sys.argv[1])
    columns = columns_of(table)
    contract = schema(rules, columns)
    with metered():
        verdict = validate(None, columns, contract, about="orders", frame=table)
    broken = [finding for finding in verdict.findings if not finding.passed]
    assert all(finding.evidence["samples"] for finding in broken)
    report(checked=len(rules), rules=len(broken), rows=sum(finding.evidence["count"] for finding in broken))
