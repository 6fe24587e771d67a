"""Whatever a person calls a schema -> ours: a Schema, a file, or one of another library's, through the adapter that knows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from everloop.core import plugins
from everloop.core.errors import BadInput
from everloop.core.schemas import Schema
from everloop.data.schema.file import load


def accept(thing: object, *, dataset: str) -> Schema:
    """`thing` is a Schema, the path of a file (`.json` ours, `.yaml` or `.yml` Pandera's), or a Pandera DataFrameSchema or DataFrameModel.

    Raises BadInput when it cannot be expressed here, by the name of what cannot, and Missing when its library is not installed.
    """
    if isinstance(thing, Schema):
        return thing
    if isinstance(thing, str | Path):
        path = Path(thing)
        return _adapter("pandera")(path, dataset) if path.suffix in (".yaml", ".yml") else load(path)
    libraries = {module.partition(".")[0] for module in (one.__module__ for one in _line(thing))}
    for name in plugins.names("schemas"):
        if name in libraries:
            return _adapter(name)(thing, dataset)
    known = ", ".join(["Schema", "a file's path", *plugins.names("schemas")])
    raise BadInput(f"{type(thing).__name__} is no schema. Known: {known}.")


def _line(thing: object) -> tuple[type, ...]:
    """The classes that it is made of; a model is a class itself."""
    return (thing if isinstance(thing, type) else type(thing)).__mro__


def _adapter(name: str) -> Callable[[object, str], Schema]:
    return cast("Callable[[object, str], Schema]", plugins.find("schemas", name))
