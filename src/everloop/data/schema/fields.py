"""What the fields of a column's line may be, and which of them go together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, get_args

from everloop.core.errors import BadInput
from everloop.core.rules.checks import MEASURED, NUMBERS
from everloop.core.rules.patterns import pattern
from everloop.core.rules.tree import INT_HIGH, INT_LOW
from everloop.core.schemas import OF_A_COLUMN, TOLERANT, ColumnRule, Stage, Weight

Accepts: TypeAlias = Callable[[Any], bool]
STAGES: tuple[str, ...] = get_args(Stage)
WEIGHTS: tuple[str, ...] = get_args(Weight)


@dataclass(frozen=True, slots=True)
class Problem:
    """With `known`, `said` is a name that is none of them, and `what` says of which kind."""

    field: str
    said: str
    what: str = ""
    known: tuple[str, ...] = ()


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    """No table holds larger ones."""
    return isinstance(value, int) and not isinstance(value, bool) and INT_LOW <= value <= INT_HIGH


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _count(value: Any) -> bool:
    return _whole(value) and value >= 0


def _words(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    found = cast("list[Any]", value)
    return all(isinstance(word, str) for word in found) or all(map(_whole, found))


def _or_none(accepts: Accepts) -> Accepts:
    return lambda value: value is None or accepts(value)


def _each(accepts: Accepts) -> Accepts:
    return lambda value: all(accepts(one) for one in cast("dict[str, Any]", value).values()) if isinstance(value, dict) else accepts(value)


def _is(kind: type) -> Accepts:
    return lambda value: isinstance(value, kind)


FIELDS: Mapping[str, tuple[Accepts, str]] = {
    "name": (_is(str), "text"),
    "kind": (_is(str), "text"),
    "required": (_is(bool), "true or false"),
    "nullable": (_is(bool), "true or false"),
    "max_null_share": (_or_none(_share), "a share between 0 and 1"),
    "low": (_or_none(_number), "a number"),
    "high": (_or_none(_number), "a number"),
    "vocabulary": (_or_none(_words), "a list of texts, or of whole numbers"),
    "pattern": (_or_none(_is(str)), "the text of a regular expression"),
    "min_length": (_or_none(_count), "a whole number"),
    "max_length": (_or_none(_count), "a whole number"),
    "unique": (_is(bool), "true or false"),
    "severity": (_or_none(_each(lambda value: value in WEIGHTS)), '"stop" or "warn", or one of them for each check'),
    "tolerance": (_or_none(_each(_share)), "a share between 0 and 1, or one for each check"),
    "absent_in": (_is(list), "a list of stages"),
}


OF_A_TABLE: Mapping[str, tuple[Accepts, str]] = {
    "dataset": (_is(str), "text"),
    "min_rows": (_count, "a whole number"),
    "max_rows": (_or_none(_count), "a whole number"),
}


def column_problem(rule: ColumnRule) -> Problem | None:
    """What does not go together in a column whose fields are each of the right type."""
    return _unknown_name(rule) or _wrong_kind(rule) or _wrong_order(rule) or _wrong_pattern(rule)


def _unknown_name(rule: ColumnRule) -> Problem | None:
    for field, known in (("severity", OF_A_COLUMN), ("tolerance", TOLERANT)):
        value = getattr(rule, field)
        for check in cast("Mapping[str, object]", value) if isinstance(value, Mapping) else ():
            if check not in known:
                return Problem(field, check, "check", known)
    return None


def _wrong_kind(rule: ColumnRule) -> Problem | None:
    words = rule.vocabulary or ()
    for field, kinds, what in (
        ("low", NUMBERS, "a limit of numbers"),
        ("high", NUMBERS, "a limit of numbers"),
        ("pattern", ("text",), "a form of texts"),
        ("min_length", MEASURED, "a length of texts, bytes and lists"),
        ("max_length", MEASURED, "a length of texts, bytes and lists"),
        ("vocabulary", ("text", "int"), "a list of words or whole numbers"),
    ):
        if getattr(rule, field) is not None and rule.kind not in kinds:
            return Problem(field, f"'{field}' is {what}, and column {rule.name!r} is {rule.kind}")
    if any(isinstance(word, str) != (rule.kind == "text") for word in words):
        return Problem(
            "vocabulary", f"'vocabulary' of column {rule.name!r} is a list of {'texts' if rule.kind == 'text' else 'whole numbers'}"
        )
    return None


def _wrong_order(rule: ColumnRule) -> Problem | None:
    if rule.low is not None and rule.high is not None and rule.low > rule.high:
        return Problem("low", f"column {rule.name!r} has low {rule.low:g} above high {rule.high:g}")
    if rule.min_length is not None and rule.max_length is not None and rule.min_length > rule.max_length:
        return Problem("min_length", f"column {rule.name!r} has min_length {rule.min_length} above max_length {rule.max_length}")
    if rule.max_null_share is not None and not rule.nullable:
        return Problem("max_null_share", f'column {rule.name!r} has a max_null_share, but is not nullable; add "nullable": true')
    return None


def _wrong_pattern(rule: ColumnRule) -> Problem | None:
    try:
        if rule.pattern is not None:
            pattern(rule.pattern)
    except BadInput as error:
        return Problem("pattern", str(error).removesuffix("."))
    return None
