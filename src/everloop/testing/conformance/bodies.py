"""The steps of the conformance pipelines. Each body leaves a line in the notes of its check, so that repetitions are seen.

They live in the package, so that any worker can import them. A folder is passed as text: as a Path, its content would be part of the key.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.core.verdict import Finding, Verdict
from everloop.engine.progress import track
from everloop.engine.step import step
from everloop.testing.conformance import errands
from everloop.testing.conformance.under import PATIENCE_S, note, notes

if TYPE_CHECKING:
    import polars as pl


class Refused(Exception):
    """An exception of the user's own, with something in it."""

    def __init__(self, what: str, amount: int) -> None:
        super().__init__(what, amount)
        self.what = what
        self.amount = amount


class Point:
    """An object that only a pickle can hold."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


# Plain ones.


@step
def number(folder: str, value: int) -> int:
    note(folder, f"number {value}")
    return value


@step
def add(folder: str, a: int, b: int) -> int:
    note(folder, f"add {a} {b}")
    return a + b


@step
def doubled(value: int, folder: str) -> int:
    note(folder, f"doubled {value}")
    return 2 * value


@step
def total(folder: str, values: Any) -> int:
    note(folder, "total")
    return sum(values.values() if isinstance(values, dict) else values)


@step
def upto(folder: str, n: int) -> list[int]:
    note(folder, f"upto {n}")
    return list(range(n))


@step
def named(folder: str, n: int) -> dict[str, int]:
    note(folder, f"named {n}")
    return {f"item-{index}": index for index in range(n)}


@step
def rounded(folder: str, value: float) -> int:
    """To one result from many inputs."""
    note(folder, f"rounded {value}")
    return round(value)


@step
def nested(items: list[Any], named: dict[str, Any], *rest: Any, **more: Any) -> list[Any]:
    return [items, named, list(rest), more]


@step
def after(value: Any, gate: str) -> Any:
    """The value, once a file is there."""
    wait_for(gate)
    return value


@step
def length(values: list[int]) -> int:
    return len(values)


@step(env=("EVERLOOP_CONFORMANCE",))
def environment(folder: str) -> list[Any]:
    return [os.environ.get("EVERLOOP_CONFORMANCE"), str(Path.cwd())]


@step
def process(folder: str, value: Any) -> int:
    """Where a body runs."""
    return os.getpid()


# What passes between steps.


@step
def table(rows: int) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame({"x": range(rows), "name": [f"row {row}" for row in range(rows)]})


@step
def arrow(frame: pl.DataFrame) -> Any:
    return frame.to_arrow()


@step
def array(frame: Any) -> Any:
    import numpy as np

    return np.asarray(frame["x"]) * 0.5


@step
def file(values: Any, folder: str) -> Path:
    path = Path(folder) / "made" / "sum.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{values.sum():.1f}")
    return path


@step
def point(path: Path) -> Point:
    text = path.read_text()
    return Point(len(text), int(float(text)))


@step
def verdict(point: Point) -> Verdict:
    said = Finding(check="x", passed=point.x > 0, message=f"x is {point.x}")
    return Verdict(question="Is it a point?", about="", findings=(said,))


@step
def answer(verdict: Verdict, point: Point, numbers: dict[str, Any]) -> list[Any]:
    return [verdict.passed, point.y, numbers]


@step
def summed(values: Any) -> float:
    return float(values.sum())


# Trouble.


@step
def refuse(folder: str, amount: int) -> None:
    note(folder, "refuse")
    raise Refused("on purpose", amount)


@step(retries=3, retry_delay_s=0.02)
def flaky(folder: str) -> str:
    """Good the third time."""
    note(folder, f"flaky at {time.time()}")
    if len([line for line in notes(folder) if line.startswith("flaky")]) < 3:
        raise ConnectionError("not yet")
    return "at last"


@step(retries=1, retry_delay_s=0.01)
def hopeless(folder: str) -> None:
    note(folder, "hopeless")
    raise ConnectionError("never")


@step(retries=1, retry_delay_s=0.01)
def dies_once(folder: str) -> str:
    note(folder, "dies_once")
    if notes(folder).count("dies_once") < 2:
        os._exit(3)
    return "alive"


def endless(folder: str) -> None:
    errands.write_pids(Path(folder) / "family", [os.getpid(), *errands.children()])
    time.sleep(600)


ENDLESS = {limit_s: step(timeout_s=limit_s)(endless) for limit_s in (2.0, 10.0, 50.0)}


@step
def lingering(folder: str, name: str) -> None:
    errands.write_pids(Path(folder) / f"family-{name}", [os.getpid(), *errands.children()])
    time.sleep(600)


@step
def dying(how: str) -> None:
    print("last words", flush=True)
    errands.die(how)


@step
def leaving() -> None:
    sys.exit(4)


@step
def unkeepable(kind: str) -> Any:
    import threading

    return (x for x in [1]) if kind == "generator" else threading.Lock()


@step
def itself(depth: int) -> Any:
    return itself(depth - 1) if depth else 0


@step
def deep(depth: int) -> int:
    def further(left: int) -> int:
        return further(left + 1)

    return further(depth)


# What is seen of them.


@step(effect=True)
def tell(folder: str, what: Any) -> int:
    note(folder, f"tell {what} ({os.getpid()})")
    return os.getpid()


@step
def talkative(word: str) -> int:
    print(f"{word} by print")
    print(f"{word} as error", file=sys.stderr)
    return len(word)


@step
def with_child(word: str) -> int:
    return subprocess.run([sys.executable, "-S", "-c", f"print({word!r} + ' by a child')"], check=True).returncode


@step
def counting(n: int) -> int:
    return len(list(track(range(n))))


# At the same time.


@step
def meet(folder: str, name: str, others: list[str]) -> str:
    """Ends when the others are at work too."""
    note(folder, f"meet {name}")
    (Path(folder) / name).touch()
    for other in others:
        wait_for(str(Path(folder) / other))
    return name


@step
def held(folder: str, value: int) -> int:
    """The value, once the gate is open."""
    note(folder, f"held {value} {os.getpid()}")
    wait_for(str(Path(folder) / "gate"))
    return value


@step(cpus=2)
def wide(folder: str, value: int) -> int:
    return _spell(folder, f"wide {value}", value)


@step
def narrow(folder: str, value: int) -> int:
    return _spell(folder, f"narrow {value}", value)


@step(cpus=100_000)
def immense(folder: str) -> None:
    note(folder, "immense")


def _spell(folder: str, name: str, value: int) -> int:
    begun = time.time()
    time.sleep(0.05)
    note(folder, f"{name} {begun} {time.time()}")
    return value


def wait_for(file: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not Path(file).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{file} did not come")
        time.sleep(0.005)


# Pipelines of scripts.


@step
def unless_gate(folder: str, name: str, value: int) -> int:
    """Does not end, unless a file is there when it begins."""
    if not (Path(folder) / "gate").exists():
        errands.write_pids(Path(folder) / f"family-{name}", [os.getpid(), *errands.children()])
        time.sleep(600)
    return value


def crowd(folder: str) -> Any:
    zero = number(folder, 0)
    return total(folder, [zero, *(doubled(value, folder) for value in range(7))])


def gated(folder: str) -> Any:
    first = number(folder, 0)
    first.result()
    return total(folder, [unless_gate(folder, "a", 1), unless_gate(folder, "b", 2), first])
