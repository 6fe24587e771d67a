"""Run inside the temporary project of test_engine_edits.py: applies edits one after the other, runs the pipeline, prints what missed."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from everloop.engine.run import execute
from everloop.store import runs
from everloop.store.workspace import Workspace

MODULES = ("steps", "helpers", "lazy_one", "lazy_two", "decorators", "registry", "pkg", "pkg.inner", "pkg.deep")


def missed(workspace: Workspace) -> dict[str, str]:
    """Step -> why, of those that ran."""
    for name in MODULES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    steps = importlib.import_module("steps")
    with workspace.write() as tx:
        run = runs.claim(tx, runs.queue(tx, "", "everything", decision="").id)
    assert run is not None
    execute(steps.everything, workspace=workspace, run=run)
    with workspace.read() as tx:
        return {step.name: step.because for step in runs.steps_of(tx, run.id) if step.status != "hit"}


def main() -> None:
    sys.dont_write_bytecode = True
    sys.path.insert(0, ".")
    edits = json.loads(Path("edits.json").read_text())
    answers: list[dict[str, str]] = []
    with Workspace(".") as workspace:
        answers.append(missed(workspace))
        for edit in edits:
            before = {name: Path(name).read_text() for name in edit}
            for name, (old, new) in edit.items():
                assert before[name].count(old) == 1, (name, old)
                Path(name).write_text(before[name].replace(old, new))
            answers.append(missed(workspace))
            for name, text in before.items():
                Path(name).write_text(text)
        answers.append(missed(workspace))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
