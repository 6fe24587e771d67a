"""A SQLite file that is not there -> one with the tables of this release, made without alembic and SQLAlchemy."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from everloop.core.errors import Broken


def make(path: Path) -> None:
    """Make the file under another name, so that nobody sees half of it, however this ends. One process at a time."""
    draft = path.with_name(f"{path.name}.new")
    try:
        for name in (draft.name, path.name):
            # A log that outlived its file would be taken for a part of the new one.
            for suffix in ("-wal", "-shm", "-journal"):
                path.with_name(name + suffix).unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
        _fill(draft, Path(__file__).with_name("schema.sql").read_text())
        draft.replace(path)
    except OSError as error:
        raise Broken(
            f"The database {path} cannot be written ({error.strerror}). Make its folder writable, or set EVERLOOP_HOME."
        ) from error


def _fill(path: Path, script: str) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    try:
        raw.execute("PRAGMA synchronous=OFF")
        raw.executescript(f"BEGIN;\n{script}\nCOMMIT;")
        raw.execute("PRAGMA journal_mode=WAL")
    finally:
        raw.close()
    with path.open("rb") as written:
        os.fsync(written.fileno())
