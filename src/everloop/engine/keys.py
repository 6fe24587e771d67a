"""Step, code, parameters and inputs -> the key under which the result is kept, and its parts, by which a miss is explained."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping
from typing import NamedTuple, cast

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.engine.canonical import Canon, NoForm
from everloop.engine.code import Code, code_form

# Grows when keys or stored forms change their meaning: what was kept before is then not found again.
SCHEMA = "everloop-key-1"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# Enough to see a difference by; the key itself is whole.
_SHOWN_HEX = 16
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 40
_short.maxlevel = 2


class Key(NamedTuple):
    """`detail` is plain JSON: code parts, parameters (short text, digest), inputs, `version`, Python."""

    digest: str
    code: str
    detail: Mapping[str, object]


def canonical(value: object) -> object:
    """Plain, tagged lists that are equal exactly when the values are, type and order included. Raises BadInput with a cure.

    Paths count by content and last name, records by id, functions and classes by code, tables and arrays by content, objects by
    class and state. Generators, open files, locks and bare `object()`s have no form.
    """
    try:
        return Canon(code_form, strict=True).form(value)
    except RecursionError:
        raise NoForm("the value is nested too deeply to be compared") from None


def key(
    step: str, code: Code, params: Mapping[str, object], *, inputs: Mapping[str, str] | None = None, version: str = "", where: str = ""
) -> Key:
    """The key of one call. `params` are the bound arguments with handles still in them; `inputs` name what the handles hold."""
    forms: dict[str, str] = {}
    for name, value in params.items():
        try:
            forms[name] = digest(canonical(value))
        except NoForm as error:
            raise BadInput(
                f"Step {step!r}{where}: the parameter {name!r} cannot be part of a key: {error}. "
                "Pass plain data, a table, a file or an object with plain attributes, or declare the step with effect=True."
            ) from error
    detail = {
        "code": {name: part[:_SHOWN_HEX] for name, part in code.parts.items()},
        "params": {name: [_text(params[name]), form[:_SHOWN_HEX]] for name, form in forms.items()},
        "inputs": dict(inputs or {}),
        "version": version,
        "python": PYTHON,
    }
    return Key(digest(SCHEMA, PYTHON, step, code.digest, forms, version), code.digest, detail)


def because(detail: Mapping[str, object], last: Mapping[str, object] | None) -> str:
    """Why there is no result under this key, against the step's newest one: `helpers.scale changed; parameter folds: 5 -> 6`."""
    if last is None:
        return "first run"
    reasons = [*_code_reasons(_table(detail, "code"), _table(last, "code")), *_parameter_reasons(detail, last)]
    for name, word in (("version", "version"), ("python", "Python")):
        if detail.get(name) != last.get(name):
            reasons.append(f"{word} {last.get(name) or 'none'} -> {detail.get(name) or 'none'}")
    if not reasons:
        return "its stored result is gone"
    more = f"; and {len(reasons) - 4} more" if len(reasons) > 4 else ""
    return "; ".join(reasons[:4]) + more


def _code_reasons(now: Mapping[str, object], before: Mapping[str, object]) -> list[str]:
    changed = [name for name in now if name in before and now[name] != before[name]]
    reasons = [f"{name} changed" if len(str(now[name])) == _SHOWN_HEX else f"{name} {before[name]} -> {now[name]}" for name in changed]
    # A function that begins to use another has changed itself; the news alone explain only when nothing else does.
    if not reasons:
        reasons = [f"{name} is new" for name in now if name not in before] + [f"{name} is gone" for name in before if name not in now]
    return reasons


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


def _table(detail: Mapping[str, object], name: str) -> Mapping[str, object]:
    return cast("Mapping[str, object]", detail.get(name) or {})


def _text(value: object) -> str:
    if isinstance(value, bool | int | float | str | bytes | list | tuple | dict | set | frozenset | None):
        return _short.repr(cast("object", value))
    return type(value).__qualname__
