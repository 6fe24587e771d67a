"""Schema and features -> the check of one row, as generated Python: what a server can afford for each request.

A row is what a request carries (bool, int, float, str or None a feature, in the signature's order; times are ISO 8601 text, bytes base64 text, lists JSON
text). It breaks the same rules as the same row in a table; what only a table can break (unique values, shares, keys, freshness) is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import msgspec

from everloop.core.rules.checks import NUMBERS, alike, asked, bounds, row_checks
from everloop.core.rules.expression import parse
from everloop.core.rules.patterns import pattern
from everloop.core.rules.python import Writer, define, moment
from everloop.core.rules.tree import Node
from everloop.core.schemas import ColumnRule, Schema, Stage
from everloop.core.tables import Column, Kind

Row = Sequence[Any]


class Broken(NamedTuple):
    """A rule that a row breaks: the check, and the column or the rule's name."""

    check: str
    subject: str


@dataclass(frozen=True, slots=True)
class RowCheck:
    """`check(row)` is the list of what the row breaks, empty mostly; it never raises. `possible` is all that it can say. `skipped` are the rules
    that cannot be asked of these features, with the reason; `source` is the code that runs."""

    check: Callable[[Row], list[Broken]]
    possible: tuple[Broken, ...]
    skipped: Mapping[str, str]
    source: str

    def __call__(self, row: Row) -> list[Broken]:
        return self.check(row)


def compile_row(schema: Schema, features: Sequence[Column], *, stage: Stage = "serving") -> RowCheck:
    """Features that the schema does not know, or knows as another kind, are not looked at: that is structure, and was judged with the table.

    Raises BadInput when a pattern or an expression of the schema is not understood.
    """
    writer = Writer()
    columns = {rule.name: rule for rule in asked(schema, stage)}
    local: dict[str, str] = {}
    kinds: dict[str, Kind] = {}
    for at, feature in enumerate(features):
        rule = columns.get(feature.name)
        if rule is not None and alike(rule.kind, feature.kind):
            local[feature.name], kinds[feature.name] = f"v{at}", feature.kind
    rules, skipped = _relations(schema, kinds)
    used = {name for name in local if row_checks(columns[name], kinds[name])} | {name for node, _ in rules for name in node.columns()}
    writer.lines += [f"{local[feature.name]} = row[{at}]" for at, feature in enumerate(features) if feature.name in used]
    possible: list[Broken] = []

    def broken(check: str, subject: str) -> str:
        possible.append(Broken(check, subject))
        return f"found.append({writer.constant(possible[-1])})"

    for name, variable in local.items():
        if name in used:
            _column(writer, columns[name], kinds[name], variable, broken)
    for node, title in rules:
        out = writer.expression(node, local)
        writer.add(f"if {out} is False: {broken('rule', title)}")
    fits: list[tuple[int, Kind, Broken]] = [
        (at, feature.kind, Broken("kind", feature.name)) for at, feature in enumerate(features) if feature.name in used
    ]
    writer.names["misfits"] = partial(_misfits, fits)
    body = [
        "found = []",
        "try:",
        *(f"    {line}" for line in writer.lines or ["pass"]),
        "except Exception:",
        "    return misfits(row)",
        "return found",
    ]
    source = "\n".join(["def check(row):", *(f"    {line}" for line in body)])
    check = define("check", body, writer.names)
    return RowCheck(check, (*possible, *(one for _, _, one in fits)), skipped, source)


def _relations(schema: Schema, kinds: Mapping[str, Kind]) -> tuple[list[tuple[Node, str]], dict[str, str]]:
    known: dict[str, Kind] = {rule.name: rule.kind for rule in schema.columns}
    found: list[tuple[Node, str]] = []
    skipped: dict[str, str] = {}
    for rule in schema.rules:
        node = parse(rule.check, known)
        absent = sorted(node.columns() - set(kinds))
        if absent:
            skipped[rule.title] = f"{', '.join(map(repr, absent))} {'is' if len(absent) == 1 else 'are'} no feature"
        else:
            found.append((parse(rule.check, known | dict(kinds)), rule.title))
    return found, skipped


def _column(writer: Writer, rule: ColumnRule, kind: Kind, v: str, broken: Callable[[str, str], str]) -> None:
    """Every check of one column. `if v is None` first: what has no value breaks nothing else."""
    writer.add(f"if {v} is None:")
    writer.add(f"    {'pass' if rule.nullable else broken('nulls', rule.name)}")
    if kind in NUMBERS:
        _number(writer, rule, kind, v, broken)
        return
    tests: list[tuple[str, str]] = []
    checks = row_checks(rule, kind)
    if "categories" in checks:
        tests.append(("categories", f"{v} not in {writer.constant(frozenset(rule.vocabulary or ()))}"))
    if "pattern" in checks:
        tests.append(("pattern", f"not {writer.constant(pattern(rule.pattern or '').fullmatch())}({v})"))
    if "lengths" in checks:
        above = "" if rule.max_length is None else f" <= {rule.max_length}"
        tests.append(("lengths", f"not {rule.min_length or 0} <= {_LENGTHS[kind].format(v=v)}{above}"))
        writer.names |= {"of_bytes": _of_bytes, "of_list": _of_list}
    if kind == "time":
        writer.add(f"elif {v}.__class__ is not str: moment({v})")
    if tests:
        writer.add("else:")
        for check, test in tests:
            writer.add(f"    if {test}: {broken(check, rule.name)}")


def _number(writer: Writer, rule: ColumnRule, kind: Kind, v: str, broken: Callable[[str, str], str]) -> None:
    """NaN and infinities are no value, and fail every comparison or lie outside every range: they are told apart only there."""
    low, high = (None if bound is None else writer.constant(bound) for bound in bounds(rule, kind))
    missing = "pass" if rule.nullable else f"found.append({writer.constant(Broken('nulls', rule.name))})"
    within = f"{low or 'NINF'} <= {v} <= {high or 'INF'}" if low or high else f"NINF < {v} < INF"
    writer.add(f"elif not {within}:")
    out = broken("range", rule.name) if low or high else "pass"
    writer.add(f"    if NINF < {v} < INF: {out}")
    writer.add(f"    else: {missing}")
    if low is None or high is None:
        writer.add(f"elif not NINF < {v} < INF: {missing}")
    if rule.vocabulary:
        writer.add(f"if {v} is not None and NINF < {v} < INF and {v} not in {writer.constant(frozenset(rule.vocabulary))}:")
        writer.add(f"    {broken('categories', rule.name)}")


def _of_bytes(text: str) -> int:
    """Bytes behind base64 text."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def _of_list(text: str) -> int:
    return len(msgspec.json.decode(text, type=list[Any]))


_LENGTHS: Mapping[Kind, str] = {"text": "len({v})", "bytes": "of_bytes({v})", "list": "of_list({v})"}
_TYPES: Mapping[Kind, tuple[type, ...]] = {"int": (int, float), "float": (int, float), "bool": (bool,)}


def _misfits(fits: Sequence[tuple[int, Kind, Broken]], row: Row) -> list[Broken]:
    """The features whose value is of another type than the signature says; only rows that could not be checked pay for this."""
    if len(row) <= max((at for at, _, _ in fits), default=-1):
        return [one for at, _, one in fits if at >= len(row)]
    return [one for at, kind, one in fits if row[at] is not None and not _fits(row[at], kind)] or [one for _, _, one in fits[:1]]


def _fits(value: object, kind: Kind) -> bool:
    if kind == "time":
        try:
            moment(value)
        except (TypeError, ValueError):
            return False
        return True
    types = _TYPES.get(kind, (str,))
    whole = kind != "int" or not isinstance(value, float) or (math.isfinite(value) and value.is_integer())
    return isinstance(value, types) and whole and (kind == "bool" or not isinstance(value, bool))
