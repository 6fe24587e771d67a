"""Opening a workspace for a command that only looks: it must not make one where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.errors import NotFound

if TYPE_CHECKING:
    from everloop.store.workspace import Workspace


def existing(project: str) -> Workspace:
    """The workspace of `project`. NotFound when nothing was ever kept there."""
    from everloop.store.workspace import Workspace, home_of

    home = home_of(project)
    if not home.is_dir():
        raise NotFound(f"There is no {home}: nothing has run here yet. 'everloop run' runs one cycle, 'everloop init' writes a project.")
    return Workspace(project)
