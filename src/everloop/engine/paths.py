"""A file or folder -> what is in it, as a digest. What was read before is read again only when it could be something else by now."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from everloop.core.digest import digest
from everloop.core.errors import BadInput

# Clocks of file systems tick as rarely as every two seconds (FAT): a file that was written just before it was read may be written
# once more without its times telling, as git knows too (Documentation/technical/racy-git.txt).
_TICK_S = 2.0
_MOST_KNOWN = 50_000


class _Known(NamedTuple):
    stamp: tuple[int, ...]
    digest: str


_known: dict[str, _Known] = {}


def path_form(path: Path) -> list[object]:
    """Content and last name of a file or folder: where it lies does not count, what it is called may decide how it is read.

    Raises BadInput for what cannot be read, or is neither: a socket, a device.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return ["file", path.name, file_digest(path)]
        if stat.S_ISDIR(mode):
            return ["folder", path.name, digest([[item.relative_to(path).as_posix(), file_digest(item)] for item in files_in(path)])]
    except (FileNotFoundError, NotADirectoryError):
        return ["absent", str(path)]
    except (OSError, ValueError) as error:
        raise BadInput(f"{str(path)!r} cannot be read ({error})") from error
    raise BadInput(f"{str(path)!r} is neither a file nor a folder")


def files_in(folder: Path, *, hidden: bool = True) -> Iterator[Path]:
    """Every file below a folder, in order of name, through links too. `hidden=False` leaves out what begins with a dot, and bytecode."""
    seen: set[tuple[int, int]] = set()

    def walk(place: Path) -> Iterator[Path]:
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        for item in sorted(place.iterdir()):
            if not hidden and (item.name.startswith(".") or item.name == "__pycache__"):
                continue
            if item.is_dir():
                yield from walk(item)
            elif item.is_file():
                yield item

    yield from walk(folder)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Read anew unless size, times and place on the disk are what they were when it was read last."""
    name = os.path.abspath(path)
    status = os.stat(path)
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
    known = _known.get(name)
    if known is not None and known.stamp == stamp:
        return known.digest
    began = time.time()
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        after = os.fstat(file.fileno())
    settled = max(after.st_mtime, after.st_ctime) < began - _TICK_S
    if settled and stamp == (after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino, after.st_dev):
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[name] = _Known(stamp, found)
    return found
