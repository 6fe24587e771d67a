"""The inputs of a call: what they are makes its key, and they must stay that until the result is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from everloop.engine import refusals
from everloop.engine.book import change
from everloop.engine.call import Call
from everloop.engine.canonical import SCALARS
from everloop.engine.code import code_digest
from everloop.engine.handle import handles
from everloop.engine.keys import Key, key
from everloop.engine.origin import distribution, origin
from everloop.engine.surroundings import NOTHING, surroundings
from everloop.engine.watch import Watched, changed, watch

# What results of these formats are when they are loaded; other formats have the name of their library.
_OBJECTS_OF = {"table": "polars", "series": "polars", "arrow": "pyarrow", "pandas-series": "pandas", "array": "numpy"}
_PLAIN = frozenset({"builtins", "json", "record", "own", "file", "folder", "bundle", "pickle", "everloop"})


def hold_still(call: Call) -> None:
    """A call that has to wait for other steps: nobody may change its plain parameters meanwhile."""
    call.early = watch(call.arguments)


def key_of(call: Call, project: Path) -> Key:
    """All inputs are there. Raises BadInput for what has no identity, or changed since the call."""
    step = call.step
    settings = step.settings
    where = f" ({step.place})"
    inputs = {where: handle.output for name, value in call.arguments.items() for where, handle in handles(value, name)}
    around = NOTHING
    if settings.depends_on or settings.env:
        around = surroundings(settings.depends_on, settings.env, project, step=step.name, where=where)
    code = code_digest(step)
    found = key(
        step.name,
        code,
        call.arguments,
        inputs=inputs,
        version=settings.version,
        where=where,
        surroundings=around,
        libraries=_libraries(call.arguments),
    )
    if call.early is not None:
        check_unchanged(call, call.early)
    change(call, key=found.digest, inputs=inputs)
    return found


def _libraries(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Distribution -> version of what the arguments are objects of: on equal content another version may compute otherwise."""
    tops: set[str] = set()
    for value in arguments.values():
        if type(value) in SCALARS:
            continue
        tops |= {kind.__module__.partition(".")[0] for kind in {type(member) for member in _members(value)} - SCALARS}
        tops |= {_OBJECTS_OF.get(type, type.partition(".")[0]) for type in {handle.artifact.type for _, handle in handles(value)}}
    places = [origin(top) for top in sorted(tops - _PLAIN)]
    return dict(distribution(place) for place in places if place.kind == "library")


def _members(value: Any) -> Iterable[object]:
    if type(value) is dict:
        return cast("dict[object, object]", value).values()
    return cast("list[object]", value) if type(value) in (list, tuple) else (value,)


def check_unchanged(call: Call, watched: Watched) -> None:
    """Before the body: it shall see what the key was made of."""
    found = changed(watched, call.arguments)
    if found:
        raise refusals.changed_before(call.step, found[0])


def check_kept(call: Call, *, files_only: bool) -> None:
    """After the body: a result is that of its inputs only if they are still what they were. `files_only`: it had copies of the parameters."""
    if call.key is None or call.step.settings.effect:
        return
    found = changed(call.key.watched._replace(forms={}) if files_only else call.key.watched, call.arguments)
    if found:
        raise refusals.changed_while(call.step, found[0])
