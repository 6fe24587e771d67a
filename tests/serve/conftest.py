from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stand import Server, deploy, offer_tiny, serving, tiny

from everloop.store.workspace import Workspace


@pytest.fixture(scope="session", autouse=True)
def _tiny_is_installed(tmp_path_factory: pytest.TempPathFactory) -> None:
    offer_tiny(tmp_path_factory.mktemp("plugins"))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Server]]:
    """One server for the tests of a module that leave it as it was: `tiny` answers, `frail` fails above 1000, `empty` has no champion."""
    with Workspace(tmp_path_factory.mktemp("project")) as opened:
        for loop, behaviour in {"tiny": {}, "frail": {"fail_above": 1000}}.items():
            tiny(opened, loop, **behaviour)
            deploy(opened, loop, champion=1)
        deploy(opened, "empty")
        with serving(opened) as server:
            yield opened, server
