"""Whose a place for blobs is. What one database does not reach may be another's, so only a place with one database is ever collected.

Blobs inside the workspace are the workspace's own. Elsewhere (a bucket, a shared folder) a note beside the blobs names the database.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from everloop.core.errors import Conflict
from everloop.store import registry
from everloop.store.workspace import Workspace

NOTE = "everloop-database"


def check(workspace: Workspace, *, claim: bool) -> None:
    """Conflict unless the blobs are this database's alone. `claim` notes that they are, when nobody has yet."""
    blobs = workspace.blobs
    if blobs.folder is not None and blobs.folder.is_relative_to(workspace.home):
        return
    found = _read(workspace)
    if found is None and not claim:
        raise Conflict(
            f"{blobs.location} may hold the blobs of other databases too: a collection would delete theirs. If this database is the only "
            "one that keeps its blobs there, say so once: everloop gc --claim-blobs."
        )
    own = _id_of(workspace)
    if found is None:
        _write(workspace, own)
    elif found != own:
        raise Conflict(
            f"{blobs.location} belongs to another database ({found}, not {own}): nothing in it is collected from here. Give each database a "
            f"place of its own (EVERLOOP_BLOBS), or delete {NOTE} there if the other database is no more."
        )


def _id_of(workspace: Workspace) -> str:
    with workspace.write() as tx:
        known = registry.cursor(tx, "", "database").get("id")
        if known is None:
            known = secrets.token_hex(12)
            registry.put_cursor(tx, "", "database", {"id": known})
    return str(known)


def _read(workspace: Workspace) -> str | None:
    try:
        if workspace.blobs.folder is not None:
            return (workspace.blobs.folder / NOTE).read_text().strip()
        return bytes(_remote().get(workspace.blobs._store, NOTE).bytes()).decode().strip()
    except FileNotFoundError:
        return None


def _write(workspace: Workspace, id: str) -> None:
    if workspace.blobs.folder is not None:
        Path(workspace.blobs.folder / NOTE).write_text(f"{id}\n")
    else:
        _remote().put(workspace.blobs._store, NOTE, f"{id}\n".encode())


def _remote() -> Any:
    import obstore

    return obstore
