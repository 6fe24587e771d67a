"""What cannot be part of a key: each is refused by step, parameter and cure."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import socket
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa

from everloop.core.errors import BadInput
from everloop.engine.canonical import NoForm
from everloop.engine.code import Code
from everloop.engine.keys import key

NOTHING = Code("", {})


class Holder:
    def __init__(self, **content: object) -> None:
        self.__dict__.update(content)


class PendingHandle:
    """Stands in the place of a step's handle, which refuses to lie inside an object."""

    def __canonical__(self, inside_object: bool, form: object) -> object:
        if inside_object:
            raise NoForm("a handle of step 'read' lies inside an object. Pass it directly or in a list, or its .result()")
        return ["input", "a"]


def numbers() -> Iterator[int]:
    yield 1


def cases() -> dict[str, tuple[Callable[[], object], str]]:
    """name -> (makes the value, what the message says of it)"""
    return {
        "bare object": (object, "equals only itself. Pass plain data"),
        "set of bare objects": (lambda: {object()}, "equals only itself. Pass plain data"),
        "generator": (numbers, r"iterator \(generator\) is gone once it was read. Pass a list"),
        "iterator": (lambda: iter([1]), "Pass a list"),
        "map": (lambda: map(str, [1]), "Pass a list"),
        "count": (itertools.count, "Pass a list"),
        "lock": (threading.Lock, "lives in this process only. Make it in the step"),
        "lock within": (lambda: [1, {"a": threading.Lock()}], r"data\[1\]\['a'\]: a _thread.lock lives in this process only"),
        "lock of an object": (lambda: Holder(pool=Holder(lock=threading.RLock())), r"data\.pool\.lock: "),
        "queue": (queue.Queue[int], "lives in this process only"),
        "thread": (lambda: threading.Thread(target=print), "lives in this process only"),
        "partial of such": (lambda: functools.partial(max, object()), "equals only itself"),
        "LazyFrame": (lambda: pl.LazyFrame({"a": [1]}), r"Call \.collect\(\) and pass the table\.$"),
        "connection": (lambda: sqlite3.connect(":memory:"), "Connection lives in this process only. Make it in the step"),
        "cursor": (lambda: sqlite3.connect(":memory:").cursor(), "Cursor lives in this process only"),
        "engine": (lambda: sa.create_engine("sqlite://"), "lives in this process only"),
        "http client": (httpx.Client, "lives in this process only"),
        "socket": (socket.socket, "is open in this process only. Pass the path or address"),
        "array of objects": (lambda: np.array([object()], dtype=object), "equals only itself"),
        "array of generators": (lambda: np.array([numbers()], dtype=object), "Pass a list"),
        "series of objects": (lambda: pl.Series("o", [object()], dtype=pl.Object), "values cannot be read"),
        "pandas objects": (lambda: pd.Series([object()]), "equals only itself"),
        "weak reference": (lambda: weakref.ref(numbers), "may lose its content"),
        "handle in an object": (lambda: Holder(scores=PendingHandle()), "a handle of step 'read' lies inside an object"),
    }


@pytest.mark.parametrize("name", cases())
def test_refused_by_step_parameter_and_cure(name: str) -> None:
    make, text = cases()[name]
    value = make()
    with contextlib.closing(value) if hasattr(value, "close") else contextlib.nullcontext(), pytest.raises(BadInput, match=text) as caught:
        key("fit", NOTHING, {"rows": 1, "data": value}, where=" (loop.py:7)")
    assert str(caught.value).startswith("Step 'fit' (loop.py:7): the parameter 'data' cannot be part of a key: ")
    assert str(caught.value).endswith(".")


def test_open_files_and_what_is_no_file(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as file, pytest.raises(BadInput, match="is open in this process only"):
        key("fit", NOTHING, {"data": file})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="pipe' is neither a file nor a folder"):
        key("fit", NOTHING, {"data": [tmp_path / "pipe"]})
    with pytest.raises(BadInput, match="cannot be read"):
        key("fit", NOTHING, {"data": Path("a\0b")})


def test_nesting_beyond_the_stack() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BadInput, match=r"'data' .* nested too deeply"):
        key("fit", NOTHING, {"data": value})
    while value:  # freed one by one, not by recursion
        value = value.pop()


def test_what_might_look_hopeless_has_a_form() -> None:
    """Functions count by their code, and what contains itself by its shape."""
    ring: list[Any] = [1]
    ring.append(ring)
    again: list[Any] = [1]
    again.append(again)
    other: list[Any] = [2]
    other.append(other)
    assert key("fit", NOTHING, {"data": ring}).digest == key("fit", NOTHING, {"data": again}).digest
    values = [ring, other, lambda x: x, lambda x: x + 1, functools.partial(max, 1), {Holder(a=1)}, {Holder(a=2)}]
    assert len({key("fit", NOTHING, {"data": value}).digest for value in values}) == len(values)
