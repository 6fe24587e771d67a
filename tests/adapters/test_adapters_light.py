"""Opening a model does not import torch, where it is installed; and leaves it importable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import {first}
from everloop.adapters.sklearn import archive
assert "skops.io" in sys.modules
print("torch" in sys.modules)
import importlib
try:
    importlib.import_module("sklearn.externals.array_api_compat.torch")
except Exception:
    pass  # the planted torch has nothing in it
print("torch" in sys.modules)
"""


def imported(folder: Path, first: str) -> list[str]:
    (folder / "torch").mkdir(exist_ok=True)
    (folder / "torch" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_skops_comes_without_torch(tmp_path: Path) -> None:
    assert imported(tmp_path, "sys") == ["False", "True"]


def test_planted_without_our_care_it_does(tmp_path: Path) -> None:
    """The reason for the care: skops alone imports it. When this fails, the care can go."""
    assert imported(tmp_path, "skops.io") == ["True", "True"]
