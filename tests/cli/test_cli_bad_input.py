"""Bad input: an exit code of its kind, a sentence that helps, and nothing changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from ring_project import LOOP_PY, rows, write_project

from everloop.store import ledger, registry
from everloop.store.workspace import Workspace

Everloop = Callable[..., tuple[int, str, str]]


def nothing_changed(project: Path) -> None:
    with Workspace(project) as workspace, workspace.read() as tx:
        assert registry.find(tx) == []
        assert ledger.find(tx, action="register") == []
        assert ledger.verify(tx) == []
    assert not (project / "schemas").exists()


CASES = {
    "unknown metric": (LOOP_PY.replace('metrics=["accuracy"]', 'metrics=["acuracy"]'), None, 5, "Did you mean 'accuracy'"),
    "unknown gate": (LOOP_PY.replace("gates.at_least", "gates.at_lest"), None, 5, "Did you mean 'at_least'"),
    "unknown trigger": (
        LOOP_PY.replace("gates=[", "triggers=[triggers.evry('day')],\n    gates=[").replace("Loop, gates", "Loop, gates, triggers"),
        None,
        5,
        "Did you mean 'every'",
    ),
    "gate on an unknown metric": (LOOP_PY.replace('at_least("accuracy"', 'at_least("acuracy"'), None, 5, "Did you mean 'accuracy'"),
    "gate on an unknown column": (
        LOOP_PY.replace("gates=[", 'gates=[gates.every_slice("plce", "accuracy", at_least=0.1), '),
        None,
        5,
        "Did you mean 'place'",
    ),
    "unknown target": (LOOP_PY.replace('target="kind"', 'target="knd"'), None, 3, "Did you mean 'kind'"),
    "unknown drop": (LOOP_PY.replace('target="kind"', 'target="kind", drop=["siz"]'), None, 3, "Did you mean 'size'"),
    "unknown parameter": (LOOP_PY.replace('target="kind"', 'target="kind", params={"max_itr": 3}'), None, 3, "Did you mean 'max_iter'"),
    "no file matches": (LOOP_PY.replace("data/*.csv", "dta/*.csv"), None, 5, "dta/*.csv"),
    "an empty table": (LOOP_PY, rows().clear(), 3, "no rows"),
    "a constant target": (LOOP_PY, rows().with_columns(kind=pl.lit("benign")), 3, "kind"),
    "a target that is all null": (LOOP_PY, rows().with_columns(kind=pl.lit(None, pl.String)), 3, "kind"),
    "a target that is absent": (LOOP_PY, rows().drop("kind"), 3, "kind"),
    "a loop without metrics": (LOOP_PY.replace('["accuracy"]', "[]"), None, 3, "metrics"),
    "a loop with a bad name": (LOOP_PY.replace('"cells"', '"../cells"'), None, 3, "../cells"),
    "no loop": ("x = 1\n", None, 4, "declares no loop"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_refuses(case: str, everloop: Everloop, tmp_path: Path) -> None:
    text, table, code, says = CASES[case]
    project = write_project(tmp_path / "p", loop=text, table=table)
    ended, out, err = everloop("run", "--project", str(project))
    assert ended == code, err
    assert says in err
    assert out == ""
    assert "Traceback" not in err
    nothing_changed(project)


def test_duplicate_column_names(everloop: Everloop, tmp_path: Path) -> None:
    project = write_project(tmp_path / "p")
    (project / "data" / "001.csv").write_text("size,size,kind\n1,2,benign\n2,3,malign\n")
    ended, _, err = everloop("run", "--project", str(project))
    assert ended == 3
    assert "size" in err
    nothing_changed(project)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"size,kind\n1,benign\n2\n", "001.csv, line 3: 1 field, but the header has 2"),
        (b"size,kind\n1,b\xe9nin\n", "001.csv, line 2: byte 0xe9 is not UTF-8"),
        (b'size,kind\n1,"benign\n', "001.csv, line 2: the quote that opens there is not closed"),
        (b"size,Size,kind\n1,2,benign\n", "differ by upper and lower case alone"),
    ],
)
def test_files_that_are_no_table(data: bytes, says: str, everloop: Everloop, tmp_path: Path) -> None:
    project = write_project(tmp_path / "p")
    (project / "data" / "001.csv").write_bytes(data)
    ended, out, err = everloop("run", "--project", str(project))
    assert ended == 3
    assert says in " ".join(err.split())
    assert out == ""
    nothing_changed(project)


def test_a_loop_that_does_not_import_shows_the_users_traceback_only(everloop: Everloop, tmp_path: Path) -> None:
    project = write_project(tmp_path / "p", loop="import json\n\ndef broken():\n    return json.loads('{')\n\nbroken()\n")
    ended, _, err = everloop("run", "--project", str(project))
    assert ended == 4
    assert "JSONDecodeError" in err
    assert "in broken" in err
    assert "everloop/project.py" not in err
    assert "importlib" not in err


def test_a_training_function_that_raises_shows_its_own_traceback(everloop: Everloop, tmp_path: Path) -> None:
    text = LOOP_PY.replace("LogisticRegression(max_iter=200)", "train").replace(
        "loop = Loop(", "def train(train, valid):\n    return 1 / 0\n\nloop = Loop("
    )
    project = write_project(tmp_path / "p", loop=text)
    ended, _, err = everloop("run", "--project", str(project))
    assert ended == 1
    assert "ZeroDivisionError" in err
    assert "return 1 / 0" in err
    assert "everloop/engine" not in err


def test_no_project(everloop: Everloop, tmp_path: Path) -> None:
    ended, _, err = everloop("run", "--project", str(tmp_path))
    assert ended == 4
    assert "everloop init" in err
    assert not (tmp_path / ".everloop").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["stauts"], 5, "Did you mean 'status'"),
        (["status", "--lop", "x"], 2, "--lop"),
        (["status"], 5, "everloop run"),
        (["why", "p-1-1"], 5, "everloop run"),
        (["label", "cells"], 3, "No label was given"),
        (["label", "cells", "nonsense"], 3, "nonsense"),
        (["run", "--set", "3"], 3, "NAME=VALUE"),
    ],
)
def test_words_that_mean_nothing(words: list[str], code: int, says: str, everloop: Everloop, tmp_path: Path) -> None:
    project = write_project(tmp_path / "p")
    if words[0] != "stauts":
        words = [*words, "--project", str(project)]
    ended, out, err = everloop(*words)
    assert ended == code
    assert says in err
    assert out == ""
    assert not (project / ".everloop").exists()


def test_after_a_run(everloop: Everloop, tmp_path: Path) -> None:
    """One run, then everything that can be asked for wrongly, and rightly."""
    project = write_project(tmp_path / "p")
    at = ["--project", str(project)]
    assert everloop("run", "--json", *at)[0] == 0
    for words, code, says in (
        (["models", "--loop", "cels"], 5, "Did you mean 'cells'"),
        (["predict", "cels", "--input", "data/*.csv"], 5, "Did you mean 'cells'"),
        (["predict", "cells", "--input", str(project / "data/*.csv"), "--version", "chmpion"], 5, "Did you mean 'champion'"),
        (["predict", "cells", "--input", str(project / "data/*.csv"), "--version", "9"], 5, "cells/1"),
        (["why", "cells/9"], 5, "cells/1"),
        (["why", "decision-000"], 5, "decision-000"),
        (["why", "p-00000000000aaaaaaaa-1"], 5, "p-00000000000aaaaaaaa-1"),
        (["label", "cells", "p-00000000000aaaaaaaa-1=benign"], 3, "no predictions"),
        (["runs", "run-zzz"], 5, "run-zzz"),
        (["rollback", "cells"], 8, "go back"),
        (["run", "--loop", "cels"], 5, "Did you mean 'cells'"),
        (["run", "--snapshot", "snapshot-zzz"], 5, "snapshot-zzz"),
    ):
        ended, out, err = everloop(*words, *at)
        assert (ended, out) == (code, ""), (words, err)
        assert says in err, words
    for words in (["status"], ["models"], ["runs"], ["why", "cells/1"]):
        ended, out, _ = everloop(*words, *at, "--json")
        assert ended == 0
        assert json.loads(out)
        assert everloop(*words, *at)[1]
    ended, out, _ = everloop("predict", "cells", "--input", str(project / "data" / "001.csv"), *at)
    assert ended == 0
    assert len(out.splitlines()) == rows().height + 1


def test_a_port_in_use(everloop: Everloop, tmp_path: Path) -> None:
    project = write_project(tmp_path / "p")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended, _, err = everloop("up", "--port", port, "--project", str(project))
        assert ended == 6
        assert f"Port {port}" in err
        Workspace(project).close()
        ended, _, err = everloop("serve", "--port", port, "--project", str(project))
        assert ended == 6
        assert port in err


def test_a_corrupt_database(everloop: Everloop, tmp_path: Path) -> None:
    project = write_project(tmp_path / "p")
    (project / ".everloop").mkdir()
    (project / ".everloop" / "everloop.db").write_bytes(b"this was a database once" * 500)
    ended, _, err = everloop("status", "--project", str(project))
    assert ended == 9
    assert "damaged" in err


def test_a_folder_that_cannot_be_written(everloop: Everloop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "p")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVERLOOP_HOME", str(tmp_path / "file" / "home"))
    ended, _, err = everloop("run", "--project", str(project))
    assert ended == 9
    assert "EVERLOOP_HOME" in err


def test_a_locked_database(everloop: Everloop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    from everloop.store import database

    monkeypatch.setattr(database, "LOCK_TIMEOUT_S", 0.2)
    project = write_project(tmp_path / "p")
    Workspace(project).close()
    holder = sqlite3.connect(project / ".everloop" / "everloop.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    ended, _, err = everloop("run", "--project", str(project))
    holder.execute("ROLLBACK")
    holder.close()
    assert ended == 6
    assert "locked" in err
