"""The MLOps loop as one package: a training function goes in; a model that is validated, trained, gated, served, watched and retrained
comes out. Names are imported when they are first used; `import everloop` itself loads nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from everloop.core.errors import EverloopError, public

if TYPE_CHECKING:
    from everloop.data.prepare import Split
    from everloop.data.sources.feedback import Feedback
    from everloop.data.sources.files import Files
    from everloop.engine import partitions
    from everloop.engine.approval import approval
    from everloop.engine.pipeline import pipeline
    from everloop.engine.progress import track
    from everloop.engine.step import step
    from everloop.evaluate import gates
    from everloop.project import Loop
    from everloop.release.rollout import Rollout
    from everloop.store.workspace import Workspace
    from everloop.trigger import triggers

__version__ = "0.1.0"

_PUBLIC = {
    "Feedback": "everloop.data.sources.feedback",
    "Files": "everloop.data.sources.files",
    "Loop": "everloop.project",
    "Rollout": "everloop.release.rollout",
    "Split": "everloop.data.prepare",
    "Workspace": "everloop.store.workspace",
    "approval": "everloop.engine.approval",
    "gates": "everloop.evaluate",
    "partitions": "everloop.engine",
    "pipeline": "everloop.engine.pipeline",
    "step": "everloop.engine.step",
    "track": "everloop.engine.progress",
    "triggers": "everloop.trigger",
}

__all__ = [
    "EverloopError", "Feedback", "Files", "Loop", "Rollout", "Split", "Workspace", "__version__", "approval", "gates", "partitions", "pipeline",
    "step", "track", "triggers",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        module = import_module(_PUBLIC[name])
        value = import_module(f"{_PUBLIC[name]}.{name}") if name in ("gates", "partitions", "triggers") else getattr(module, name)
        globals()[name] = value
        return value
    raise public("everloop", name, _PUBLIC)


def __dir__() -> list[str]:
    return sorted(__all__)
