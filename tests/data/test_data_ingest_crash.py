"""A process that is killed while it takes data leaves no half snapshot, and the next one finishes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.store import datasets, records, snapshots
from everloop.store.workspace import Workspace

PROGRAM = """
import os, signal, sys
from pathlib import Path
import polars as pl
from everloop.core.ports import Extract, Place
from everloop.data.ingest import take
from everloop.store import chunks, datasets, records
from everloop.store.workspace import Workspace, using

chunks._MOST_ROWS = 256
folder, growth, die_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
left = die_at

def audit(event, args):
    global left
    # Every file that is opened, renamed or removed in the store.
    if event in ("open", "os.rename", "os.remove", "os.mkdir") and args and isinstance(args[0], str) and "blobs" in args[0]:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

class Log:
    def describe(self): return "log"
    def stamp(self, place): return ""
    def read(self, place, *, since=()):
        begin = int(since[0]["rows"]) if since and growth == "append" else 0
        def batches():
            extract.origins.clear()
            for start in range(begin, 4_000, 500):
                yield pl.DataFrame({"n": range(start, start + 500), "t": [f"w{at % 91}" for at in range(start, start + 500)]})
            extract.origins.append({"locator": "log", "sha256": "0" * 64, "rows": 4_000})
        extract = Extract(batches, whole=not begin)
        return extract

with Workspace(folder) as workspace, using(workspace):
    with workspace.read() as tx:
        before = datasets.newest(tx, "d") if growth == "append" else None
    if die_at:
        sys.addaudithook(audit)
    found = take(Log(), dataset="d", place=Place("d", folder, folder), growth=growth, before=before)
    left = 0
    with workspace.write() as tx:
        records.keep(tx, found)
        datasets.note(tx, found, mode=growth, by="run", project="p")
print(found.id)
"""


def run(folder: Path, growth: str, die_at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM, str(folder), growth, str(die_at)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("growth", "die_at"), [("full", 3), ("full", 33), ("append", 17)])
def test_a_killed_reading_leaves_nothing_behind(tmp_path: Path, growth: str, die_at: int) -> None:
    died = run(tmp_path, growth, die_at)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with Workspace(tmp_path) as workspace, workspace.read() as tx:
        assert datasets.newest(tx, "d") is None
        assert records.of_kind(tx, "snapshot") == []
    again = run(tmp_path, growth, 0)
    assert again.returncode == 0, again.stderr
    with Workspace(tmp_path) as workspace:
        with workspace.read() as tx:
            newest = datasets.newest(tx, "d")
        assert newest is not None
        assert snapshots.load(workspace.blobs, newest)["n"].to_list() == list(range(4_000))


@pytest.mark.full
def test_a_hundred_random_kills(tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        run(folder, "append", chance.randrange(1, 80))
        assert run(folder, "append", 0).returncode == 0
        with Workspace(folder) as workspace, workspace.read() as tx:
            newest = datasets.newest(tx, "d")
            assert newest is not None
            assert newest.rows == 4_000
