"""What a step's body prints -> a file of its own, `logs/<run>/<number>-<step>.log`. A body that prints nothing leaves none."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


def path_of(home: Path, run: str, seq: int, step: str) -> Path:
    return home / "logs" / run / f"{seq:05}-{_PLAIN.sub('_', step)[:80]}.log"


@contextmanager
def captured(path: Path) -> Generator[None]:
    """In the run's own process: what Python code prints goes on to where it went, and into the file too."""
    log = _Log(path)
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Tee(out, log), _Tee(err, log)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        log.close()


@contextmanager
def redirected(path: Path) -> Generator[None]:
    """In a worker: all that is written to descriptors 1 and 2, by whatever library or child, goes into the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(1), os.dup(2)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _flush()
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        yield
    finally:
        _flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (handle, *saved):
            os.close(descriptor)
        if path.stat().st_size == 0:
            path.unlink()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


class _Log:
    """Opened at the first write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def write(self, text: str) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._file.write(text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Tee(io.TextIOBase):
    """Whoever keeps it beyond the body (a logging handler that was made there) writes to the stream alone."""

    def __init__(self, stream: TextIO, log: _Log) -> None:
        self._stream = stream
        self._log = log

    def write(self, text: str, /) -> int:
        if sys.stdout is self or sys.stderr is self:
            self._log.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def buffer(self) -> object:
        return self._stream.buffer
