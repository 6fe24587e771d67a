"""The import contracts hold, and a planted illegal import is caught in every direction."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).parent / "lint-imports"

PLANTS = {
    "core imports the store": ("core/record.py", "import everloop.store.blobs"),
    "core imports numpy": ("core/digest.py", "import numpy"),
    "the store imports the engine": ("store/blobs.py", "import everloop.engine.step"),
    "the engine imports a stage": ("engine/step.py", "import everloop.data.ingest"),
    "a stage imports another": ("train/fit.py", "import everloop.evaluate.score"),
    "a stage imports the ring": ("monitor/windows.py", "import everloop.loop"),
    "a stage imports an adapter": ("evaluate/score.py", "import everloop.adapters.sklearn"),
    "a stage imports a framework": ("serve/batch.py", "import sklearn"),
    "the ring imports the command line": ("loop.py", "import everloop.cli.run"),
    "a stage imports the server": ("trigger/decide.py", "import everloop.server.app"),
    "the server imports the command line": ("server/scheduler.py", "import everloop.cli.run"),
    "an adapter imports a stage": ("adapters/sklearn/trainer.py", "import everloop.evaluate.gates"),
    "the store imports MLflow": ("store/registry.py", "import mlflow"),
}


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LINTER), "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("planted")
    shutil.copytree(ROOT / "src" / "everloop", source / "everloop", ignore=shutil.ignore_patterns("__pycache__"))
    return source


def test_contracts_hold(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("what", PLANTS)
def test_an_illegal_import_is_caught(what: str, copy: Path) -> None:
    name, statement = PLANTS[what]
    victim = copy / "everloop" / name
    sound = victim.read_text()
    victim.write_text(f"{sound}\n\ndef _planted() -> None:\n    {statement}\n")
    try:
        result = lint(copy)
    finally:
        victim.write_text(sound)
    assert result.returncode == 1, f"{what} passed unnoticed:\n{result.stdout}"
    assert "BROKEN" in result.stdout


def cycle_in(source: Path) -> list[str]:
    """The modules of one import cycle, lazy imports included and imports for types alone left out; empty when there is none."""
    code = (
        "import grimp, json\n"
        "from graphlib import CycleError, TopologicalSorter\n"
        "graph = grimp.build_graph('everloop', exclude_type_checking_imports=True, cache_dir=None)\n"
        "try:\n"
        "    TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}).prepare(); print('[]')\n"
        "except CycleError as error: print(json.dumps(error.args[1]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(source)}, cwd=source, capture_output=True, text=True, check=True
    )
    return list(json.loads(result.stdout))


def test_there_are_no_import_cycles_and_a_planted_one_is_found(copy: Path) -> None:
    assert cycle_in(copy) == []
    victim = copy / "everloop" / "core" / "digest.py"
    sound = victim.read_text()
    victim.write_text(f"{sound}\n\ndef _planted() -> None:\n    import everloop.core.record\n")
    try:
        assert {"everloop.core.digest", "everloop.core.record"} <= set(cycle_in(copy))
    finally:
        victim.write_text(sound)
