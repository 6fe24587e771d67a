"""Listing what lies in a blob store, and deleting of it what is old: the sweep phase of a collection.

Whatever has no name that the store itself gives is somebody else's, and is neither listed nor touched.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from everloop.store import renewal
from everloop.store.blobs import Blobs

_BLOB = re.compile(r"[0-9a-f]{64}")
_TREE = re.compile(r"[0-9a-f]{64}")
# What puts leave behind when they are killed, folders that were found damaged, and those that a killed collector had moved aside.
_LEFT = re.compile(r"\.(incoming|damaged|collected)-.*|[0-9a-f]{64}#[0-9]+")
_ASIDE = ".collected-"
_TOGETHER = 200


class Found(NamedTuple):
    """`path` is relative to the store, `at` the time of the last put (seconds since the epoch), by the clock of where it lies."""

    kind: Literal["blob", "tree", "leftover"]
    name: str
    bytes: int
    at: float
    path: str


def listing(blobs: Blobs) -> Iterator[Found]:
    if blobs.folder is not None:
        return _in_folder(blobs.folder)
    return _in_store(blobs)


def copies(blobs: Blobs) -> Iterator[Found]:
    """Local copies of what an object store keeps."""
    return _in_folder(blobs._cache) if blobs.folder is None and blobs._cache.is_dir() else iter(())


def remove(blobs: Blobs, victims: Iterable[Found], *, before: float, left_before: float) -> Iterator[Found]:
    """Delete those of `victims` that still are older than `before`, left-overs than `left_before`; what was deleted, as it goes."""
    ordered = sorted(victims, key=lambda found: (found.kind, found.path))
    for (kind, _), some in groupby(ordered, key=lambda found: (found.kind, found.path[:2])):
        group = list(some)
        limit = left_before if kind == "leftover" else before
        for start in range(0, len(group), _TOGETHER):
            if blobs.folder is not None:
                yield from _remove_files(blobs.folder, group[start : start + _TOGETHER], limit)
            else:
                yield from _remove_objects(blobs, group[start : start + _TOGETHER], limit)


def remove_copies(blobs: Blobs, victims: Sequence[Found], *, before: float) -> Iterator[Found]:
    return _remove_files(blobs._cache, victims, before) if victims else iter(())


# A folder.


def _in_folder(root: Path) -> Iterator[Found]:
    for entry in _scan(root):
        if entry.name == "trees":
            for tree in _scan(entry.path):
                if _LEFT.fullmatch(tree.name):
                    yield _left(tree, f"trees/{tree.name}")
                elif _TREE.fullmatch(tree.name) and tree.is_dir(follow_symlinks=False):
                    yield Found("tree", tree.name, _bytes(tree.path), tree.stat().st_mtime, f"trees/{tree.name}")
        elif len(entry.name) == 2 and entry.is_dir(follow_symlinks=False):
            yield from _in_prefix(entry)
        elif _LEFT.fullmatch(entry.name):
            yield _left(entry, entry.name)


def _in_prefix(folder: os.DirEntry[str]) -> Iterator[Found]:
    for entry in _scan(folder.path):
        path = f"{folder.name}/{entry.name}"
        if _LEFT.fullmatch(entry.name):
            yield _left(entry, path)
        elif _BLOB.fullmatch(entry.name) and entry.name.startswith(folder.name):
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield Found("blob", entry.name, stat.st_size, stat.st_mtime, path)


def _scan(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return


def _left(entry: os.DirEntry[str], path: str) -> Found:
    """A folder is as old as the newest file in it: somebody may still be filling it."""
    try:
        newest = max([entry.stat(follow_symlinks=False).st_mtime, *(stat.st_mtime for stat in _stats(entry.path))])
    except FileNotFoundError:
        newest = 0.0
    return Found("leftover", entry.name, _bytes(entry.path), newest, path)


def _stats(path: str) -> Iterator[os.stat_result]:
    if os.path.isdir(path) and not os.path.islink(path):
        for folder, _, names in os.walk(path):
            for name in names:
                try:
                    yield os.lstat(os.path.join(folder, name))
                except FileNotFoundError:
                    continue
        return
    try:
        yield os.lstat(path)
    except FileNotFoundError:
        return


def _bytes(path: str) -> int:
    return sum(stat.st_size for stat in _stats(path))


def _remove_files(root: Path, group: Sequence[Found], before: float) -> Iterator[Found]:
    gone: list[Found] = []
    aside: list[Path] = []
    with renewal.deleting(str(root)):
        for found in group:
            path = root / found.path
            try:
                # A left-over was judged by all that is in it, and nobody puts it again.
                if (found.at if found.kind == "leftover" else path.stat().st_mtime) >= before:
                    continue
                if found.kind == "blob":
                    path.unlink()
                else:
                    moved = path.with_name(f"{_ASIDE}{os.urandom(8).hex()}")
                    path.rename(moved)
                    aside.append(moved)
            except FileNotFoundError:
                continue
            gone.append(found)
    for path in aside:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    yield from gone


# An object store.


def _in_store(blobs: Blobs) -> Iterator[Found]:
    sizes: dict[str, int] = {}
    newest: dict[str, float] = {}
    complete: dict[str, float] = {}
    for path, size, at in _objects(blobs):
        first, _, rest = path.partition("/")
        if first == renewal.NOTICES:
            yield Found("leftover", rest, size, at, path)
        elif first == "trees":
            name, dot, _ = rest.partition("/")
            if not dot and name.endswith(".complete"):
                complete[name.removesuffix(".complete")] = at
            elif dot and _TREE.fullmatch(name):
                sizes[name] = sizes.get(name, 0) + size
                newest[name] = max(newest.get(name, 0.0), at)
        elif len(first) == 2 and _BLOB.fullmatch(rest) and rest.startswith(first):
            yield Found("blob", rest, size, at, path)
    for name, at in complete.items():
        yield Found("tree", name, sizes.get(name, 0), at, f"trees/{name}")
    for name in sizes.keys() - complete.keys():
        # An upload that was cut off, or is under way.
        yield Found("leftover", name, sizes[name], newest[name], f"trees/{name}")


def _objects(blobs: Blobs, prefix: str | None = None) -> Iterator[tuple[str, int, float]]:
    for page in _remote().list(blobs._store, prefix=prefix):
        for entry in page:
            yield entry["path"], entry["size"], entry["last_modified"].timestamp()


def _remove_objects(blobs: Blobs, group: Sequence[Found], before: float) -> Iterator[Found]:
    if group[0].kind == "blob":
        yield from _remove_blobs(blobs, group, before)
    else:
        for found in group:
            if found.path.startswith("trees/"):
                yield from _remove_tree(blobs, found, before)
            elif found.at < before:
                _remote().delete(blobs._store, found.path)
                yield found


def _remove_blobs(blobs: Blobs, group: Sequence[Found], before: float) -> Iterator[Found]:
    """All of one prefix, under one notice and by one new look at their ages."""
    prefix = group[0].path[:2]
    with renewal.noticed(_remote(), blobs._store, group[0].path):
        at_now = {path: at for path, _, at in _objects(blobs, prefix)}
        gone = [found for found in group if at_now.get(found.path, before) < before]
        if gone:
            _remote().delete(blobs._store, [found.path for found in gone])
    yield from gone


def _remove_tree(blobs: Blobs, found: Found, before: float) -> Iterator[Found]:
    mark = f"{found.path}.complete"
    with renewal.noticed(_remote(), blobs._store, found.path):
        inside = list(_objects(blobs, found.path))
        at_now = _age(blobs, mark)
        if at_now is None:
            at_now = max((at for _, _, at in inside), default=before)
        if at_now >= before:
            return
        # First the mark: without it the folder is not there.
        _remote().delete(blobs._store, mark)
        if inside:
            _remote().delete(blobs._store, [path for path, _, _ in inside])
    yield found


def _age(blobs: Blobs, path: str) -> float | None:
    try:
        return _remote().head(blobs._store, path)["last_modified"].timestamp()
    except FileNotFoundError:
        return None


def _remote() -> Any:
    import obstore

    return obstore
