"""The one step that every tool executes, and what a runner program tells the benchmark. Imports nothing that a peer could be charged for."""

from __future__ import annotations

import os
import sys


def add_one(value: int) -> int:
    """The body. A byte in a file for each execution, from whatever process, so that the benchmark can count them."""
    file = os.open(os.environ["BENCH_EXECUTED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(file, b".")
    os.close(file)
    return value + 1


def task() -> tuple[int, str, bool]:
    """How many steps, in which folder, and whether results must be kept so that a second run finds them."""
    return int(sys.argv[1]), sys.argv[2], sys.argv[3] == "keep"


def report(value: object, **facts: float) -> None:
    """The pipeline's value and what was measured within the process, as `name value` lines."""
    with open(os.environ["BENCH_REPORT"], "w", encoding="utf-8") as file:
        for name, fact in {"value": value, **facts}.items():
            file.write(f"{name} {fact}\n")
