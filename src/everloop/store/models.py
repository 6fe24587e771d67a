"""A candidate -> its loaded model, only if the stored folder still is what was registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from everloop.core import plugins
from everloop.core.errors import Broken
from everloop.core.models import Candidate
from everloop.store import records
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.core.ports import Loader, Predictor


def open_model(workspace: Workspace, candidate: Candidate) -> Predictor:
    """Load a candidate's model. Broken when its files were changed; a folder with a pickle opens only because this store made it."""
    folder = workspace.blobs.tree(candidate.model)
    loader = cast("Loader", plugins.find("predictors", candidate.flavor))
    return loader(folder, candidate)


def open_version(workspace: Workspace, registered: Registered) -> tuple[Candidate, Predictor]:
    """Load a registered version. Broken when the candidate's model is not the one that was registered."""
    with workspace.read() as tx:
        candidate = records.load(tx, registered.candidate, Candidate)
    if candidate.model != registered.model:
        raise Broken(
            f"{registered.name} was registered with model {registered.model[:12]}, but its candidate names {candidate.model[:12]}. It is not loaded."
        )
    return candidate, open_model(workspace, candidate)
