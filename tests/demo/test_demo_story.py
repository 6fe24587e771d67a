"""The demo holds, twice in one folder; and a line that does not hold ends it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from everloop.core.errors import Conflict
from everloop.demo import digits
from everloop.demo.play import begin
from everloop.demo.story import Story, Unproven


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "everloop", "demo", "--json", "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)


def test_the_story_holds_and_holds_again_in_the_same_folder(tmp_path: Path) -> None:
    for _ in range(2):
        result = demo(tmp_path / "demo")
        assert result.returncode == 0, result.stderr
        assert "NO  " not in result.stderr
        facts = json.loads(result.stdout)
        assert facts["requests_failed"] == 0
        assert facts["requests_sent"] > 1000
        assert facts["versions"] == ["digits/1", "digits/2", "digits/3"]
        assert facts["champion"] == "digits/2"
        assert facts["refused_candidates"] == 1
        assert facts["accuracy_during"] < facts["accuracy_after"] <= 1
        assert facts["lines"] >= 35


def test_a_line_that_does_not_hold_ends_the_story() -> None:
    story = Story.__new__(Story)
    told: list[str] = []
    story.tell, story.lines, story.number = told.append, [], 4
    story.holds("two and two are four", 2 + 2 == 4)
    with pytest.raises(Unproven, match="Chapter 4: two and two are five"):
        story.holds("two and two are five", 2 + 2 == 5)
    assert [line["holds"] for line in story.lines] == [True, False]


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match="--folder"):
        begin(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_the_stream_is_the_same_every_time() -> None:
    table = digits.load()
    assert table.shape == (1797, 65)
    assert table.equals(digits.load())
    assert table[digits.TARGET].unique().sort().to_list() == list(range(10))


def test_the_new_scanner_turns_and_fades_and_keeps_the_labels() -> None:
    table = digits.load()[:50]
    same = digits.new_scanner(table, angle_deg=0.0, contrast=1.0, brightness=0.0)
    assert same.equals(table)
    turned = digits.new_scanner(table)
    assert turned[digits.TARGET].equals(table[digits.TARGET])
    pixels = turned.select(digits.PIXELS).to_numpy()
    assert pixels.min() >= 3
    assert pixels.max() <= 16
    quarter = digits.new_scanner(table, angle_deg=90.0, contrast=1.0, brightness=0.0).select(digits.PIXELS).to_numpy().reshape(-1, 8, 8)
    original = table.select(digits.PIXELS).to_numpy().reshape(-1, 8, 8)
    assert any(np.array_equal(quarter, np.rot90(original, turns, axes=(1, 2))) for turns in (1, 3))
