"""A miss is explained by the earlier result that is most like it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from everloop.engine.code import Code
from everloop.engine.keys import because, key
from everloop.engine.past import Past, past
from everloop.store import runs
from everloop.store.runs import Cached
from everloop.store.workspace import Workspace

OLD, NEW = Code("1", {"m.scale": "1" * 64}), Code("2", {"m.scale": "2" * 64})


def detail(code: Code, fold: int, rows: str = "a") -> Mapping[str, object]:
    """That of `fit(rows, fold)`, where `rows` was made by another step."""
    return key("fit", code, {"rows": rows, "fold": fold}, inputs={"rows": rows}).detail


def test_each_call_is_compared_with_its_like() -> None:
    before = Past([detail(OLD, fold) for fold in (2, 1, 0)])
    for fold in range(3):
        now = detail(NEW, fold)
        assert because(now, before.closest(now)) == "m.scale changed"
        other = detail(OLD, fold, rows="b")
        assert because(other, before.closest(other)) == "input rows changed"
    fresh = detail(OLD, 9)
    assert because(fresh, before.closest(fresh)) == "parameter fold: 2 -> 9"
    assert because(fresh, Past([]).closest(fresh)) == "first run"


def test_the_newest_of_those_that_are_alike() -> None:
    newer, older = detail(NEW, 1), detail(OLD, 1)
    assert Past([newer, older]).closest(detail(Code("3", {}), 1)) is newer


def test_only_what_other_runs_kept_counts(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        with workspace.write() as tx:
            for number, (run, fold) in enumerate([("run-1", 0), ("run-1", 1), ("run-2", 2)]):
                runs.put_cached(
                    tx,
                    Cached(
                        key=str(number),
                        step="fit",
                        type="plain",
                        output="",
                        blob="",
                        code="",
                        detail=detail(OLD, fold),
                        run=run,
                        created_at=time.time() + number,
                    ),
                )
        asked = detail(OLD, 7)
        assert because(asked, past(workspace, "fit", "run-2").closest(asked)) == "parameter fold: 1 -> 7"
        assert because(asked, past(workspace, "fit", "run-3").closest(asked)) == "parameter fold: 2 -> 7"
        assert because(asked, past(workspace, "other", "run-3").closest(asked)) == "first run"


def test_a_long_past_is_read_as_far_as_calls_are_made() -> None:
    """However many results there are, one call looks at a few; as many calls as there are parts find each its own."""
    taken: list[int] = []

    def long() -> Iterator[Mapping[str, object]]:
        for fold in range(500):
            taken.append(fold)
            yield detail(OLD, fold)

    before = Past(long())
    reasons = [because(now, before.closest(now)) for now in (detail(NEW, fold) for fold in range(500))]
    assert set(reasons) == {"m.scale changed"}
    again = Past(long())
    taken.clear()
    again.closest(detail(NEW, 9_999))
    assert 0 < len(taken) < 100
