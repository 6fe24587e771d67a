"""Two schemas -> what has changed, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from everloop.core.schemas import ColumnRule, RowRule, Schema

_SHOWN = 5


def difference(old: Schema, new: Schema) -> list[str]:
    """Empty when both ask the same. Columns in the new order, those that are gone first; a pure change of order is said once."""
    return [*_columns(old, new), *_table(old, new), *_rules(old, new)]


def _columns(old: Schema, new: Schema) -> Iterator[str]:
    before = {rule.name: rule for rule in old.columns}
    after = {rule.name: rule for rule in new.columns}
    for name, rule in before.items():
        if name not in after:
            yield f"column {name!r} ({rule.kind}) is gone"
    for name, rule in after.items():
        if name not in before:
            yield f"column {name!r} ({rule.kind}) is new"
        else:
            yield from _column(before[name], rule)
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield "the columns stand in another order"


def _column(old: ColumnRule, new: ColumnRule) -> Iterator[str]:
    name = new.name
    if old.kind != new.kind:
        yield f"column {name!r} is {new.kind}, was {old.kind}"
    if old.required != new.required:
        yield f"column {name!r} {'must be there now' if new.required else 'may be absent now'}"
    if old.nullable != new.nullable:
        yield f"column {name!r} {'may be null now' if new.nullable else 'may not be null any more'}"
    if (old.low, old.high) != (new.low, new.high):
        yield f"column {name!r} ranges {_range(new.low, new.high)}, was {_range(old.low, old.high)}"
    if (old.min_length, old.max_length) != (new.min_length, new.max_length):
        yield f"column {name!r} is {_range(new.min_length, new.max_length)} long, was {_range(old.min_length, old.max_length)}"
    if old.unique != new.unique:
        yield f"column {name!r} {'must be unique now' if new.unique else 'need not be unique any more'}"
    if old.vocabulary != new.vocabulary:
        yield from _vocabulary(name, old.vocabulary, new.vocabulary)
    for field, words in (
        ("pattern", "pattern"),
        ("max_null_share", "largest share of nulls"),
        ("severity", "severity"),
        ("tolerance", "tolerance"),
    ):
        if getattr(old, field) != getattr(new, field):
            yield f"the {words} of column {name!r} is {_value(getattr(new, field))}, was {_value(getattr(old, field))}"
    if old.absent_in != new.absent_in:
        yield f"column {name!r} is absent in {_value(new.absent_in)}, was in {_value(old.absent_in)}"


def _vocabulary(name: str, old: tuple[str | int, ...] | None, new: tuple[str | int, ...] | None) -> Iterator[str]:
    if old is None or new is None:
        yield f"column {name!r} " + (f"has a vocabulary of {len(new)} now" if new is not None else "has no vocabulary any more")
        return
    added, gone = [word for word in new if word not in old], [word for word in old if word not in new]
    if added:
        yield f"column {name!r} may be {_listed(added)} now"
    if gone:
        yield f"column {name!r} may not be {_listed(gone)} any more"
    if not added and not gone:
        yield f"the vocabulary of column {name!r} stands in another order"


def _table(old: Schema, new: Schema) -> Iterator[str]:
    if old.dataset != new.dataset:
        yield f"the dataset is {new.dataset!r}, was {old.dataset!r}"
    if old.extra_columns != new.extra_columns:
        yield "columns that are not in the schema " + ("stop the run now" if new.extra_columns == "stop" else "only warn now")
    for field, words in (("min_rows", "least"), ("max_rows", "largest")):
        if getattr(old, field) != getattr(new, field):
            yield f"the {words} number of rows is {_value(getattr(new, field))}, was {_value(getattr(old, field))}"
    if old.freshness != new.freshness:
        said = [
            f"{fresh.column!r} within {fresh.within} ({fresh.severity})" if fresh else "none" for fresh in (new.freshness, old.freshness)
        ]
        yield f"the freshness is {said[0]}, was {said[1]}"


def _rules(old: Schema, new: Schema) -> Iterator[str]:
    keys = [{key.columns: key for key in schema.keys} for schema in (old, new)]
    for columns in keys[0].keys() - keys[1].keys():
        yield f"{', '.join(map(repr, columns))} need not be a key any more"
    for columns in keys[1].keys() - keys[0].keys():
        yield f"{', '.join(map(repr, columns))} must be a key now"
    for columns in keys[0].keys() & keys[1].keys():
        if keys[0][columns] != keys[1][columns]:
            yield f"the severity of the key {', '.join(map(repr, columns))} is {keys[1][columns].severity!r}, was {keys[0][columns].severity!r}"
    before, after = _titled(old), _titled(new)
    yield from (f"rule {title!r} is gone" for title in before if title not in after)
    for title, rule in after.items():
        if title not in before:
            yield f"rule {title!r} is new" + (f": {rule.check}" if rule.name else "")
        elif before[title] != rule:
            fields = cast("dict[str, object]", msgspec.to_builtins(rule))
            changed = [field for field in RowRule.__struct_fields__ if getattr(before[title], field) != getattr(rule, field)]
            yield f"rule {title!r} has changed: " + ", ".join(f"{field} is {_value(fields.get(field))}" for field in changed)


def _titled(schema: Schema) -> Mapping[str, RowRule]:
    return {rule.title: rule for rule in schema.rules}


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "anywhere"
    if low is None or high is None:
        return f"up to {high:g}" if low is None else f"from {low:g}"
    return f"from {low:g} to {high:g}"


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case tuple() | list():
            return _listed(list(cast("Any", value)))
        case Mapping():
            return ", ".join(f"{name} {one}" for name, one in cast("Mapping[str, object]", value).items())
        case _:
            return repr(value)


def _listed(values: list[Any]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return (", ".join(map(repr, values[:_SHOWN])) or "nothing") + more
