"""What runs leave beside the database and the blobs: logs, and locks that nobody holds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from everloop.core.errors import Busy
from everloop.store.locks import file_lock
from everloop.store.reach import among
from everloop.store.workspace import Workspace

_RUN = re.compile(r"(run-[0-9a-f]+)(\.log)?")
_LOCK = re.compile(r"[0-9a-f]{64}\.lock")


class Trace(NamedTuple):
    kind: Literal["logs", "locks"]
    path: Path
    bytes: int


def find(workspace: Workspace, dropped: Collection[str], *, before: float) -> Iterator[Trace]:
    """Logs of runs that are dropped or unknown, and locks; of those that are not dropped only what nobody touched since `before`."""
    named = {path: found[1] for path in _entries(workspace.home / "logs") if (found := _RUN.fullmatch(path.name))}
    known: set[str] = set()
    with workspace.read() as tx:
        for placeholders, params in among(set(named.values())):
            known.update(id for (id,) in tx.sql(f"SELECT id FROM runs WHERE id IN ({placeholders})", params))  # noqa: S608
    for path, run in named.items():
        if run in dropped or (run not in known and _newest(path) < before):
            yield Trace("logs", path, sum(file.stat().st_size for file in _files(path)))
    for path in _entries(workspace.home / "locks"):
        if _LOCK.fullmatch(path.name) and _newest(path) < before:
            yield Trace("locks", path, path.stat().st_size)


def remove(trace: Trace) -> bool:
    """False for a lock that somebody holds."""
    if trace.kind == "logs":
        if trace.path.is_dir():
            shutil.rmtree(trace.path, ignore_errors=True)
        else:
            trace.path.unlink(missing_ok=True)
        return True
    try:
        with file_lock(trace.path):
            trace.path.unlink(missing_ok=True)
    except Busy:
        return False
    return True


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def _newest(path: Path) -> float:
    return max((file.stat().st_mtime for file in (path, *_files(path))), default=0.0)
