"""A module's name -> where its code comes from: the project, an installed distribution, or Python itself."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from everloop.core.digest import digest
from everloop.engine.distributions import library, requirements, version_anywhere

_OWN = Path(__file__).parents[1]
_STDLIB = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_INSTALLED = ("site-packages", "dist-packages")
# A script is `__main__`, and `__mp_main__` in the processes that multiprocessing starts for it.
_MAIN = ("__main__", "__mp_main__")


class Origin(NamedTuple):
    """`file` and `top`, the top-level package, are empty unless `kind` is `library`."""

    kind: Literal["project", "library", "python"]
    file: str = ""
    top: str = ""


_PROJECT, _PYTHON = Origin("project"), Origin("python")


def origin(module: str) -> Origin:
    """Where a module comes from. It is never imported for that. One that nobody can find, such as a notebook's, is the project's."""
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if found is None:
        return _located(module)
    if not isinstance(file, str):
        return _located(module) if getattr(found, "__spec__", None) is not None else _nameless(module)
    return _of_file(file, module.partition(".")[0])


def distribution(found: Origin) -> tuple[str, str]:
    """(name, version) of the distribution that a library's module belongs to."""
    if found.top == _OWN.name and Path(found.file).is_relative_to(_OWN):
        return found.top, _own_version()
    return library(found.file, found.top, _site(found.file))


def label(module: str) -> str:
    """The name under which a module's code is known: `loop` also when `loop.py` is the script that runs."""
    if module not in _MAIN:
        return module
    main = sys.modules.get(module) or sys.modules["__main__"]
    spec: ModuleSpec | None = getattr(main, "__spec__", None)
    if spec is not None:
        return spec.name.removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if isinstance(file, str) else "__main__"


def _nameless(module: str) -> Origin:
    top = module.partition(".")[0]
    return _PYTHON if top in sys.stdlib_module_names and top not in _MAIN else _PROJECT


@cache
def _located(module: str) -> Origin:
    """Of a module that is not loaded, or has no file: builtin, frozen, or a namespace package. As it will be when it is loaded."""
    top, *rest = module.split(".")
    if top in sys.builtin_module_names:
        return _PYTHON
    try:
        spec = find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        return _nameless(top)
    if spec.origin and spec.origin not in ("built-in", "frozen"):
        return _of_file(spec.origin, top)
    places = list(spec.submodule_search_locations or [])
    return _of_file(_within(places, rest), top) if places else _PYTHON


def _within(places: list[str], rest: list[str]) -> str:
    """The file or folder of a part of a namespace package, which lies in several places."""
    for part in rest:
        wanted = [os.path.join(place, part, "__init__.py") for place in places] + [os.path.join(place, f"{part}.py") for place in places]
        found = next(filter(os.path.isfile, wanted), None)
        if found is not None:
            return found
        deeper = [folder for place in places if os.path.isdir(folder := os.path.join(place, part))]
        if not deeper:
            break
        places = deeper
    return places[0]


@cache
def _of_file(file: str, top: str) -> Origin:
    parts = Path(file).parts
    if (top == _OWN.name and Path(file).is_relative_to(_OWN)) or any(place in parts for place in _INSTALLED):
        return Origin("library", file, top)
    return _PYTHON if file.startswith(_STDLIB) or file.startswith("<frozen") else _PROJECT


@cache
def _own_version() -> str:
    """everloop counts as one library, also where it is installed in place and edited: then every edit of it is another version.

    Its own steps reach its dependencies by name only, where no digest of code can follow; so the versions of all of them count too.
    """
    parts = [f"{name}=={version}" for name in requirements(_OWN.name) if (version := version_anywhere(name))]
    if not any(place in _OWN.parts for place in _INSTALLED):
        parts += [digest(path.read_bytes()) for path in sorted(_OWN.rglob("*.py"))]
    return f"{version_anywhere(_OWN.name)}+{digest(parts)[:16]}"


def _site(file: str) -> str:
    return str(next(folder for folder in (Path(file), *Path(file).parents) if folder.name in _INSTALLED))
