"""A pattern -> the files that it names."""

from __future__ import annotations

import difflib
import glob
from pathlib import Path

from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import Place
from everloop.data.sources.steady import kind_of_node


def matches(pattern: str, place: Place) -> list[Path]:
    """In the order of their names. NotFound, with what is there, when no file matches; BadInput for a folder, a URL, and a link out of the project
    that the pattern does not name itself."""
    if "://" in pattern:
        raise BadInput(f"Files({pattern!r}) is a URL. Files reads local files: give a path or a pattern such as 'data/*.csv'.")
    if "\0" in pattern:
        raise BadInput(f"Files({pattern!r}): no file has a zero byte in its name.")
    literal = place.project / pattern
    if literal.is_dir():
        raise BadInput(f"{pattern} is a folder. Say which files in it: Files('{pattern.rstrip('/')}/*.csv').")
    if literal.is_file():
        return _inside([literal], pattern, place)
    if literal.exists():
        raise BadInput(f"{pattern} is {kind_of_node(literal)}, not a file. Files reads regular files.")
    names = sorted(glob.glob(pattern, root_dir=place.project, recursive=True))
    found = [path for name in names if (path := place.project / name).is_file()]
    if not found:
        raise NotFound(f"No file matches {pattern!r} in {place.project}.{_nearest(literal)}")
    return _inside(found, pattern, place)


def relative(path: Path, place: Place) -> str:
    return path.relative_to(place.project).as_posix() if path.is_relative_to(place.project) else path.as_posix()


def _inside(paths: list[Path], pattern: str, place: Place) -> list[Path]:
    """A link may lead out of the project only when the pattern says so itself."""
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        return paths
    project = place.project.resolve()
    # To resolve a path costs more than to find it, and a file that is no link lies where its folder does.
    folders = {folder: folder.resolve() for folder in {path.parent for path in paths}}
    for path in paths:
        lies = path.resolve() if path.is_symlink() else folders[path.parent]
        if not lies.is_relative_to(project):
            raise BadInput(
                f"{relative(path, place)} is a link to {path.resolve()}, outside the project. Name that place in the pattern itself."
            )
    return paths


def _nearest(wanted: Path) -> str:
    folder = wanted.parent
    if not folder.is_dir():
        return f" The folder {folder} does not exist." if not glob.has_magic(str(folder)) else ""
    siblings = sorted(path.name for path in folder.iterdir() if path.is_file())
    close = difflib.get_close_matches(wanted.name, siblings, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = f" There: {', '.join(siblings[:8])}{' …' if len(siblings) > 8 else ''}." if siblings else " There are no files there."
    return hint + listed
