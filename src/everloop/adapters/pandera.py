"""A Pandera DataFrameSchema, DataFrameModel or YAML file -> our schema.

What Pandera refuses stops here too, and what it only warns of (`raise_warning`) warns. Checks that only code can express, and whatever changes data instead of
checking it, are refused by name: a rule that silently went missing would be the worst of all conversions. Pandera itself is imported only to read its
YAML; objects are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from everloop.core.errors import BadInput, Missing, NotFound
from everloop.core.rules.expression import parse
from everloop.core.rules.patterns import pattern
from everloop.core.schemas import ColumnRule, Key, RowRule, Schema, Weight
from everloop.core.tables import Kind

_KINDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("bool", ("bool",)),
    ("int", ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int", "uint")),
    ("float", ("float16", "float32", "float64", "float", "decimal", "timedelta", "timedelta64")),
    ("time", ("datetime", "timestamp", "date", "time")),
    ("text", ("string", "str", "category", "categorical", "enum", "object", "npstring")),
    ("bytes", ("binary",)),
    ("list", ("list", "array")),
)
_CHANGES = ("parsers", "default", "drop_invalid_rows", "add_missing_columns", "ordered")


def convert(thing: object, dataset: str) -> Schema:
    """Raises BadInput that names everything that has no counterpart here."""
    pandera: Any = _from_yaml(thing) if isinstance(thing, Path) else thing
    if isinstance(pandera, type) or not hasattr(pandera, "columns"):
        pandera = pandera.to_schema()
    refused = list(_table_refusals(pandera))
    columns: list[ColumnRule] = []
    rules: list[RowRule] = []
    for name, column in cast("Mapping[str, Any]", pandera.columns).items():
        found = _Column(str(name), column)
        refused += found.refused
        if not found.refused:
            columns.append(found.rule())
            rules += found.rules
    if refused:
        raise BadInput(
            f"The Pandera schema {getattr(pandera, 'name', None) or dataset!r} has what no rule here can express: {'; '.join(refused)}. "
            "Take it out, and write what it means as a rule of the schema's file, or as a step of the pipeline."
        )
    return Schema(
        dataset=dataset,
        columns=tuple(columns),
        extra_columns="stop" if pandera.strict is True else "warn",
        keys=(Key(columns=tuple(_names(pandera.unique)), severity="stop"),) if pandera.unique else (),
        rules=tuple(rules),
    )


def _from_yaml(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"There is no schema at {path}.") from None
    try:
        if "polars_dataframe" in text:
            from pandera.polars import DataFrameSchema
        else:
            from pandera.pandas import DataFrameSchema
    except ImportError as error:
        raise Missing(
            f"{path} is Pandera's YAML, and {error.name or 'pandera'} is not installed. Install it: pip install 'everloop[pandera]'"
        ) from error
    try:
        return DataFrameSchema.from_yaml(text)
    except Exception as error:  # whatever its YAML library raises
        raise BadInput(f"{path} is no schema that Pandera can read ({type(error).__name__}: {str(error)[:300]}).") from error


def _names(unique: str | Sequence[str]) -> Sequence[str]:
    return [unique] if isinstance(unique, str) else unique


def _table_refusals(pandera: Any) -> Iterator[str]:
    for check in pandera.checks or ():
        yield f"the check {_title(check)} of the whole table"
    if getattr(pandera, "index", None) is not None:
        yield "the index (tables have none here: make it a column)"
    if pandera.strict == "filter":
        yield "strict='filter'"
    for name in _CHANGES:
        if getattr(pandera, name, None):
            yield f"{name}"


@dataclass
class _Column:
    """One column on its way: what could be said as fields, what as rules over a row, and what not at all."""

    name: str
    column: Any
    kind: Kind = "text"
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    weights: dict[str, Weight] = field(default_factory=dict[str, Weight])
    rules: list[RowRule] = field(default_factory=list[RowRule])
    refused: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        column = self.column
        if getattr(column, "regex", False):
            self.refused.append(f"the columns that match {self.name!r} (name each)")
            return
        kind = _kind(column.dtype)
        if kind is None:
            self.refused.append(f"the type {column.dtype} of column {self.name!r}")
            return
        self.kind = kind
        self.refused += [f"{name} of column {self.name!r}" for name in _CHANGES if getattr(column, name, None) not in (None, False, [], ())]
        categories = getattr(column.dtype, "categories", None)
        if categories is not None:
            self.limits["vocabulary"] = tuple(map(str, categories))
        for check in column.checks or ():
            try:
                taken = self._take(check)
            except BadInput as error:
                self.refused.append(f"the check {_title(check)} of column {self.name!r} ({error})")
                continue
            if not taken:
                self.refused.append(f"the check {_title(check)} of column {self.name!r}")

    def rule(self) -> ColumnRule:
        # Pandera fails on a single value; so the column stops on one, but for the checks that only warn there.
        severity: Any = {check: self.weights.get(check, "stop") for check in _checks_of(self.limits, self.column)}
        return ColumnRule(
            name=self.name,
            kind=self.kind,
            required=bool(self.column.required),
            nullable=bool(self.column.nullable),
            unique=bool(self.column.unique),
            severity=severity or None,
            tolerance=0.0 if {"low", "high"} & set(self.limits) else None,
            **self.limits,
        )

    def _take(self, check: Any) -> bool:
        """Whether the check could be expressed."""
        take = _TAKES.get(check.name or "")
        if take is None or not _is_builtin(check) or getattr(check, "groupby", None) is not None:
            return False
        weight: Weight = "warn" if check.raise_warning else "stop"
        return take(self, dict(check.statistics or {}), weight)

    def limit(self, name: str, value: Any, check: str, weight: Weight) -> bool:
        """A field of the column; the narrower one where it is given twice, unless one stops and the other warns."""
        if self.weights.setdefault(check, weight) != weight:
            return False
        known = self.limits.get(name)
        narrower = max if name in ("low", "min_length") else min
        self.limits[name] = value if known is None else narrower(known, value)
        return True

    def relate(self, condition: str, weight: Weight) -> bool:
        text = f"pl.col({self.name!r}){condition}"
        parse(text, {self.name: self.kind})
        self.rules.append(RowRule(check=text, severity=weight))
        return True


def _checks_of(limits: Mapping[str, Any], column: Any) -> list[str]:
    checks = [] if column.nullable else ["nulls"]
    for check, fields in (
        ("range", ("low", "high")),
        ("categories", ("vocabulary",)),
        ("pattern", ("pattern",)),
        ("lengths", ("min_length", "max_length")),
    ):
        if any(name in limits for name in fields):
            checks.append(check)
    return [*checks, *(["unique"] if column.unique else [])]


def _bound(side: str, *, strict: bool) -> Callable[[_Column, dict[str, Any], Weight], bool]:
    def take(column: _Column, said: dict[str, Any], weight: Weight) -> bool:
        return _limit(column, side, said["min_value" if side == "low" else "max_value"], strict, weight)

    return take


def _limit(column: _Column, side: str, value: Any, strict: bool, weight: Weight) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool) and column.kind in ("int", "float")
    if plain and (not strict or (column.kind == "int" and isinstance(value, int))):
        step = (1 if side == "low" else -1) if strict else 0
        return column.limit(side, float(value + step), "range", weight)
    sign = (">" if side == "low" else "<") + ("" if strict else "=")
    return column.relate(f" {sign} {_literal(value)}", weight)


def _in_range(column: _Column, said: dict[str, Any], weight: Weight) -> bool:
    low = _limit(column, "low", said["min_value"], not said.get("include_min", True), weight)
    return low and _limit(column, "high", said["max_value"], not said.get("include_max", True), weight)


def _isin(column: _Column, said: dict[str, Any], weight: Weight) -> bool:
    words = list(said["allowed_values"])
    whole = column.kind == "int" and all(isinstance(word, int) and not isinstance(word, bool) for word in words)
    texts = column.kind == "text" and all(isinstance(word, str) for word in words)
    if words and (whole or texts) and "vocabulary" not in column.limits and column.weights.setdefault("categories", weight) == weight:
        column.limits["vocabulary"] = tuple(sorted(words))
        return True
    return column.relate(f".is_in([{', '.join(map(_literal, words))}])", weight)


def _matches(column: _Column, said: dict[str, Any], weight: Weight) -> bool:
    """Pandera's match begins at the beginning and ends anywhere; ours is of the whole text."""
    text = _pattern_text(said["pattern"])
    whole = text.startswith("^") and text.endswith("$") and not text.endswith(r"\$") and "|" not in text
    if whole and "pattern" not in column.limits and column.weights.setdefault("pattern", weight) == weight:
        pattern(text)
        column.limits["pattern"] = text
        return True
    return column.relate(f".str.contains({f'^(?:{text})'!r})", weight)


def _lengths(column: _Column, said: dict[str, Any], weight: Weight) -> bool:
    exact = said.get("exact_value")
    low, high = (exact, exact) if exact is not None else (said.get("min_value"), said.get("max_value"))
    taken = [
        column.limit(name, value, "lengths", weight) for name, value in (("min_length", low), ("max_length", high)) if value is not None
    ]
    return all(taken)


def _relation(form: Callable[[dict[str, Any]], str]) -> Callable[[_Column, dict[str, Any], Weight], bool]:
    return lambda column, said, weight: column.relate(form(said), weight)


_TAKES: Mapping[str, Callable[[_Column, dict[str, Any], Weight], bool]] = {
    "greater_than": _bound("low", strict=True),
    "greater_than_or_equal_to": _bound("low", strict=False),
    "less_than": _bound("high", strict=True),
    "less_than_or_equal_to": _bound("high", strict=False),
    "in_range": _in_range,
    "isin": _isin,
    "str_matches": _matches,
    "str_length": _lengths,
    "notin": _relation(lambda said: f".is_in([{', '.join(map(_literal, said['forbidden_values']))}]) == False"),
    "equal_to": _relation(lambda said: f" == {_literal(said['value'])}"),
    "not_equal_to": _relation(lambda said: f" != {_literal(said['value'])}"),
    "str_contains": _relation(lambda said: f".str.contains({_pattern_text(said['pattern'])!r})"),
    "str_startswith": _relation(lambda said: f".str.starts_with({said['string']!r})"),
    "str_endswith": _relation(lambda said: f".str.ends_with({said['string']!r})"),
}


def _is_builtin(check: Any) -> bool:
    """A check of a person's own may have the name of a built-in one."""
    known = getattr(type(check), check.name or "", None)
    return known is not None and bool(check.statistics)


def _literal(value: Any) -> str:
    if all(hasattr(value, name) for name in ("year", "month", "day")):
        clock = f", {value.hour}, {value.minute}, {value.second}" if hasattr(value, "hour") else ""
        return f"pl.datetime({value.year}, {value.month}, {value.day}{clock})"
    return repr(value.item() if hasattr(value, "item") else value)


def _pattern_text(value: Any) -> str:
    return str(getattr(value, "pattern", value))


def _title(check: Any) -> str:
    return repr(check.name or getattr(getattr(check, "_check_fn", None), "__name__", "without a name"))


def _kind(dtype: Any) -> Kind | None:
    names = {cls.__name__.lower() for cls in type(dtype).__mro__ if cls is not object}
    return next((kind for kind, known in _KINDS if names.intersection(known)), None)
