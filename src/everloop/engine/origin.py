"""A module's name -> where its code comes from: the project, an installed distribution, or Python itself."""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from contextlib import suppress
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from everloop.core.digest import digest

_OWN = Path(__file__).parents[1]
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_STDLIB = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_INSTALLED = ("site-packages", "dist-packages")


class Origin(NamedTuple):
    """`name` and `version` are the distribution's, empty unless `kind` is `library`."""

    kind: Literal["project", "library", "python"]
    name: str = ""
    version: str = ""


def origin(module: str) -> Origin:
    """Where a module comes from. It is never imported for that. One that nobody can find, such as a notebook's, is the project's."""
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if found is None:
        return _located(module.partition(".")[0])
    if not isinstance(file, str):
        return _located(module.partition(".")[0]) if getattr(found, "__spec__", None) is not None else _nameless(module)
    return _of_file(file, module.partition(".")[0])


def label(module: str) -> str:
    """The name under which a module's code is known: `loop` also when `loop.py` is the script that runs."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec: ModuleSpec | None = getattr(main, "__spec__", None)
    if spec is not None:
        return spec.name.removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if isinstance(file, str) else "__main__"


def _nameless(module: str) -> Origin:
    top = module.partition(".")[0]
    return Origin("python") if top in sys.stdlib_module_names and module != "__main__" else Origin("project")


@cache
def _located(top: str) -> Origin:
    """Of a module that is not loaded, or has no file: builtin, frozen, or a namespace package."""
    if top in sys.builtin_module_names:
        return Origin("python")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        return _nameless(top)
    if spec.origin and spec.origin not in ("built-in", "frozen"):
        return _of_file(spec.origin, top)
    places = list(spec.submodule_search_locations or [])
    return _of_file(places[0], top) if places else Origin("python")


@cache
def _of_file(file: str, top: str) -> Origin:
    if top == _OWN.name and Path(file).is_relative_to(_OWN):
        return Origin("library", top, _own_version())
    parts = Path(file).parts
    if any(place in parts for place in _INSTALLED):
        name, version = _distribution(top, _site(file))
        return Origin("library", name, version)
    if file.startswith(_STDLIB) or file.startswith("<frozen"):
        return Origin("python")
    return Origin("project")


@cache
def _own_version() -> str:
    """everloop counts as one library, also where it is installed in place and edited: then every edit of it is another version.

    Its own steps reach its dependencies by name only, where no digest of code can follow; so the versions of all of them count too.
    """
    parts = [metadata.version(_OWN.name)]
    for requirement in metadata.requires(_OWN.name) or []:
        name = _NAME.match(requirement)
        if name is not None and "extra ==" not in requirement:
            with suppress(metadata.PackageNotFoundError):
                parts.append(f"{name[0]}=={metadata.version(name[0])}")
    if not any(place in _OWN.parts for place in _INSTALLED):
        parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(_OWN.rglob("*.py"))]
    return f"{parts[0]}+{digest(parts)[:16]}"


def _site(file: str) -> Path:
    return next(folder for folder in (Path(file), *Path(file).parents) if folder.name in _INSTALLED)


@cache
def _distribution(top: str, site: Path) -> tuple[str, str]:
    """(name, version) of the distribution that brought a top-level package, found without reading every distribution's metadata."""
    try:
        return top, metadata.version(top)
    except metadata.PackageNotFoundError:
        pass
    wanted = (f"\n{top}/".encode(), f"\n{top}.".encode())
    for folder in sorted(site.glob("*.dist-info")):
        record = folder / "RECORD"
        content = b"\n" + record.read_bytes() if record.is_file() else b""
        if any(line in content for line in wanted):
            found = metadata.Distribution.at(folder)
            return found.metadata["Name"], found.version
    return top, "unknown"
