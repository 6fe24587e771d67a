"""Group and name -> the object that an installed distribution offers under it.

Metrics, detectors, sources, trainers, registries and page sinks are entry points, so that a new one is a file and a line of
packaging metadata, and adapters to heavy libraries are reached by name without being imported.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from everloop.core.errors import Missing, unknown


@cache
def _group(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"everloop.{group}")}


def names(group: str) -> list[str]:
    """The names offered in a group such as `metrics`, sorted."""
    return sorted(_group(group))


def find(group: str, name: str) -> object:
    """The object behind `name`. NotFound with the closest match, or Missing when its library is not installed."""
    point = _group(group).get(name)
    if point is None:
        raise unknown(group.removesuffix("s").capitalize(), name, _group(group))
    try:
        return point.load()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "everloop":
            raise
        raise Missing(
            f"{group.removesuffix('s')} {name!r} needs the library {error.name!r}, which is not installed. "
            f"Install it: pip install 'everloop[{name}]'"
        ) from error
