"""What stops a cycle before anything is trained: data that break a declared contract, and features that know the answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from ring_project import LOOP_PY, rows, run_once, write_project

from everloop.store import ledger
from everloop.store.workspace import Workspace

PANDERA = LOOP_PY.replace("from everloop import", "import pandera.polars as pa\nfrom everloop import").replace(
    'target="kind",', 'target="kind", schema=pa.DataFrameSchema({"size": pa.Column(float, pa.Check.in_range(-50, 50)), "place": pa.Column(str), "shape": pa.Column(float), "kind": pa.Column(str)}),'
)  # fmt: skip


def test_a_pandera_schema_is_the_contract(tmp_path: Path) -> None:
    pytest.importorskip("pandera.polars")
    project = write_project(tmp_path / "p", loop=PANDERA)
    run, seen = run_once(str(project), None)
    assert run.status == "done", run.error
    assert not (project / "schemas").exists(), "the contract is in loop.py; a second one would only disagree with it"
    assert "infer" not in {name for _, name in seen}
    rows().with_columns(size=rows()["size"].cast(str)).with_columns(size="place").write_csv(project / "data" / "001.csv")
    stopped, seen = run_once(str(project), None)
    assert stopped.status == "stopped"
    assert "'size' is text" in str(stopped.result["summary"])
    assert "fit" not in {name for _, name in seen}


@pytest.mark.parametrize("allowed", [False, True])
def test_a_feature_that_knows_the_answer_stops_the_run(tmp_path: Path, allowed: bool) -> None:
    loop = LOOP_PY.replace('target="kind",', 'target="kind", allow_leakage=["diagnosis"],') if allowed else LOOP_PY
    table = rows().with_columns(diagnosis=rows()["kind"].replace({"benign": "no", "malign": "yes"}))
    project = write_project(tmp_path / "p", loop=loop, table=table)
    run, seen = run_once(str(project), None)
    trained = "fit" in {name for _, name in seen}
    assert (run.status, trained) == (("done", True) if allowed else ("stopped", False))
    if allowed:
        return
    assert "'diagnosis'" in str(run.result["summary"])
    assert "leak what a model must not know" in str(run.result["summary"])
    with Workspace(project) as workspace, workspace.read() as tx:
        assert [entry.action for entry in ledger.find(tx, rule="leakage")] == ["stop", "page"]
