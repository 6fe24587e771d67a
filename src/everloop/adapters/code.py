"""Code of the user's project -> bytes that hold it by value, for a process that may not be able to import it."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle

from everloop.core.errors import BadInput


def dumps(value: Any) -> bytes:
    """A fitted transformer with a function or class of the user's inside. All code of the project goes along by value: the bytes change when it does, so that what
    was made with other code is not taken for the same. BadInput when a part has no pickle."""
    try:
        with _modules_by_value([name for name in list(sys.modules) if name != "__main__" and _is_project(name)]):
            return cloudpickle.dumps(value)
    except Exception as error:  # whatever the parts raise when they are asked for their state
        raise BadInput(
            f"The transform cannot be stored ({type(error).__name__}: {error}). Its functions must not hold what lives in this process only, such as connections and locks."
        ) from error


@contextmanager
def by_value(*things: object) -> Iterator[None]:
    """Have cloudpickle copy the code of project modules, which another process may not be able to import."""
    names = {getattr(thing, "__module__", None) or type(thing).__module__ for thing in things} | {
        type(thing).__module__ for thing in things
    }
    with _modules_by_value([name for name in sorted(names) if name in sys.modules and name != "__main__" and _is_project(name)]):
        yield


@contextmanager
def _modules_by_value(names: Iterable[str]) -> Iterator[None]:
    modules = [sys.modules[name] for name in names]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _is_project(name: str) -> bool:
    origin = getattr(sys.modules[name], "__file__", None)
    if origin is None or name.partition(".")[0] == "everloop":
        return False
    # Compared as texts: thousands of modules are asked about.
    return not any(os.path.abspath(origin).startswith(folder) for folder in _installed())


@cache
def _installed() -> tuple[str, ...]:
    return tuple(str(Path(sysconfig.get_path(which))) + os.sep for which in ("stdlib", "platstdlib", "purelib", "platlib"))
