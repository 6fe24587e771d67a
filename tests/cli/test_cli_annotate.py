"""`everloop annotate` from a file to labels, as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from conftest import Everloop
from everloop.store.workspace import Workspace
from labelling_world import snapshot_of

ROWS = pl.DataFrame(
    {"id": [1, 2, 3], "text": ["win money", "see you", "free prize"], "kind": [None, None, "spam"]}, schema_overrides={"kind": pl.String}
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with Workspace(tmp_path) as workspace:
        snapshot_of(workspace, ROWS, "sms")
    return tmp_path


def create(everloop: Everloop, *more: str, name: str = "q") -> tuple[int, str, str]:
    return everloop("annotate", "create", name, "--dataset", "sms", "--target", "kind", "--choices", "spam,ham", *more)


def row_of(everloop: Everloop, person: str = "ann") -> str:
    code, out, _ = everloop("annotate", "next", "q", "--as", person, "--json")
    assert code == 0
    return json.loads(out)["row"]["item"]["row"]


def test_from_a_dataset_to_labels(project: Path, everloop: Everloop) -> None:
    code, out, err = create(everloop, "--key", "id", "--instruction", "Is it spam?", "--labellers", "2")
    assert (code, out) == (0, "")
    assert "2 rows wait for a label, 1 have a label already; order plain." in err
    row = row_of(everloop)
    code, out, _ = everloop("annotate", "label", "q", row, "spam", "--as", "ann")
    assert code == 0
    assert "text: see you" in out, "the next row follows"
    assert "kind" not in out, "what others said of the target is not shown"
    everloop("annotate", "label", "q", row_of(everloop, "bob"), "ham", "--as", "bob")
    code, out, _ = everloop("annotate", "review", "q")
    assert row in out
    assert "ann spam, bob ham" in out
    code, _, err = everloop("annotate", "review", "q", row, "--as", "rae")
    assert code == 3
    assert "do not agree" in err
    assert everloop("annotate", "review", "q", row, "--value", "spam", "--as", "rae")[0] == 0
    code, out, _ = everloop("annotate", "show", "q")
    assert "1 of 2 rows done" in out
    code, out, _ = everloop("annotate", "agreement", "q")
    assert "Fleiss' kappa: -1.000" in out
    code, out, err = everloop("annotate", "export", "q")
    assert out.splitlines() == ["row,id,text,kind,labelled_by,votes", f"{row},1,win money,spam,review,2"]
    assert "1 rows with labels labels-" in err


def test_every_way_out_holds_the_same_labels(project: Path, everloop: Everloop) -> None:
    create(everloop)
    everloop("annotate", "label", "q", row_of(everloop), "spam", "--as", "ann")
    for name, read in (("a.csv", pl.read_csv), ("a.parquet", pl.read_parquet), ("a.jsonl", pl.read_ndjson)):
        code, out, _ = everloop("annotate", "export", "q", "--output", name, "--json")
        assert (code, json.loads(out)["rows"]) == (0, 1)
        assert read(project / name)["kind"].to_list() == ["spam"]
    assert everloop("annotate", "export", "q", "--output", "tasks.json")[0] == 0
    tasks = json.loads((project / "tasks.json").read_text())
    assert [len(task["annotations"]) for task in tasks] == [1, 0]
    code, out, _ = everloop("annotate", "import", "q", "tasks.json")
    assert (code, out) == (0, "0 new, 1 known already\n")
    code, out, _ = everloop("annotate", "export", "q", "--config")
    assert '<Choice value="spam"/>' in out
    first = json.loads(everloop("annotate", "export", "q", "--json")[1])
    everloop("annotate", "label", "q", row_of(everloop), "ham", "--as", "ann")
    again = json.loads(everloop("annotate", "export", "q", "--at", first["labels"], "--json")[1])
    assert again == first
    code, out, _ = everloop("why", first["labels"])
    assert "1 labels 'kind' of queue 'q', after annotation 1" in out


def test_skip_undo_accept_refresh_and_list(project: Path, everloop: Everloop) -> None:
    create(everloop, "--review", "all")
    first = row_of(everloop)
    out = everloop("annotate", "skip", "q", first, "--reason", "blurred", "--as", "ann")[1]
    assert "see you" in out
    out = everloop("annotate", "undo", "q", "--as", "ann")[1]
    assert "win money" in out
    everloop("annotate", "label", "q", first, "spam", "--as", "ann")
    assert everloop("annotate", "accept", "q")[1] == "1 accepted\n"
    with Workspace(project) as workspace:
        snapshot_of(workspace, pl.concat([ROWS, ROWS.with_columns(id=pl.col("id") + 10)]), "sms")
    err = everloop("annotate", "refresh", "q", "--order", "random")[2]
    assert "The queue has 4 rows, 2 have a label already; order random, seed 0." in err
    out = everloop("annotate", "list")[1]
    assert out.splitlines()[1].split()[:8] == ["q", "sms", "kind", "choice", "4", "3", "0", "1"]
    assert json.loads(everloop("annotate", "list", "--json")[1])["queues"][0]["done"] == 1


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "the following arguments are required: COMMAND"),
        (("lst",), 2, "Did you mean 'list'?"),
        (("create", "p", "--target", "kind"), 2, "--dataset --files is required"),
        (("create", "p", "--dataset", "sms", "--target", "kind"), 3, "needs its vocabulary: --choices"),
        (("create", "p", "--dataset", "sms", "--target", "kind", "--choices", "a,a"), 3, "given twice"),
        (("create", "p", "--dataset", "sms", "--target", "kind", "--choices", "a", "--key", "idd"), 5, "Did you mean 'id'"),
        (("create", "p", "--dataset", "smss", "--target", "kind", "--choices", "a"), 5, "Did you mean 'sms'"),
        (("create", "q", "--dataset", "sms", "--target", "kind", "--choices", "a"), 8, "queue 'q' already"),
        (("show", "p"), 5, "queue 'p' does not exist. Known: q"),
        (("label", "q", "row-0000000000000000", "spam"), 5, "is not in labelling queue 'q'"),
        (("undo", "q", "--as", "nobody"), 5, "nothing in queue 'q' that could be undone"),
        (("export", "q", "--output", "a.xlsx"), 3, "none of .csv, .parquet"),
        (("export", "q", "--at", "soon"), 3, "neither the number of an annotation"),
        (("import", "q", "nope.json"), 5, "no file 'nope.json'"),
        (("import", "q", "broken.json"), 3, "is no JSON"),
        (("import", "q", "object.json"), 3, "a list of tasks, not an object"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(project: Path, everloop: Everloop, words: tuple[str, ...], code: int, told: str) -> None:
    create(everloop)
    (project / "broken.json").write_text('[{"data": ')
    (project / "object.json").write_text("{}")
    found, _, err = everloop("annotate", *words)
    assert (found, told in err) == (code, True), err
    assert "Traceback" not in err


def test_where_nothing_is_kept_nothing_is_made(everloop: Everloop, tmp_path: Path) -> None:
    code, _, err = everloop("annotate", "list")
    assert code == 5
    assert "nothing has run here yet" in err
    assert not (tmp_path / ".everloop").exists()


def test_files_can_be_labelled_at_once(everloop: Everloop, tmp_path: Path) -> None:
    ROWS.drop("kind").write_parquet(tmp_path / "rows.parquet")
    code, _, err = everloop("annotate", "create", "q", "--files", "rows.parquet", "--target", "kind", "--choices", "spam,ham")
    assert code == 0, err
    assert "3 rows wait for a label" in err
    assert row_of(everloop).startswith("row-")


def test_bytes_do_not_go_into_text_files(everloop: Everloop, tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        snapshot_of(workspace, pl.DataFrame({"photo": [b"\x89PNG\r\n\x1a\n"]}), "photos")
    everloop("annotate", "create", "q", "--dataset", "photos", "--target", "kind", "--kind", "text")
    everloop("annotate", "label", "q", row_of(everloop), "a cat", "--as", "ann")
    for more in ((), ("--output", "a.csv", "--json"), ("--output", "a.jsonl")):
        code, _, err = everloop("annotate", "export", "q", *more)
        assert code == 3
        assert "Column 'photo' holds bytes" in err
    assert (
        "export_labels" not in everloop("why", json.loads(everloop("annotate", "list", "--json")[1])["queues"][0]["queue"]["snapshot"])[1]
    )
    assert everloop("annotate", "export", "q", "--output", "tasks.json")[0] == 0
    assert json.loads((tmp_path / "tasks.json").read_text())[0]["data"]["photo"].startswith("data:image/png;base64,")
