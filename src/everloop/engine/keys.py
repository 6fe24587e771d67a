"""Step, code, parameters, inputs and surroundings -> the key under which the result is kept, and its parts, by which a miss is explained."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping
from typing import NamedTuple, cast

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.engine.canonical import Canon, NoForm, culprit
from everloop.engine.code import Code, code_form, folded
from everloop.engine.surroundings import NOTHING, Surroundings
from everloop.engine.watch import Walk, Watched

# Grows when keys or stored forms change their meaning: what was kept before is then not found again.
SCHEMA = "everloop-key-2"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# Enough to see a difference by; the key itself is whole.
_SHOWN_HEX = 12
# More parts of code than this are told by module: the detail is stored with every result.
_MOST_PARTS = 150
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 40
_short.maxlevel = 2


class Key(NamedTuple):
    """`detail` is plain JSON: schema, Python, version, and by name the parts of code, libraries, parameters (short text, digest),
    inputs and surroundings. `watched` is for `watch.changed`."""

    digest: str
    code: str
    detail: Mapping[str, object]
    watched: Watched = Watched()


def canonical(value: object) -> object:
    """Plain, tagged lists that are equal exactly when the values are, type and order included. Raises BadInput with a cure.

    Paths count by content and last name, records by id, functions and classes by code, tables and arrays by content, objects by
    class and state. Generators, open files, locks and bare `object()`s have no form.
    """
    try:
        return Canon(code_form, strict=True).form(value)
    except RecursionError:
        raise NoForm(_TOO_DEEP) from None


def key(
    step: str,
    code: Code,
    params: Mapping[str, object],
    *,
    inputs: Mapping[str, str] | None = None,
    version: str = "",
    where: str = "",
    surroundings: Surroundings = NOTHING,
    libraries: Mapping[str, str] | None = None,
) -> Key:
    """The key of one call. `params` are the bound arguments with handles still in them; `inputs` name what the handles hold. `libraries`
    are the versions of those whose objects the body is given, beside those that its code names."""
    walk = Walk()
    forms: dict[str, str] = {}
    for name, value in params.items():
        try:
            forms[name] = walk.digest(name, value)
        except (NoForm, RecursionError) as error:
            raise BadInput(_refusal(step, where, name, value, error)) from error
    detail: dict[str, object] = {
        "schema": SCHEMA,
        "python": PYTHON,
        "version": version,
        "code": _shown(folded(code, _MOST_PARTS)),
        "libraries": {**code.libraries, **libraries} if libraries else code.libraries,
        "params": {name: [_text(params[name]), form[:_SHOWN_HEX]] for name, form in forms.items()},
        "inputs": dict(inputs or {}),
    }
    fields: list[object] = [SCHEMA, PYTHON, step, code.digest, forms, version]
    if libraries:
        fields.append(["libraries", dict(libraries)])
    if surroundings.parts:
        detail["surroundings"] = _shown(surroundings.parts)
        fields.append(surroundings.parts)
    return Key(digest(*fields), code.digest, detail, walk.watched(surroundings))


def because(detail: Mapping[str, object], last: Mapping[str, object] | None) -> str:
    """Why there is no result under this key, against the step's newest one: `helpers.scale changed; parameter folds: 5 -> 6`."""
    if last is None:
        return "first run"
    if detail.get("schema") != last.get("schema"):
        return "another version of everloop makes its keys differently"
    reasons = [
        *_part_reasons(_table(detail, "code"), _table(last, "code")),
        *_library_reasons(_table(detail, "libraries"), _table(last, "libraries")),
        *_parameter_reasons(detail, last),
        *_surrounding_reasons(_table(detail, "surroundings"), _table(last, "surroundings")),
    ]
    for name, word in (("version", "version"), ("python", "Python")):
        if detail.get(name) != last.get(name):
            reasons.append(f"{word} {last.get(name) or 'none'} -> {detail.get(name) or 'none'}")
    reasons = reasons or _news(_table(detail, "libraries"), _table(last, "libraries"))
    if not reasons:
        return "its stored result is gone"
    more = f"; and {len(reasons) - 4} more" if len(reasons) > 4 else ""
    return "; ".join(reasons[:4]) + more


def _part_reasons(now: Mapping[str, object], before: Mapping[str, object]) -> list[str]:
    # A function that begins to use another has changed itself; the news alone explain only when nothing else does.
    return [f"{name} changed" for name in now if name in before and now[name] != before[name]] or _news(now, before)


def _surrounding_reasons(now: Mapping[str, object], before: Mapping[str, object]) -> list[str]:
    return [f"{name} changed" for name in now if name in before and now[name] != before[name]] + _news(now, before)


def _news(now: Mapping[str, object], before: Mapping[str, object]) -> list[str]:
    return [f"{name} is new" for name in now if name not in before] + [f"{name} is gone" for name in before if name not in now]


def _library_reasons(now: Mapping[str, object], before: Mapping[str, object]) -> list[str]:
    return [f"{name} {before[name]} -> {now[name]}" for name in now if name in before and now[name] != before[name]]


def _parameter_reasons(detail: Mapping[str, object], last: Mapping[str, object]) -> list[str]:
    inputs, inputs_before = _table(detail, "inputs"), _table(last, "inputs")
    reasons = [f"input {name} changed" for name in inputs if name in inputs_before and inputs[name] != inputs_before[name]]
    changed = {name.partition("[")[0] for name in inputs if inputs.get(name) != inputs_before.get(name)}
    now, before = _table(detail, "params"), _table(last, "params")
    for name in sorted(now.keys() | before.keys()):
        new, old = cast("list[str] | None", now.get(name)), cast("list[str] | None", before.get(name))
        if new is None or old is None:
            reasons.append(f"parameter {name} is {'gone' if new is None else 'new'}")
        elif new[1] != old[1] and name not in changed:
            reasons.append(f"parameter {name}: {old[0]} -> {new[0]}" if new[0] != old[0] else f"parameter {name} changed")
        elif new[1] != old[1] and not any(reason.startswith(f"input {name}") for reason in reasons):
            reasons.append(f"input {name} changed")
    return reasons


_TOO_DEEP = "the value is nested too deeply to be compared"
_CURE = "Pass plain data, a table, a file or an object with plain attributes, or declare the step with effect=True"


def _refusal(step: str, where: str, name: str, value: object, error: NoForm | RecursionError) -> str:
    reason = _TOO_DEEP if isinstance(error, RecursionError) else str(error)
    place = name if isinstance(error, RecursionError) else culprit(value, name, code_form)
    at = f"{place}: " if place != name else ""
    # Some reasons bring their own cure, as a second sentence.
    cure = "" if ". " in reason else f" {_CURE}."
    return f"Step {step!r}{where}: the parameter {name!r} cannot be part of a key: {at}{reason}.{cure}"


def _shown(parts: Mapping[str, str]) -> dict[str, str]:
    return {name: part[:_SHOWN_HEX] for name, part in parts.items()}


def _table(detail: Mapping[str, object], name: str) -> Mapping[str, object]:
    return cast("Mapping[str, object]", detail.get(name) or {})


def _text(value: object) -> str:
    if isinstance(value, bool | int | float | str | bytes | list | tuple | dict | set | frozenset | None):
        return _short.repr(cast("object", value))
    return type(value).__qualname__
