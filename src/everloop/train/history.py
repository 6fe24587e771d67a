"""What a training function logged, as it was stored beside its model."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from everloop.core.models import Candidate
from everloop.store.workspace import Workspace

HISTORY_FILE = "history.json"


class Logged(NamedTuple):
    """One number of the training itself, such as a loss after an epoch."""

    name: str
    value: float
    step: int


def history(workspace: Workspace, candidate: Candidate) -> list[Logged]:
    """In the order of logging; empty for models that log nothing."""
    path = workspace.blobs.tree(candidate.model) / HISTORY_FILE
    return msgspec.json.decode(path.read_bytes(), type=list[Logged]) if path.is_file() else []
