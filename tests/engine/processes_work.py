"""What the tests of the executor `processes` have done in workers. A task is JSON: the name of a function here, and its arguments."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from everloop.engine.origin import label, origin

Tell = Callable[[bytes], None]
# Ignores SIGTERM, then says who it is by a file of that name.
STUBBORN = (
    "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "open(os.path.join(sys.argv[1], str(os.getpid())), 'w').close(); time.sleep(600)"
)


def work(task: bytes, tell: Tell) -> bytes:
    name, _, argument = task.partition(b" ")
    return _WHAT[name.decode()](argument, tell)


def _main(_: bytes, __: Tell) -> bytes:
    found = {"label": label("__main__"), "origin": origin("__main__").kind, "names": sorted(vars(sys.modules["__main__"]))}
    return json.dumps(found | {"argv": sys.argv, "path": sys.path, "folder": str(Path.cwd())}).encode()


def _tell(argument: bytes, tell: Tell) -> bytes:
    for number in range(int(argument)):
        tell(b"%d" % number)
    return b"told"


def _meet(folder: bytes, _: Tell) -> bytes:
    """Ends when another process is here at the same time."""
    place = Path(os.fsdecode(folder))
    (place / str(os.getpid())).touch()
    while len(list(place.iterdir())) < 2:
        time.sleep(0.005)
    return b"%d" % os.getpid()


def _exit(code: bytes, _: Tell) -> bytes:
    os._exit(int(code))


def _sys_exit(code: bytes, _: Tell) -> bytes:
    sys.exit(int(code))


def _hang_at_exit(code: bytes, _: Tell) -> bytes:
    atexit.register(time.sleep, 600)
    sys.exit(int(code))


def _crash(_: bytes, __: Tell) -> bytes:
    ctypes.string_at(0)
    return b""


def _raise(text: bytes, _: Tell) -> bytes:
    raise ValueError(text.decode())


def _kill(number: bytes, _: Tell) -> bytes:
    os.kill(os.getpid(), int(number))
    time.sleep(600)
    return b""


def _hold_memory(megabytes: bytes, _: Tell) -> bytes:
    held = bytearray(b"x") * (int(megabytes) * 1_000_000)
    os.kill(os.getpid(), signal.SIGKILL)
    return bytes(held)


def _sleep(argument: bytes, tell: Tell) -> bytes:
    tell(b"%d" % os.getpid())
    time.sleep(float(argument))
    return b"slept"


def _clean_up(path: bytes, tell: Tell) -> bytes:
    try:
        tell(b"")
        time.sleep(600)
    finally:
        Path(os.fsdecode(path)).write_text("cleaned up")
    return b""


def _deaf(_: bytes, tell: Tell) -> bytes:
    """Code that never comes back to Python, as far as signals are concerned."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell(b"%d" % os.getpid())
    time.sleep(600)
    return b""


def start_stubborn(folder: str, *, session: bool, count: int = 1) -> None:
    """Children that ignore SIGTERM, each with a child of its own kind; `session`: out of the worker's process group."""
    nested = f"import subprocess, sys; subprocess.Popen([sys.executable, '-IS', '-c', {STUBBORN!r}, sys.argv[1]]); {STUBBORN}"
    for _ in range(count):
        subprocess.Popen([sys.executable, "-IS", "-c", nested, folder], start_new_session=session)
    while len(os.listdir(folder)) < 2 * count:
        time.sleep(0.005)


def _family(folder: bytes, tell: Tell) -> bytes:
    """Stays, with children in its own group and in others."""
    place = os.fsdecode(folder)
    for name in ("near", "far"):
        os.mkdir(os.path.join(place, name))
        start_stubborn(os.path.join(place, name), session=name == "far")
    tell(b"%d" % os.getpid())
    time.sleep(600)
    return b""


def _leave_behind(folder: bytes, _: Tell) -> bytes:
    subprocess.Popen([sys.executable, "-IS", "-c", STUBBORN, os.fsdecode(folder)], start_new_session=True)
    while not os.listdir(folder):
        time.sleep(0.005)
    return b"%d" % os.getpid()


def _fork(_: bytes, tell: Tell) -> bytes:
    """A child that comes back out of the work, and must neither tell nor answer."""
    pid = os.fork()
    tell(b"parent" if pid else b"child")
    if pid:
        os.waitpid(pid, 0)
    return b"parent" if pid else b"child"


def _close_all(_: bytes, __: Tell) -> bytes:
    os.closerange(3, 256)
    time.sleep(600)
    return b""


def _environment(_: bytes, __: Tell) -> bytes:
    return json.dumps(dict(os.environ) | {"pid": os.getpid(), "session": os.getsid(0)}).encode()


def _meet_environment(folder: bytes, tell: Tell) -> bytes:
    _meet(folder, tell)
    return _environment(b"", tell)


def _draw(_: bytes, __: Tell) -> bytes:
    import numpy as np

    return repr(np.random.random()).encode()


def _polars(_: bytes, __: Tell) -> bytes:
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pl.DataFrame({"a": range(200_000)}).lazy().group_by(pl.col("a") % 7).agg(pl.col("a").alias("n").sum()).collect()
    return b"%d" % pc.sum(pa.chunked_array([pa.array(table["n"].to_list())])).as_py()


def _stdin(_: bytes, __: Tell) -> bytes:
    return repr(sys.stdin.read()).encode()


def _interrupt(_: bytes, __: Tell) -> bytes:
    os.kill(os.getpid(), signal.SIGINT)
    child = subprocess.run([sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"], capture_output=True, check=True)
    return child.stdout


_WHAT: dict[str, Callable[[bytes, Tell], bytes]] = {
    "echo": lambda argument, _: argument,
    "large": lambda argument, _: b"x" * int(argument),
    "length": lambda argument, _: b"%d" % len(argument),
    "pid": lambda _, __: b"%d" % os.getpid(),
    "text": lambda _, __: "no bytes",  # type: ignore[dict-item,return-value]
    "main": _main,
    "tell": _tell,
    "meet": _meet,
    "exit": _exit,
    "sys_exit": _sys_exit,
    "hang_at_exit": _hang_at_exit,
    "crash": _crash,
    "raise": _raise,
    "kill": _kill,
    "hold_memory": _hold_memory,
    "sleep": _sleep,
    "clean_up": _clean_up,
    "deaf": _deaf,
    "family": _family,
    "leave_behind": _leave_behind,
    "fork": _fork,
    "close_all": _close_all,
    "environment": _environment,
    "meet_environment": _meet_environment,
    "draw": _draw,
    "polars": _polars,
    "stdin": _stdin,
    "interrupt": _interrupt,
}
