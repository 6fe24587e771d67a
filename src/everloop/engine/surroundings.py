"""`depends_on` and `env` of a step -> what those files and environment variables hold, for its key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.engine.paths import file_digest, files_in

# A pattern that matches more files than this is one part of the key, not one a file.
_MOST_FILES = 50


class Surroundings(NamedTuple):
    """`parts` names each file and variable (`file rules/a.yaml`, `environment REGION`) with the digest of its content.

    A variable that is not set differs from an empty one. Its value is stored nowhere; but whoever reads the database could guess a
    short one and compare digests, so name settings here, not passwords.
    """

    parts: Mapping[str, str] = {}
    depends_on: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    folder: str = ""


NOTHING = Surroundings()


def surroundings(depends_on: Sequence[str], env: Sequence[str], folder: str | Path, *, step: str = "", where: str = "") -> Surroundings:
    """What is declared, as it stands. `depends_on` are files, folders or patterns (`rules/**/*.yaml`), relative to `folder`.

    Within a folder, and to a pattern, names that begin with a dot do not count. Raises BadInput when a name or pattern finds nothing.
    """
    if not depends_on and not env:
        return NOTHING
    parts: dict[str, str] = {}
    for wanted in depends_on:
        found = _found(wanted, folder)
        if not found:
            raise BadInput(_missing(wanted, folder, step, where))
        parts |= _digests(wanted, found)
    parts |= {f"environment {name}": _variable(name) for name in env}
    return Surroundings(parts, tuple(depends_on), tuple(env), str(folder))


def differing(known: Surroundings) -> list[str]:
    """Names of the parts that are no longer as they were."""
    if known is NOTHING:
        return []
    now: dict[str, str] = {}
    for wanted in known.depends_on:
        with suppress(BadInput):  # unreadable by now: then it is among what differs
            now |= _digests(wanted, _found(wanted, known.folder))
    now |= {f"environment {name}": _variable(name) for name in known.env}
    return [name for name in {**known.parts, **now} if known.parts.get(name) != now.get(name)]


def _found(wanted: str, folder: str | Path) -> dict[str, Path]:
    """Files by the name they are shown under: that from the project's folder."""
    import glob

    names = sorted(glob.glob(wanted, root_dir=folder, recursive=True)) if glob.has_magic(wanted) else [wanted]
    found: dict[str, Path] = {}
    for name in names:
        path = Path(folder, name)
        if path.is_dir():
            found |= {f"{name.rstrip('/')}/{item.relative_to(path).as_posix()}": item for item in files_in(path, hidden=False)}
        elif path.is_file():
            found[name] = path
    return found


def _digests(wanted: str, found: Mapping[str, Path]) -> dict[str, str]:
    try:
        each = {f"file {name}": file_digest(path) for name, path in found.items()}
    except OSError as error:
        raise BadInput(f"depends_on names {wanted!r}, which cannot be read ({error}). Make it readable.") from error
    return each if len(each) <= _MOST_FILES else {f"files {wanted}": digest(each)}


def _variable(name: str) -> str:
    return digest("environment", name, os.environ.get(name))


def _missing(wanted: str, folder: str | Path, step: str, where: str) -> str:
    import difflib
    import glob

    close = difflib.get_close_matches(wanted, list(_names(Path(folder))), n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    what = "matches no file" if glob.has_magic(wanted) else "does not exist"
    return f"Step {step!r}{where}: depends_on names {wanted!r}, which {what} in {folder}.{hint} Correct the name, or make the file."


def _names(folder: Path) -> Iterator[str]:
    """Names that could have been meant: the first thousand files of the project, and what they match."""
    for count, path in enumerate(files_in(folder, hidden=False)):
        if count == 1000:
            return
        name = path.relative_to(folder)
        yield name.as_posix()
        if name.suffix:
            yield (name.parent / f"*{name.suffix}").as_posix()
