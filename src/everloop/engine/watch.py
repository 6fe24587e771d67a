"""What a step was given, remembered so that a change of it while the step waits or runs is noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.engine.canonical import SCALARS, Canon
from everloop.engine.code import code_form
from everloop.engine.paths import path_form
from everloop.engine.surroundings import NOTHING, Surroundings, differing


class Watched(NamedTuple):
    """`forms` are digests of the parameters that can change in place, `files` what lay at each path (by the name it was given), `alive`
    what counts by identity: no other object can take its place while it is kept."""

    forms: Mapping[str, str] = {}
    files: Mapping[str, tuple[Path, list[object]]] = {}
    surroundings: Surroundings = NOTHING
    alive: Sequence[object] = ()


class Walk:
    """Forms of parameters one after the other, with what has to be watched of them."""

    def __init__(self) -> None:
        self.forms: dict[str, str] = {}
        self.files: dict[str, tuple[Path, list[object]]] = {}
        self.alive: list[object] = []

    def digest(self, name: str, value: object) -> str:
        """The digest of a parameter's form, handles by what they hold. Raises NoForm."""
        if type(value) in SCALARS:
            return digest(value)
        canon = Canon(code_form, strict=True, path=self._path)
        found = digest(canon.form(value))
        if not canon.fixed:
            self.forms[name] = self._by_identity(value) if canon.owning else found
        return found

    def remember(self, name: str, value: object) -> None:
        """Watch a parameter whose handles may not be done yet."""
        if type(value) not in SCALARS:
            canon = Canon(code_form, strict=True, path=self._path, own=self._identity)
            found = digest(canon.form(value))
            if not canon.fixed:
                self.forms[name] = found

    def watched(self, surroundings: Surroundings = NOTHING) -> Watched:
        return Watched(self.forms, self.files, surroundings, self.alive)

    def _by_identity(self, value: object) -> str:
        return digest(Canon(code_form, strict=True, path=self._path, own=self._identity).form(value))

    def _identity(self, value: object) -> object:
        self.alive.append(value)
        return ["own", id(value)]

    def _path(self, path: Path) -> list[object]:
        name = str(path)
        if name not in self.files:
            # Absolute, since the body may go to another working directory.
            self.files[name] = (path.absolute(), path_form(path))
        return self.files[name][1]


def watch(params: Mapping[str, object]) -> Watched:
    """What the parameters are now. Handles count by identity, so that they need not be done. Raises NoForm."""
    walk = Walk()
    for name, value in params.items():
        walk.remember(name, value)
    return walk.watched()


def changed(watched: Watched, params: Mapping[str, object]) -> list[str]:
    """What is no longer as it was: `parameter rows`, `file data/a.csv`, `folder data`, `environment REGION`.

    Files are compared by size and times first, and read only when those differ or are too fresh to tell.
    """
    found = [f"{_kind(form, path)} {name}" for name, (path, form) in watched.files.items() if _differs(path, form)]
    for name, form in watched.forms.items():
        walk = Walk()
        walk.files = dict(watched.files)
        try:
            walk.remember(name, params.get(name))
            same = walk.forms.get(name) == form
        except (BadInput, RecursionError):
            same = False
        if not same:
            found.append(f"parameter {name}")
    return found + differing(watched.surroundings)


def _differs(path: Path, form: list[object]) -> bool:
    try:
        now = path_form(path)
    except BadInput:
        return True
    return now[0] != form[0] or (now[0] != "absent" and now[-1] != form[-1])


def _kind(form: list[object], path: Path) -> str:
    return "folder" if form[0] == "folder" or (form[0] == "absent" and path.is_dir()) else "file"
