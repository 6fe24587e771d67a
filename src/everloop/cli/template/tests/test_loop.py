"""What must hold of this project before it is trusted. Run it with: pytest"""

from pathlib import Path

from everloop.testing import GoldenSample, rehearse

PROJECT = Path(__file__).parents[1]


def test_the_loop_makes_a_version_that_passes_its_gate(tmp_path):
    rehearsal = rehearse(PROJECT, home=tmp_path)
    assert rehearsal.run.status == "done", rehearsal.run.error or rehearsal.run.result
    assert rehearsal.evaluation.metric("roc_auc").value > 0.95


def test_running_it_again_repeats_no_work(tmp_path):
    first = rehearse(PROJECT, home=tmp_path)
    again = rehearse(PROJECT, home=tmp_path)
    assert again.run.result["candidate"] == first.run.result["candidate"]
    assert "fit" not in again.executed


class TestData(GoldenSample):
    """Served answers are the offline ones, row by row; no row is lost or in two parts; the transform knows training rows only."""

    project = PROJECT
