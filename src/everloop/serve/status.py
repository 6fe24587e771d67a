"""What a server says about itself: whether it is ready, and what it serves."""

from __future__ import annotations

from typing import Any

from everloop.serve.lane import Lane
from everloop.serve.table import Router


def ready(router: Router) -> tuple[bool, dict[str, Any]]:
    """Ready when each model has a champion that answers, be it a former one because the new one could not be loaded."""
    waiting = sorted(name for name, served in router.table.items() if served.deployment.champion is not None and served.champion is None)
    problems = {name: list(served.problems) for name, served in router.table.items() if served.problems}
    return not waiting, {"ready": not waiting, "models": sorted(router.table), "waiting": waiting, "problems": problems}


def models(router: Router) -> dict[str, Any]:
    return {
        "models": [
            {
                "model": name,
                "champion": _version(served.champion),
                "challenger": _version(served.challenger),
                "stage": served.deployment.stage,
                "share": served.deployment.share,
                "revision": served.deployment.revision,
                "problems": list(served.problems),
            }
            for name, served in sorted(router.table.items())
        ]
    }


def _version(lane: Lane | None) -> dict[str, Any] | None:
    if lane is None:
        return None
    signature = lane.loaded.signature
    return {
        "version": lane.number,
        "task": signature.task,
        "inputs": {column.name: column.kind for column in signature.inputs},
        "output": {signature.output.name: signature.output.kind},
        "classes": list(signature.classes),
    }
