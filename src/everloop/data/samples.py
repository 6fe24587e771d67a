"""Real tables that scikit-learn carries in its package, for the demo and for new projects."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from everloop.core.errors import Missing


def sample(name: str) -> Path:
    """The file of that name. It is read directly: importing scikit-learn for it would cost seconds. Missing where it is not installed."""
    spec = find_spec("sklearn")
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0]) / "datasets" / "data" / name if places else None
    if path is None or not path.is_file():
        raise Missing(f"{name} comes with scikit-learn, which is not installed. Install it: pip install scikit-learn")
    return path
