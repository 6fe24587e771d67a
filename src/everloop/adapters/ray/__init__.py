"""Bodies of steps as tasks of a Ray cluster. Ray is the dispatcher; what bodies make is kept in the workspace, not in Ray."""

from everloop.adapters.ray.executor import RayExecutor

__all__ = ["RayExecutor"]
