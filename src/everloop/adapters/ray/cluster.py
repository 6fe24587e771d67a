"""Which Ray cluster: the one this process is connected to, the one that RAY_ADDRESS names, or a local one for as long as it is needed."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from everloop.core.errors import Broken, Missing

# What Ray prints to stdout about a worker or a node that died comes as an error of the step, with its name.
_SAID_BY_US = r"A worker died or was killed|Raylet is terminated|has been marked dead|Task was killed|Workers \(tasks / actors\) killed"
# A name of a unix socket has at most 107 characters, and Ray appends some 70 to its folder.
_LONGEST_FOLDER = 36
_KNOCK_S = 10.0

_lock = threading.Lock()
_users = 0
_ours: Path | None = None


def join(workers: int | None) -> tuple[ModuleType, bool]:
    """(ray, whether the cluster is on this machine alone). `leave` once for each `join`. `workers` is the size of one that is started.

    Missing without Ray, Broken when the cluster cannot be reached or started.
    """
    global _users, _ours  # noqa: PLW0603
    with _lock:
        ray = _library()
        if not ray.is_initialized():
            _users = 0
            _drop_folder()
            address = _address()
            _ours = None if address else _folder()
            try:
                _knock(address)
                _connect(ray, workers)
            except Exception as error:
                _drop_folder()
                place = (
                    f"The Ray cluster at RAY_ADDRESS={address} cannot be reached" if address else "A local Ray cluster cannot be started"
                )
                raise Broken(
                    f"{place}: {error}. Start the cluster ('ray start --head'), correct or unset RAY_ADDRESS, or use executor='processes'."
                ) from error
        elif not _users:
            # Somebody else connected this process, and will disconnect it.
            return ray, False
        _users += 1
        return ray, _ours is not None


def leave(ray: ModuleType) -> None:
    """The last one who leaves disconnects, and shuts down what `join` started."""
    global _users  # noqa: PLW0603
    with _lock:
        if not _users:
            return
        _users -= 1
        if not _users:
            with suppress(Exception):
                ray.shutdown()
            _drop_folder()


def _library() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = os.environ.get("RAY_DEDUP_LOGS_SKIP_REGEX")
    os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = f"{quiet}|{_SAID_BY_US}" if quiet else _SAID_BY_US
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise Missing(
            f"executor 'ray' needs the library {error.name!r}, which is not installed. Install it: pip install 'everloop[ray]'"
        ) from error
    finally:
        if quiet is None:
            del os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"]
        else:
            os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = quiet


def _connect(ray: Any, workers: int | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if _ours is not None:
        options |= {"address": "local", "include_dashboard": False, "num_cpus": workers, "_temp_dir": str(_ours)}
    with _own_signals(), _quiet():
        ray.init(**options)


@contextmanager
def _own_signals() -> Generator[None]:
    """Ray puts a handler of its own on SIGTERM; how the coordinator ends is not Ray's to say."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


@contextmanager
def _quiet() -> Generator[None]:
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _folder() -> Path:
    short = Path(tempfile.gettempdir())
    return Path(tempfile.mkdtemp(prefix="everloop-ray-", dir=short if len(str(short)) + 22 <= _LONGEST_FOLDER else "/tmp"))  # noqa: S108


def _drop_folder() -> None:
    global _ours  # noqa: PLW0603
    if _ours is not None:
        shutil.rmtree(_ours, ignore_errors=True)
        _ours = None


def _address() -> str:
    """Empty for a local cluster of our own."""
    address = os.environ.get("RAY_ADDRESS", "")
    return "" if address == "local" else address


def _knock(address: str) -> None:
    """Where nobody answers, Ray would end this whole process."""
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
