"""A study -> lines of a terminal: the same facts as on the page, with bars of block characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from everloop.core.profiles import ColumnProfile
from everloop.data.eda.charts import masses, spread, text
from everloop.data.eda.page import facts
from everloop.data.eda.study import Study, shown

BLOCKS = " ▁▂▃▄▅▆▇█"
BARS = 32
_SHADES = " ░▒▓█"


def lines(study: Study) -> Iterator[str]:
    """The whole report, a line at a time."""
    profile = study.profile
    yield f"{study.snapshot.dataset}: {profile.rows:,} rows, {len(profile.columns)} columns, {profile.duplicates or 0:,} rows equal an earlier one"
    if study.before is not None and study.against is not None:
        yield f"beside {study.against.id}: {study.before.rows:,} rows, {len(study.before.columns)} columns"
    for finding in study.findings[:20]:
        yield f"  {'!' if finding.severity == 'warn' else '·'} {finding.message}"
    explains = {relation.feature: relation.explains for relation in study.relations}
    moved = {difference.name: difference for difference in study.differences}
    before = {column.name: column for column in study.before.columns} if study.before else {}
    columns = {column.name: column for column in profile.columns}
    for name in shown(study):
        column = columns[name]
        yield ""
        told = [column.kind]
        if name == study.target:
            told.append("the target")
        if name in explains:
            told.append(f"explains {explains[name]:.1%} of {study.target}")
        if name in moved:
            difference = moved[name]
            told.append(difference.status if difference.status != "same" else f"shift {difference.shift or 0.0:.3f}")
        yield f"{name} ({', '.join(told)})"
        yield from (f"  {line}" for line in _picture(column, before.get(name)))
        yield "  " + "; ".join(f"{what} {much}" for what, much in facts(column))
    for difference in study.differences:
        if difference.status == "removed":
            yield f"\n{difference.name} (removed)"
    if study.missing.columns:
        yield "\nwhere values are missing, from the first row to the last"
        width = max(len(name) for name in study.missing.columns)
        for name, shares in zip(study.missing.columns, study.missing.shares, strict=True):
            yield f"  {name:{width}} {''.join(_shade(share) for share in shares)}"
    strongest = sorted((pair for pair in profile.correlations if pair.r is not None), key=lambda pair: -abs(pair.r or 0.0))[:10]
    if strongest:
        yield "\nnumbers that go together"
        for pair in strongest:
            yield f"  {pair.r:+.3f}  {pair.a} and {pair.b}"


def _picture(column: ColumnProfile, before: ColumnProfile | None) -> Iterator[str]:
    if column.edges and column.low is not None and column.high is not None:
        beside = before if before is not None and before.edges else None
        marks = spread([column, beside] if beside is not None else [column], BARS)
        yield f"{bars(column, marks)}  {text(column, column.low)} to {text(column, column.high)}"
        if beside is not None:
            yield f"{bars(beside, marks)}  before"
    elif column.top:
        then = dict(before.top) if before is not None else {}
        for value, count in column.top[:5]:
            share = count / max(column.valid, 1)
            told = f", before {then.get(value, 0) / max(before.valid, 1):.1%}" if before is not None else ""
            yield f"{'█' * max(round(share * BARS), 1):{BARS}}  {' '.join(value.split())[:40]} {share:.1%}{told}"


def bars(column: ColumnProfile, marks: Sequence[float]) -> str:
    """The column's histogram between marks, in at most `BARS` characters: a bar of a whole number is as wide as there is room."""
    found = masses(column, marks)
    return _blocks([mass for mass in found for _ in range(max(BARS // len(found), 1))])


def _blocks(masses: Sequence[float]) -> str:
    top = max(masses) or 1.0
    return "".join(BLOCKS[0 if not mass else max(round(mass / top * (len(BLOCKS) - 1)), 1)] for mass in masses)


def _shade(share: float) -> str:
    return _SHADES[0 if not share else max(round(share * (len(_SHADES) - 1)), 1)]
