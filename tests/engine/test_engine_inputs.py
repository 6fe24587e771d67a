"""A key covers the versions of the libraries whose objects a body is given, also when its code never names them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from everloop import pipeline, step
from fakelib import Box, box

@step
def made():
    return box(1)

@step
def direct(value):
    return value.x

@step
def listed(values):
    return len(values)

@step
def plain(n):
    return n

@pipeline
def all_of_them():
    direct(Box(1)), listed([Box(1), Box(2)]), plain(3)

all_of_them()
"""


def executed(folder: Path, version: str) -> dict[str, str]:
    """Step -> why, of those that ran with this version installed."""
    site = folder / version / "site-packages"
    (site / "fakelib").mkdir(parents=True, exist_ok=True)
    (site / "fakelib" / "__init__.py").write_text(
        "class Box:\n    def __init__(self, x):\n        self.x = x\n\ndef box(x):\n    return Box(x)\n"
    )
    info = site / f"fakelib-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n")
    (info / "RECORD").write_text("fakelib/__init__.py,,\n")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, "script.py"], cwd=folder, env=os.environ | {"PYTHONPATH": str(site)}, check=True)

    from everloop.store import runs
    from everloop.store.workspace import Workspace

    with Workspace(folder) as workspace, workspace.read() as tx:
        (run,) = runs.find(tx, limit=1)
        return {row.name: row.because for row in runs.steps_of(tx, run.id) if row.status == "done"}


def test_another_version_of_an_arguments_library_is_another_key(tmp_path: Path) -> None:
    assert set(executed(tmp_path, "1.0")) == {"direct", "listed", "plain"}
    assert executed(tmp_path, "1.0") == {}
    again = executed(tmp_path, "2.0")
    assert set(again) == {"direct", "listed"}
    assert all("fakelib 1.0 -> 2.0" in why for why in again.values())


@pytest.mark.parametrize(("made", "library"), [("pl.DataFrame({'x': [1]})", "polars"), ("np.arange(3)", "numpy")])
def test_results_of_other_steps_count_by_what_they_are(tmp_path: Path, made: str, library: str) -> None:
    (tmp_path / "script.py").write_text(f"""
import numpy as np, polars as pl
from everloop import pipeline, step

@step
def first():
    return {made}

@step
def second(value):
    return len(value)

pipeline(lambda: second(first()))()
""")
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True)
    from everloop.store.workspace import Workspace

    with Workspace(tmp_path) as workspace, workspace.read() as tx:
        detail = tx.sql("SELECT detail FROM cache WHERE step = 'second'").value()
    assert f'"{library}":' in detail
