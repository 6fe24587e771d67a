from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.core.ports import Place
from everloop.store.workspace import Workspace, using


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path, database_url=f"sqlite:///{tmp_path}/data.db", blobs=str(tmp_path / "blobs")) as opened, using(opened):
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("demand", tmp_path, tmp_path / ".everloop")
