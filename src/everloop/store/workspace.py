"""Everything that one project keeps: `.everloop/` beside the user's code, or a team's servers named by the environment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path

from everloop.core.errors import BadInput, Broken
from everloop.store.blobs import Blobs
from everloop.store.database import Database, Transaction, sqlite_url

_current: ContextVar[Workspace | None] = ContextVar("everloop_workspace", default=None)


def home_of(project: Path | str) -> Path:
    """Where a project's workspace is, or would be."""
    return Path(os.environ.get("EVERLOOP_HOME") or Path(project) / ".everloop")


class Workspace:
    """Database, blobs and folders of one project. `lazily`: the database is opened when it is first asked.

    `project` is the folder with `loop.py`; `home` (default `project/.everloop`) holds what is not on a server: `everloop.db`,
    `mlflow.db`, `blobs/`, `predictions/`. EVERLOOP_HOME, EVERLOOP_DATABASE_URL and EVERLOOP_BLOBS move them.
    """

    def __init__(
        self,
        project: Path | str = ".",
        *,
        home: Path | None = None,
        database_url: str | None = None,
        blobs: str | None = None,
        lazily: bool = False,
    ) -> None:
        self.project = Path(project).absolute()
        self.home = (home or home_of(self.project)).absolute()
        ignored = self.home / ".gitignore"
        try:
            if not ignored.exists():
                self.home.mkdir(parents=True, exist_ok=True)
                ignored.write_text("*\n")
        except OSError as error:
            raise Broken(
                f"{self.home} cannot be written ({error.strerror}). Make the folder writable, or set EVERLOOP_HOME to one that is."
            ) from error
        self.database_url = database_url or os.environ.get("EVERLOOP_DATABASE_URL") or sqlite_url(self.home / "everloop.db")
        self._opening = threading.Lock()
        self._database: Database | None = None if lazily else Database(self.database_url)
        self.blobs = Blobs(blobs or os.environ.get("EVERLOOP_BLOBS") or str(self.home / "blobs"), cache=self.home / "cache")

    @property
    def database(self) -> Database:
        if self._database is None:
            with self._opening:
                self._database = self._database or Database(self.database_url)
        return self._database

    @property
    def predictions(self) -> Path:
        return self.home / "predictions"

    @property
    def tracking_uri(self) -> str:
        """Where an MLflow client finds runs and models."""
        return os.environ.get("EVERLOOP_TRACKING_URI") or f"sqlite:///{self.home / 'mlflow.db'}"

    def read(self) -> AbstractContextManager[Transaction]:
        return self.database.read()

    def write(self) -> AbstractContextManager[Transaction]:
        return self.database.write()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def using(workspace: Workspace) -> Iterator[Workspace]:
    """Make a workspace the current one, for the steps that are called within."""
    token = _current.set(workspace)
    try:
        yield workspace
    finally:
        _current.reset(token)


def current() -> Workspace:
    """The workspace that the running step belongs to."""
    workspace = _current.get()
    if workspace is None:
        raise BadInput("No workspace is open here. Call this from a pipeline, or inside `with using(Workspace(folder)):`.")
    return workspace
