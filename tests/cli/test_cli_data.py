"""`everloop data` on a real project: what was taken, what it was on a day, what changed, and whose it is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ring_project import make_old, rows, run_once, write_project

from everloop.store import ledger
from everloop.store.workspace import Workspace

Everloop = Callable[..., tuple[int, str, str]]

TWO_LOOPS = """
from sklearn.linear_model import LogisticRegression
from everloop import Files, Loop, Upsert

common = {"target": "kind", "model": LogisticRegression(), "metrics": ["accuracy"]}
cells = Loop("cells", source=Files("data/*.csv"), ingest="append", **common)
other = Loop("other", source=Files("other/*.csv"), ingest=Upsert("place"), **common)
"""


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets: one was trained on, then a file came; of the other a place was corrected."""
    project = write_project(tmp_path_factory.mktemp("data") / "p", loop=TWO_LOOPS)
    (project / "other").mkdir()
    pl.DataFrame({"Place": ["north", "south"], "place": [1, 2], "kind": ["a", "b"]}).rename({"Place": "p_lace"}).write_csv(
        project / "other" / "1.csv"
    )
    from everloop import cli

    assert run_once(str(project), None)[0].status == "done"
    rows(20, seed=3).write_csv(project / "data" / "002.csv")
    for words in (
        ("data", "take", "--loop", "cells"),
        ("data", "take", "--loop", "other"),
        ("data", "describe", "other", "--owner", "ann", "--description", "Places."),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, "--project", str(project)])
        assert not ended.value.code
    return project


@pytest.fixture
def project(taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "p"
    shutil.copytree(taken, copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def data(everloop: Everloop, project: Path, monkeypatch: pytest.MonkeyPatch) -> Everloop:
    monkeypatch.chdir(project)
    return lambda *words: everloop("data", *words)


def answer(data: Everloop, *words: str) -> Any:
    code, out, err = data(*words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_catalogue(data: Everloop) -> None:
    found = {entry["name"]: entry for entry in answer(data, "list")["datasets"]}
    assert set(found) == {"cells", "other"}
    assert (found["cells"]["version"], found["cells"]["rows"]) == (2, 260)
    assert found["cells"]["used_by"] == ["loop cells"]
    assert (found["other"]["owner"], found["other"]["description"]) == ("ann", "Places.")
    _, out, _ = data("list")
    assert "cells    2        260" in out


@pytest.mark.parametrize(
    ("words", "names", "where"),
    [
        (["ann"], ["other"], "owner"),
        (["SHAPE"], ["cells"], "column shape"),
        (["kind"], ["cells", "other"], "column kind"),
        (["kind", "places"], ["other"], "description"),
        (["other/*.csv"], ["other"], "source"),
        (["nothing"], [], ""),
    ],
)
def test_searching(data: Everloop, words: list[str], names: list[str], where: str) -> None:
    found = answer(data, "list", *words)["datasets"]
    assert [entry["name"] for entry in found] == names
    assert all(where in entry["found_in"] for entry in found)


def test_appending_wrote_the_new_file_alone(data: Everloop) -> None:
    second, first = answer(data, "history", "cells")["versions"]
    assert (first["take"]["rows"], first["take"]["mode"]) == (240, "append")
    assert second["take"]["rows"] == 260
    assert 0 < second["take"]["new_bytes"] < first["take"]["bytes"]
    assert len(answer(data, "show", "cells")["snapshot"]["origins"]) == 2


def test_taking_again_is_no_new_version(data: Everloop) -> None:
    assert "is still what the source has" in data("take", "--loop", "cells")[2]
    assert len(answer(data, "history", "cells")["versions"]) == 2


def test_showing(data: Everloop) -> None:
    profile = answer(data, "show", "cells@1")["profile"]
    assert profile["rows"] == 240
    code, out, err = data("show", "cells@1")
    assert code == 0
    assert "240 rows, 4 columns" in err
    assert "benign" in out
    assert data("show", "cells", "--rows", "2")[1].splitlines()[0] == "size,shape,place,kind"
    assert len(answer(data, "show", "cells", "--rows", "3")["rows"]) == 3


def test_differences(data: Everloop) -> None:
    found = answer(data, "diff", "cells@1")["difference"]
    assert (found["rows"]["added"], found["rows"]["removed"], found["rows"]["same"]) == (20, 0, 240)
    code, out, _ = data("diff", "cells@1", "cells@2")
    assert code == 0
    assert "20 rows came, 0 went, 240 are the same" in out
    assert "same rows and columns" in data("diff", "cells@2", "cells")[2]


def test_a_row_replaced_by_key(data: Everloop, project: Path) -> None:
    pl.DataFrame({"p_lace": ["NORTH", "west"], "place": [1, 3], "kind": ["a", "c"]}).write_csv(project / "other" / "2.csv")
    data("take", "--loop", "other")
    found = answer(data, "diff", "other@1", "--key", "place")["difference"]["rows"]
    assert (found["added"], found["removed"], found["changed"]) == (1, 0, 1)
    assert found["changed_columns"] == {"p_lace": 1}
    assert data("show", "other", "--rows", "9")[1].split() == ["p_lace,place,kind", "NORTH,1,a", "south,2,b", "west,3,c"]


def test_names_for_versions(data: Everloop, project: Path) -> None:
    assert data("alias", "cells@1", "golden")[0] == 0
    assert answer(data, "show", "cells@golden")["snapshot"]["rows"] == 240
    assert answer(data, "list", "golden")["datasets"][0]["aliases"] == {"golden": "cells@1"}
    code, _, err = data("rm", "cells@1")
    assert code != 0
    assert "cells@golden" in err
    assert data("rm", "cells@golden")[0] == 0
    assert data("rm", "cells@1")[0] == 0
    assert [version["take"]["number"] for version in answer(data, "history", "cells")["versions"]] == [2]
    with Workspace(project) as workspace, workspace.read() as tx:
        assert len(ledger.find(tx, action="forget")) == 2
        assert ledger.find(tx, action="alias")[0].actor


def test_columns_that_differ_between_datasets(data: Everloop) -> None:
    found = {use["name"]: use for use in answer(data, "columns", "--differ")["columns"]}
    assert found["place"]["datasets"] == {"cells": "text", "other": "int"}
    assert found["p_lace"]["spellings"] == ["place"]
    assert "kind" not in found
    assert "size" in {use["name"] for use in answer(data, "columns")["columns"]}


def test_a_run_on_an_earlier_version(everloop: Everloop, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    code, _, err = everloop("run", "--loop", "cells", "--snapshot", "cells@1")
    assert code == 0, err
    assert re.search(r"= profile .* hit", err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "cels"), "Did you mean 'cells'"),
        (("show", "cells@9"), "its versions are 1 to 2"),
        (("show", "cells@2001-01-01"), "did not exist on 2001-01-01"),
        (("diff", "cells@1", "other"), "Key column"),
        (("history", "others"), "Did you mean 'other'"),
        (("take", "--loop", "celsl"), "Did you mean 'cells'"),
        (("take",), "several loops"),
        (("alias", "cells", "Golden"), "cannot be an alias"),
        (("describe", "cells"), "Say what to change"),
        (("show", "cells", "--rows", "-1"), "give 0 or more"),
    ],
)
def test_mistakes_are_told_in_a_sentence(data: Everloop, words: tuple[str, ...], message: str) -> None:
    if words[0] == "diff":
        words = (*words, "--key", "id")
    code, out, err = data(*words)
    assert code != 0
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_collected_version_is_told_apart(data: Everloop, everloop: Everloop, project: Path) -> None:
    """What is known of it stays."""
    (project / "data" / "001.csv").unlink()
    (project / "data" / "002.csv").unlink()
    for count in (30, 31):
        rows(count, seed=count).write_csv(project / "data" / "003.csv")
        data("take", "--loop", "cells")
    make_old(project)
    code, _, err = everloop("gc", "--keep-runs", "1")
    assert code == 0, err
    versions = answer(data, "history", "cells")["versions"]
    assert [version["collected"] for version in versions] == [False, True, True, False]
    code, _, err = data("show", f"cells@{versions[1]['take']['number']}", "--rows", "1")
    assert code != 0
    assert "were collected" in err


def test_a_mistyped_command_gets_the_closest(data: Everloop) -> None:
    code, _, err = data("shwo")
    assert code == 2
    assert "Command 'shwo' does not exist. Did you mean 'show'?" in err
