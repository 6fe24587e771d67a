"""Schema skew: columns missing, renamed, added, of another kind, empty, or without values in a part of the rows; too few rows or too many. It stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from everloop.core.rules.checks import alike
from everloop.core.schemas import ColumnRule, Schema, Stage
from everloop.core.tables import Column, Kind
from everloop.core.verdict import Finding
from everloop.data.validate.counts import Counts

# A column that must have values and lacks them in more rows than this is missing from a part of the table, not a slip of the pen in one row.
MISSING_SHARE = 0.01


def structure(schema: Schema, columns: Sequence[Column], counts: Counts, stage: Stage) -> Iterator[Finding]:
    yield _rows(schema, counts.rows)
    kinds: dict[str, Kind] = {column.name: column.kind for column in columns}
    known = {rule.name for rule in schema.columns}
    added = [column for column in columns if column.name not in known]
    renamed: set[str] = set()
    sound = True
    for rule in schema.columns:
        finding = _column(rule, kinds, added, counts, stage)
        if finding is not None:
            sound = False
            yield finding
            if finding.check == "renamed_column":
                renamed.add(str(finding.observed))
    for column in added:
        if column.name not in renamed:
            sound = False
            yield Finding(
                check="extra_column",
                passed=False,
                message=f"column {column.name!r} ({column.kind}) is not in the schema",
                subject=column.name,
                observed=column.kind,
                severity=schema.extra_columns,
                evidence={"skew": "schema"},
            )
    if sound:
        yield Finding(
            check="columns",
            passed=True,
            message=f"all {len(known)} columns are as the schema requires",
            observed=len(kinds),
            limit=len(known),
            evidence={"skew": "schema"},
        )


def _rows(schema: Schema, rows: int) -> Finding:
    few = rows < schema.min_rows
    many = schema.max_rows is not None and rows > schema.max_rows
    message = f"{rows:,} rows"
    if few:
        message = f"only {rows:,} rows: the schema requires at least {schema.min_rows:,}"
    elif many:
        message = f"{rows:,} rows: the schema allows at most {schema.max_rows:,}"
    limit = schema.max_rows if many else schema.min_rows
    return Finding(check="rows", passed=not (few or many), message=message, observed=rows, limit=limit, evidence={"skew": "schema"})


def _column(rule: ColumnRule, kinds: Mapping[str, Kind], added: Sequence[Column], counts: Counts, stage: Stage) -> Finding | None:
    kind = kinds.get(rule.name)
    if kind is None:
        return _absent(rule, added) if rule.required and stage not in rule.absent_in else None
    missing = counts.missing(rule.name)
    if counts.rows and missing == counts.rows and rule.name in counts.nulls:
        # An empty vocabulary was inferred from a column that never had a value; what need not be there need not be filled.
        if rule.vocabulary == () or not rule.required:
            return None
        return _broken(
            rule,
            "empty_column",
            f"column {rule.name!r} has no value in any row: the schema requires {rule.kind} values",
            observed=missing,
            limit=0,
        )
    if not alike(rule.kind, kind):
        return _broken(rule, "kind", f"column {rule.name!r} is {kind}: the schema requires {rule.kind}", observed=kind, limit=rule.kind)
    limit = mostly(rule)
    if limit is not None and missing > limit * counts.rows:
        allowed = "allows none" if not rule.nullable else f"allows {rule.max_null_share:.0%}"
        return _broken(
            rule,
            "missing_values",
            f"column {rule.name!r} has no value in {missing:,} of {counts.rows:,} rows: the schema {allowed}",
            observed=missing,
            limit=0 if not rule.nullable else round((rule.max_null_share or 0) * counts.rows),
        )
    return None


def mostly(rule: ColumnRule) -> float | None:
    """The share of rows without a value beyond which a column counts as missing from a part of the table: where it must be filled 1 %, where a share may
    be empty half of the rest. None where nothing is said."""
    if not rule.nullable:
        return MISSING_SHARE
    return None if rule.max_null_share is None else (1 + rule.max_null_share) / 2


def _absent(rule: ColumnRule, added: Sequence[Column]) -> Finding:
    twin = next((column for column in added if column.name.strip().casefold() == rule.name.strip().casefold()), None)
    if twin is not None:
        message = f"column {rule.name!r} is missing, but {twin.name!r} is there: names must be equal to the letter; rename it in the source or in the schema"
        return _broken(rule, "renamed_column", message, observed=twin.name, limit=rule.name)
    return _broken(rule, "missing_column", f"column {rule.name!r} is missing: the schema requires it ({rule.kind})", limit=rule.kind)


def _broken(rule: ColumnRule, check: str, message: str, *, observed: str | int | None = None, limit: str | int) -> Finding:
    return Finding(
        check=check,
        passed=False,
        message=message,
        subject=rule.name,
        observed=observed,
        limit=limit,
        severity=rule.weight(check),
        evidence={"skew": "schema"},
    )
