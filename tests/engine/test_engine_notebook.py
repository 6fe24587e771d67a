"""Cells of a notebook: steps of `__main__` without a file, defined again and again."""

from __future__ import annotations

import code
import sys
from types import ModuleType
from typing import Any

import pytest

from everloop.engine.code import Code, code_digest
from everloop.engine.keys import because, key


class Notebook:
    """Compiles cells as IPython does: into `__main__`, under a file name of their own that changes with content and number."""

    def __init__(self, main: ModuleType) -> None:
        self.main = main
        self.count = 0

    def run(self, cell: str) -> None:
        self.count += 1
        name = f"/tmp/ipykernel_{4242 + self.count}/{abs(hash(cell))}.py" if self.count % 2 else f"<ipython-input-{self.count}-0a1b2c>"
        exec(compile(cell, name, "exec"), vars(self.main))

    def __getitem__(self, name: str) -> Any:
        return vars(self.main)[name]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    return Notebook(main)


HELPER = "RATE = 2\ndef scale(x):\n    return x * {}\n"
STEP = "from everloop.engine.step import step\n@step\ndef fit(n=1):\n    return scale(n) + RATE\n"


def reason(now: Code, before: Code) -> str:
    return because(key("fit", now, {}).detail, key("fit", before, {}).detail)


def test_a_cell_that_is_run_again_changes_nothing(notebook: Notebook) -> None:
    notebook.run(HELPER.format(3))
    notebook.run(STEP)
    before = code_digest(notebook["fit"])
    notebook.run("# a comment\n" + HELPER.format(3))
    assert code_digest(notebook["fit"]).digest == before.digest
    notebook.run(STEP)
    notebook.run("import math")
    assert code_digest(notebook["fit"]).digest == before.digest
    assert set(before.parts) == {"__main__.fit", "__main__.scale", "__main__.RATE"}


def test_a_step_defined_anew_runs_again_and_says_why(notebook: Notebook) -> None:
    notebook.run(HELPER.format(3))
    notebook.run(STEP)
    before = code_digest(notebook["fit"])
    notebook.run(STEP.replace("+ RATE", "- RATE"))
    after = code_digest(notebook["fit"])
    assert after.digest != before.digest
    assert reason(after, before) == "__main__.fit changed"
    notebook.run(STEP)
    assert code_digest(notebook["fit"]).digest == before.digest


def test_a_helper_or_global_defined_anew_reaches_steps_of_older_cells(notebook: Notebook) -> None:
    notebook.run(HELPER.format(3))
    notebook.run(STEP)
    before = code_digest(notebook["fit"])
    notebook.run(HELPER.format(4))
    helper = code_digest(notebook["fit"])
    assert reason(helper, before) == "__main__.scale changed"
    notebook.run("RATE = 5")
    assert reason(code_digest(notebook["fit"]), helper) == "__main__.RATE changed"


def test_the_order_and_number_of_cells_do_not_count(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.run(HELPER.format(3))
    notebook.run(STEP)
    before = code_digest(notebook["fit"]).digest
    restarted = Notebook(ModuleType("__main__"))
    restarted.count = 9
    monkeypatch.setitem(sys.modules, "__main__", restarted.main)
    restarted.run(STEP)
    restarted.run("unrelated = object()")
    restarted.run(HELPER.format(3))
    assert code_digest(restarted["fit"]).digest == before


def test_classes_of_cells(notebook: Notebook) -> None:
    cell = "class Model:\n    bias = {}\n    def predict(self): return {}\n"
    notebook.run(cell.format(1, 2))
    notebook.run("def fit(): return Model().predict()")
    before = code_digest(notebook["fit"])
    notebook.run(cell.format(1, 2))
    assert code_digest(notebook["fit"]).digest == before.digest
    notebook.run(cell.format(1, 3))
    assert reason(code_digest(notebook["fit"]), before) == "__main__.Model.predict changed"


def test_the_plain_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    interpreter = code.InteractiveInterpreter(vars(main))
    digests: list[str] = []
    for number in (3, 3, 4):
        interpreter.runsource(HELPER.format(number), symbol="exec")
        interpreter.runsource("def fit(): return scale(RATE)", symbol="exec")
        digests.append(code_digest(vars(main)["fit"]).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_script_is_known_by_its_file_and_in_worker_processes_too(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.main.__file__ = "/projects/one/loop.py"
    notebook.run("def fit(): return 1")
    assert set(code_digest(notebook["fit"]).parts) == {"loop.fit"}
    worker = Notebook(ModuleType("__mp_main__"))
    worker.main.__file__ = "/projects/one/loop.py"
    monkeypatch.setitem(sys.modules, "__mp_main__", worker.main)
    worker.run("def fit(): return 1")
    assert code_digest(worker["fit"]).digest == code_digest(notebook["fit"]).digest
