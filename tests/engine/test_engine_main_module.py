"""A worker that is another program shows the coordinator's `__main__`, and goes on with its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_COORDINATOR = (
    "import json\nfrom everloop.engine import main_module, origin\nprint(json.dumps([main_module.describe(), origin.label('__main__')]))\n"
)

_WORKER = """
import json, sys
from everloop.engine import main_module, origin

OWN = "kept"
before = sys.modules["__main__"]
for _ in range(2):
    main_module.stand_in(main_module.Main(*json.loads(sys.argv[1])))
print(json.dumps([main_module.describe(), origin.label("__main__"), OWN, hasattr(sys.modules["__main__"], "OWN")]))
"""


@pytest.mark.parametrize("command", [["script.py"], ["-m", "script"], ["-m", "package"], ["-c", _COORDINATOR]])
def test_the_stand_in_looks_like_the_coordinators(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(_COORDINATOR)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(_COORDINATOR)
    (tmp_path / "worker.py").write_text(_WORKER)
    described, label = said(command, tmp_path)
    assert said(["worker.py", json.dumps(described)], tmp_path) == [described, label, "kept", False]


def said(command: list[str], folder: Path) -> list[object]:
    ended = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)
