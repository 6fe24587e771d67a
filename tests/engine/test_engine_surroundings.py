"""Declared files and environment variables as part of the key."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from everloop.core.errors import BadInput
from everloop.engine.code import Code
from everloop.engine.keys import because, key
from everloop.engine.surroundings import NOTHING, differing, surroundings

CODE = Code("", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules" / "deep").mkdir(parents=True)
    for name in ("rules/a.yaml", "rules/b.yaml", "rules/deep/c.yaml", "rules/.hidden", "words.txt"):
        (tmp_path / name).write_text(name)
    return tmp_path


def names(folder: Path, *depends_on: str) -> set[str]:
    return set(surroundings(depends_on, (), folder).parts)


def test_files_patterns_and_folders(folder: Path) -> None:
    assert names(folder, "words.txt") == {"file words.txt"}
    assert names(folder, "rules/*.yaml") == {"file rules/a.yaml", "file rules/b.yaml"}
    assert names(folder, "rules/**/*.yaml") == {"file rules/a.yaml", "file rules/b.yaml", "file rules/deep/c.yaml"}
    assert names(folder, "rules") == names(folder, "rules/") == names(folder, "rules/**/*.yaml")
    assert names(folder, "rules/.hidden") == {"file rules/.hidden"}
    assert names(folder, str(folder / "words.txt")) == {f"file {folder}/words.txt"}


def test_the_key_is_another_when_they_change_and_the_reason_says_which(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "north")

    def now(*depends_on: str, env: tuple[str, ...] = ("REGION", "ABSENT")) -> tuple[str, dict[str, object]]:
        found = key("fit", CODE, {}, surroundings=surroundings(depends_on, env, folder))
        return found.digest, dict(found.detail)

    first, detail = now("rules/*.yaml")
    assert now("rules/*.yaml")[0] == first
    (folder / "rules" / "a.yaml").write_text("other")
    second, changed = now("rules/*.yaml")
    assert because(changed, detail) == "file rules/a.yaml changed"
    (folder / "rules" / "d.yaml").write_text("new")
    third, new = now("rules/*.yaml")
    assert because(new, changed) == "file rules/d.yaml is new"
    assert because(changed, new) == "file rules/d.yaml is gone"
    monkeypatch.setenv("REGION", "south")
    fourth, south = now("rules/*.yaml")
    assert because(south, new) == "environment REGION changed"
    monkeypatch.setenv("REGION", "")
    fifth, empty = now("rules/*.yaml")
    monkeypatch.delenv("REGION")
    sixth, absent = now("rules/*.yaml")
    assert because(absent, empty) == "environment REGION changed"
    assert len({first, second, third, fourth, fifth, sixth, key("fit", CODE, {}).digest}) == 7
    assert "south" not in json.dumps(south)


def test_none_declared_costs_nothing_and_says_nothing(folder: Path) -> None:
    assert surroundings((), (), folder) is NOTHING
    assert "surroundings" not in key("fit", CODE, {}).detail


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("rules/a.yml", "which does not exist in .*Did you mean 'rules/a.yaml'"),
        ("rules/*.yml", r"which matches no file in .*Did you mean 'rules/\*.yaml'"),
        ("word.txt", "Did you mean 'words.txt'"),
        ("zzzzzz", "'zzzzzz', which does not exist in [^?]*Correct the name, or make the file"),
    ],
)
def test_what_finds_nothing_is_refused(folder: Path, wanted: str, text: str) -> None:
    with pytest.raises(BadInput, match=rf"Step 'fit' \(loop.py:3\): depends_on names .*{text}"):
        surroundings([wanted], (), folder, step="fit", where=" (loop.py:3)")


def test_very_many_files_are_one_part(folder: Path) -> None:
    for number in range(60):
        (folder / f"part-{number:02}.csv").write_text(str(number))
    before = surroundings(["part-*.csv"], (), folder)
    assert list(before.parts) == ["files part-*.csv"]
    (folder / "part-07.csv").write_text("other")
    after = surroundings(["part-*.csv"], (), folder)
    assert (
        because(key("a", CODE, {}, surroundings=after).detail, key("a", CODE, {}, surroundings=before).detail) == "files part-*.csv changed"
    )


def test_what_differs_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = surroundings(["rules/*.yaml", "words.txt"], ["REGION"], folder)
    assert differing(known) == []
    (folder / "rules" / "b.yaml").unlink()
    (folder / "rules" / "new.yaml").write_text("new")
    (folder / "words.txt").write_text("else")
    monkeypatch.setenv("REGION", "south")
    assert set(differing(known)) == {"file rules/b.yaml", "file rules/new.yaml", "file words.txt", "environment REGION"}
    (folder / "words.txt").unlink()
    assert "file words.txt" in differing(known)
    assert differing(NOTHING) == []


def test_folders_in_a_circle_end(folder: Path) -> None:
    os.symlink(folder / "rules", folder / "rules" / "deep" / "up")
    assert names(folder, "rules") == {"file rules/a.yaml", "file rules/b.yaml", "file rules/deep/c.yaml"}
