"""A file of an installed library -> the distribution that brought it, and its version.

Read off the names of the `.dist-info` folders, which hold both (packaging.python.org, "Recording installed projects"): `importlib.metadata`
would parse an e-mail header a library, and importing it alone costs more than all keys of a small run.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from everloop.core.digest import digest

_SEPARATORS = re.compile(r"[-_.]+")
_BEGAN = time.time()
_HEX = 12


@cache
def library(file: str, top: str, site: str) -> tuple[str, str]:
    """(name, version) of the distribution in the folder `site` that brought `file`, a module of the top-level package `top`.

    What was installed from a folder, an archive or a repository may change without another version, so that its files count too; and
    so do those of a module that no distribution claims.
    """
    folder = _named(file, top, site) or _recorded(file, site)
    if folder is None:
        return _legacy(file, top, site)
    name, version = _split(folder.name)
    if (folder / "direct_url.json").is_file() and (folder / "RECORD").is_file():
        version += f" of {digest((folder / 'RECORD').read_bytes())[:_HEX]}"
    return name, _in_memory(folder, top, version)


def version_anywhere(name: str) -> str:
    """The version of a distribution that is installed somewhere on the path, empty when it is not. Extras and markers are not looked at."""
    wanted = _normal(name)
    for place in sys.path:
        folder = _infos(place or ".").get(wanted)
        if folder is not None:
            return _split(folder.name)[1]
    return ""


def requirements(name: str) -> Iterator[str]:
    """The names that an installed distribution requires, without those of its extras."""
    for place in sys.path:
        folder = _infos(place or ".").get(_normal(name))
        if folder is not None:
            for line in (folder / "METADATA").read_text(encoding="utf-8").splitlines():
                if not line:
                    return
                found = re.match(r"Requires-Dist: *([A-Za-z0-9._-]+)", line)
                if found is not None and "extra ==" not in line:
                    yield found[1]
            return


def _named(file: str, top: str, site: str) -> Path | None:
    """The distribution that is called like the package, as most are. A namespace package is shared by many: its file decides."""
    whole = os.path.dirname(file) == site or os.path.isfile(os.path.join(site, top, "__init__.py"))
    return _infos(site).get(_normal(top)) if whole else None


def _recorded(file: str, site: str) -> Path | None:
    """The distribution whose RECORD lists the file. Likely names first: `sklearn` is spelt within scikit-learn, `yaml` within PyYAML."""
    relative = Path(file).relative_to(site).as_posix()
    lines = (f"\n{relative},".encode(), f"\n{relative}/".encode())
    letters = relative.partition("/")[0].partition(".")[0].lower().replace("_", "")
    infos = _infos(site)
    for name in sorted(infos, key=lambda name: (not _within(letters, name), name)):
        record = infos[name] / "RECORD"
        content = b"\n" + record.read_bytes() if record.is_file() else b""
        if any(line in content for line in lines):
            return infos[name]
    return None


def _within(letters: str, name: str) -> bool:
    rest = iter(name)
    return all(letter in rest for letter in letters)


def _legacy(file: str, top: str, site: str) -> tuple[str, str]:
    """An egg of old, or a file that was put there by hand."""
    from importlib import metadata

    try:
        return top, metadata.version(top)
    except metadata.PackageNotFoundError:
        package = Path(site) / top
        files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".so", ".pyd")) if package.is_dir() else [Path(file)]
        stats = [(path.relative_to(site).as_posix(), path.stat()) for path in files if path.is_file()]
        return top, f"files {digest([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])[:_HEX]}"


def _in_memory(folder: Path, top: str, version: str) -> str:
    """What was installed after this process began need not be what it has loaded: then nothing that others made is found by it."""
    if folder.stat().st_mtime <= _BEGAN or getattr(sys.modules.get(top), "__version__", None) == version:
        return version
    return f"{version} or what process {os.getpid()} of {_BEGAN:.0f} had loaded before"


@cache
def _infos(place: str) -> dict[str, Path]:
    """Normalised name -> `.dist-info` folder, of those directly in a place on the path."""
    try:
        names = sorted(name for name in os.listdir(place) if name.endswith(".dist-info"))
    except OSError:
        return {}
    return {_normal(_split(name)[0]): Path(place, name) for name in names}


def _split(folder: str) -> tuple[str, str]:
    name, _, version = folder.removesuffix(".dist-info").rpartition("-")
    return name.replace("_", "-"), version


def _normal(name: str) -> str:
    return _SEPARATORS.sub("_", name).lower()
