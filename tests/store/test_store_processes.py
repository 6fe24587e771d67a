from __future__ import annotations

import os
import subprocess
import time

import psutil
import pytest

from everloop.store import processes
from everloop.store.processes import is_gone, this_process


def test_a_process_is_known_by_host_number_and_start() -> None:
    host, pid, started = this_process().rsplit(":", 2)
    assert not is_gone(this_process())
    assert is_gone(f"{host}:{pid}:{float(started) - 60:.2f}")
    assert not is_gone(f"elsewhere:{pid}:1.00")
    assert not is_gone("")


def test_a_process_that_is_dead_but_not_buried_is_gone() -> None:
    process = subprocess.Popen(["sleep", "600"])
    host, _, _ = this_process().rsplit(":", 2)
    name = f"{host}:{process.pid}:{psutil.Process(process.pid).create_time():.2f}"
    try:
        assert not is_gone(name)
        process.kill()
        deadline = time.monotonic() + 10
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_gone(name)
    finally:
        process.wait()
    assert is_gone(name)


def test_this_process_has_the_start_that_psutil_gives() -> None:
    assert this_process().rsplit(":", 1)[1] == f"{psutil.Process().create_time():.2f}"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="there is no /proc")
def test_both_ways_to_ask_for_a_start_agree() -> None:
    process = subprocess.Popen(["sleep", "600"])
    try:
        for pid in (os.getpid(), os.getppid(), process.pid):
            assert processes._start_in_proc(pid) == processes._start_by_psutil(pid) != ""
        process.kill()
        deadline = time.monotonic() + 10
        while processes._start_by_psutil(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert processes._start_in_proc(process.pid) == processes._start_by_psutil(process.pid) == ""
    finally:
        process.wait()
    assert processes._start_in_proc(process.pid) == processes._start_by_psutil(process.pid) == ""


def test_a_name_in_parentheses_does_not_hide_the_start(tmp_path: os.PathLike[str]) -> None:
    program = os.path.join(tmp_path, "a) b (c")
    os.symlink("/bin/sleep", program)
    process = subprocess.Popen([program, "600"])
    try:
        assert processes._start(process.pid) == f"{psutil.Process(process.pid).create_time():.2f}"
    finally:
        process.kill()
        process.wait()
