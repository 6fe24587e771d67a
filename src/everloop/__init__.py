"""The MLOps loop as one package: a training function goes in; a model that is validated, trained, gated, served, watched and retrained
comes out. Names are imported when they are first used; `import everloop` itself loads nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from everloop.core.errors import EverloopError, public

if TYPE_CHECKING:
    from everloop.core.recipes import Recipe
    from everloop.data import recipe
    from everloop.data.growth import Upsert
    from everloop.data.prepare import Split
    from everloop.data.sources.audio import Audio
    from everloop.data.sources.dataset import Dataset
    from everloop.data.sources.delta import Delta
    from everloop.data.sources.feedback import Feedback
    from everloop.data.sources.files import Files
    from everloop.data.sources.http import Http
    from everloop.data.sources.images import Images
    from everloop.data.sources.kafka import Kafka
    from everloop.data.sources.labels import Labels
    from everloop.data.sources.objects import Objects
    from everloop.data.sources.predictions import Predictions
    from everloop.data.sources.sql.source import Sql
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
    "Audio": "everloop.data.sources.audio",
    "Dataset": "everloop.data.sources.dataset",
    "Delta": "everloop.data.sources.delta",
    "Feedback": "everloop.data.sources.feedback",
    "Files": "everloop.data.sources.files",
    "Http": "everloop.data.sources.http",
    "Images": "everloop.data.sources.images",
    "Kafka": "everloop.data.sources.kafka",
    "Labels": "everloop.data.sources.labels",
    "Loop": "everloop.project",
    "Objects": "everloop.data.sources.objects",
    "Predictions": "everloop.data.sources.predictions",
    "Recipe": "everloop.core.recipes",
    "Rollout": "everloop.release.rollout",
    "Split": "everloop.data.prepare",
    "Sql": "everloop.data.sources.sql.source",
    "Upsert": "everloop.data.growth",
    "Workspace": "everloop.store.workspace",
    "approval": "everloop.engine.approval",
    "gates": "everloop.evaluate",
    "partitions": "everloop.engine",
    "pipeline": "everloop.engine.pipeline",
    "recipe": "everloop.data",
    "step": "everloop.engine.step",
    "track": "everloop.engine.progress",
    "triggers": "everloop.trigger",
}

__all__ = [
    "Audio", "Dataset", "Delta", "EverloopError", "Feedback", "Files", "Http", "Images", "Kafka", "Labels", "Loop", "Objects",
    "Predictions", "Recipe", "Rollout", "Split", "Sql", "Upsert", "Workspace", "__version__", "approval", "gates", "partitions",
    "pipeline", "recipe", "step", "track", "triggers",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        module = import_module(_PUBLIC[name])
        value = import_module(f"{_PUBLIC[name]}.{name}") if name in ("gates", "partitions", "recipe", "triggers") else getattr(module, name)
        globals()[name] = value
        return value
    raise public("everloop", name, _PUBLIC)


def __dir__() -> list[str]:
    return sorted(__all__)
