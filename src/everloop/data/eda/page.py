"""A study -> one HTML page that needs nothing beside it: no script, no font, no network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from everloop.core.profiles import ColumnProfile
from everloop.data.eda import charts
from everloop.data.eda.study import Study, shown
from everloop.data.profile import quantile

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
# Of so few different texts the texts themselves say more than their shapes.
FEW = 20


def page(study: Study, *, made_at: str) -> str:
    """`made_at` is a time as people write it, UTC. Everything that comes from the data is escaped."""
    names = shown(study)
    columns = {column.name: column for column in study.profile.columns}
    before = {column.name: column for column in study.before.columns} if study.before else {}
    differences = {difference.name: difference for difference in study.differences}
    relations = {relation.feature: relation for relation in study.relations}
    return (
        _environment()
        .get_template("page.html")
        .render(
            study=study,
            made_at=made_at,
            names=names,
            columns=columns,
            before=before,
            differences=differences,
            relations=relations,
            gone=[difference for difference in study.differences if difference.status == "removed"],
            left_out=len(columns) - len(names),
            charts=charts,
            facts=facts,
        )
    )


def facts(column: ColumnProfile) -> list[tuple[str, str]]:
    """(what, how much) in the order in which they matter."""

    def value(number: float | None) -> str:
        return "" if number is None else charts.text(column, number)

    found: list[tuple[str, str]] = []
    missing = column.nulls + column.nans
    found.append(("missing", f"{missing / column.rows:.2%} ({missing:,})" if missing else "none"))
    if column.infinite:
        found.append(("infinite", f"{column.infinite:,}"))
    if column.valid:
        found.append(("different", f"{'' if column.exact_distinct else 'about '}{column.distinct:,}"))
    if column.edges and column.low is not None:
        found.append(("range", f"{value(column.low)} to {value(column.high)}"))
        if column.kind != "time":
            deviation = (column.m2 / column.valid) ** 0.5 if column.m2 is not None and column.valid else None
            found.append(("mean ± sd", f"{column.mean:.5g} ± {deviation:.4g}" if column.mean is not None and deviation is not None else ""))
            found.append(("1, 25, 50, 75, 99 %", ", ".join(value(_quantile(column, share)) for share in QUANTILES)))
            if column.zeros:
                found.append(("zeros", f"{column.zeros / column.rows:.1%}"))
            if column.negatives:
                found.append(("negative", f"{column.negatives / column.rows:.1%}"))
    if column.points and column.distinct > len(column.points):
        found.append(("single values", ", ".join(f"{value(point)} {count / column.rows:.0%}" for point, count in column.points[:4])))
    if column.lengths:
        found.append(("lengths", f"{column.lengths.low:,} to {column.lengths.high:,}, mean {column.lengths.mean:.3g}"))
    if column.patterns and column.distinct > FEW:
        found.append(("looks like", ", ".join(f"{pattern} {share:.0%}" for pattern, share in column.patterns[:3])))
    if column.pii:
        found.append(("personal data", ", ".join(f"{kind} {share:.0%}" for kind, share in column.pii.items())))
    if column.gap:
        found.append(("usual step", _span(column.gap.usual_s)))
        found.append(("longest gap", f"{_span(column.gap.longest_s)} after {value(column.gap.after)}"))
    return found


def _quantile(column: ColumnProfile, share: float) -> float | None:
    found = quantile(column, share)
    return float(round(found)) if found is not None and column.kind == "int" else found


def _span(seconds: float) -> str:
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


@cache
def _environment() -> Any:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
