"""`__main__` of the coordinator, as a worker has to show it: code is known under the name of the script that it is from.

What a user's script defines travels by value. A worker that is somebody else's program (Ray's) would give that code the program's name.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NamedTuple

_kept: list[ModuleType] = []


class Main(NamedTuple):
    """`file` is None in a notebook or interpreter, `spec` is the module's name where it was started by `python -m`, else empty."""

    file: str | None
    spec: str


def describe() -> Main:
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    spec: ModuleSpec | None = getattr(main, "__spec__", None)
    return Main(file if isinstance(file, str) else None, spec.name if spec is not None else "")


def stand_in(described: Main) -> None:
    """Let an empty module be `__main__` here, with the coordinator's file and name. The program that runs here keeps its own globals."""
    if describe() == described:
        return
    blank = ModuleType("__main__")
    if described.file is not None:
        blank.__file__ = described.file
    if described.spec:
        blank.__spec__ = ModuleSpec(described.spec, None, origin=described.file)
        blank.__package__ = blank.__spec__.parent
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = blank
