"""Run inside the temporary project of test_engine_edits.py: applies edits one after the other, runs the pipeline, prints what missed."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from everloop.engine.run import execute
from everloop.store import runs
from everloop.store.workspace import Workspace

MODULES = ("steps", "helpers", "kinds", "stars", "lazy_one", "lazy_two", "decorators", "registry", "pkg", "pkg.inner", "pkg.deep")
LATE = "late:"
Edit = dict[str, tuple[str, str]]


def missed(workspace: Workspace, late: Edit) -> dict[str, str]:
    """Step -> why, of those that ran. `late` are edits of files that are made after the project was imported."""
    for name in MODULES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    steps = importlib.import_module("steps")
    for name, (old, new) in late.items():
        apply(name, old, new)
    with workspace.write() as tx:
        run = runs.claim(tx, runs.queue(tx, "", "everything", decision="").id)
    assert run is not None
    execute(steps.everything, workspace=workspace, run=run)
    with workspace.read() as tx:
        return {step.name: step.because for step in runs.steps_of(tx, run.id) if step.status != "hit"}


def apply(name: str, old: str, new: str) -> None:
    """Replace the one place where `old` stands; make the file when there is no old text, delete it when there is no new one."""
    if name.startswith("$"):
        assert os.environ[name[1:]] == old
        os.environ[name[1:]] = new
        return
    path = Path(name)
    before = path.read_text() if old else ""
    assert before.count(old) == 1 if old else not path.exists(), (name, old)
    if before == old and not new:
        path.unlink()
    else:
        path.write_text(before.replace(old, new) if old else new)


def main() -> None:
    sys.dont_write_bytecode = True
    sys.path[:0] = [".", "site-packages"]
    edits: list[Edit] = json.loads(Path("edits.json").read_text())
    answers: list[dict[str, str]] = []
    with Workspace(".") as workspace:
        answers.append(missed(workspace, {}))
        for edit in edits:
            late = {name.removeprefix(LATE): change for name, change in edit.items() if name.startswith(LATE)}
            files = {name: Path(name).read_text() if Path(name).exists() else None for name in [*edit, *late] if name[0] != "$"}
            variables = dict(os.environ)
            for name, (old, new) in edit.items():
                if not name.startswith(LATE):
                    apply(name, old, new)
            answers.append(missed(workspace, late))
            os.environ.update(variables)
            for name, text in files.items():
                if text is not None:
                    Path(name).write_text(text)
                else:
                    Path(name).unlink(missing_ok=True)
        answers.append(missed(workspace, {}))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
