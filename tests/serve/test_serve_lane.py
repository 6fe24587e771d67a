"""Micro-batches: together or alone, a row has the same answer, and one caller's bad row is that caller's own."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stand import captured, tiny

from everloop.core.errors import Busy
from everloop.serve.capture import Captures
from everloop.serve.decode import Row
from everloop.serve.errors import ModelFailed, RowRefused, status_of
from everloop.serve.lane import Answered, Lane, Work
from everloop.serve.limits import Limits
from everloop.serve.load import load
from everloop.serve.table import Router
from everloop.store import registry
from everloop.store.workspace import Workspace

numbers = st.floats(-100, 100)
rows = st.tuples(numbers, numbers, st.integers(-100, 100), st.sampled_from(["red", "blue", None]))


def lane_of(workspace: Workspace, captures: Captures | None = None, limits: Limits | None = None, **behaviour: Any) -> Lane:
    number = tiny(workspace, **behaviour)
    with workspace.read() as tx:
        loaded = load(workspace, registry.get(tx, "tiny", number))
    return Router(captures=captures, limits=limits or Limits()).lane(loaded)


async def ask(lane: Lane, requests: list[list[Row]], role: Any = None) -> list[Answered | BaseException]:
    began = time.perf_counter()
    futures = [lane.submit(Work(request, role=role, request=f"r-{at}", began=began)) for at, request in enumerate(requests)]
    return await asyncio.gather(*futures, return_exceptions=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    st.lists(st.lists(rows, min_size=1, max_size=5), min_size=1, max_size=20), st.sampled_from([0.0, 1.0]), st.sampled_from([1, 4, 2048])
)
def test_a_batch_equals_one_by_one(workspace: Workspace, requests: list[list[Row]], inline_s: float, batch_rows: int) -> None:
    lane = lane_of(workspace, limits=Limits(inline_s=inline_s, batch_rows=batch_rows))
    together = asyncio.run(ask(lane, requests))
    for request, found in zip(requests, together, strict=True):
        assert isinstance(found, Answered)
        for at, row in enumerate(request):
            alone = asyncio.run(ask(lane, [[row]]))[0]
            assert isinstance(alone, Answered)
            assert alone.outputs == [found.outputs[at]]
            assert alone.probabilities is not None
            assert found.probabilities is not None
            assert alone.probabilities[0] == pytest.approx(found.probabilities[at], abs=1e-12)


def test_requests_of_one_turn_share_a_call(workspace: Workspace) -> None:
    lane = lane_of(workspace, sleep_s=0.01)
    asyncio.run(ask(lane, [[(1.0, 1.0, 1, "red")]] * 50))
    [samples] = [family.samples for family in lane._meter.batch_rows.collect()]
    assert {sample.name.rpartition("_")[2]: sample.value for sample in samples if "bucket" not in sample.name}["count"] == 1


def test_a_row_that_the_transform_cannot_read_is_its_callers_fault(workspace: Workspace) -> None:
    lane = lane_of(workspace, refuse_above=1000)
    good, bad = (1.0, 1.0, 1, "red"), (5000.0, 1.0, 1, "red")
    found = asyncio.run(ask(lane, [[good], [bad], [good]]))
    assert isinstance(found[1], RowRefused)
    assert status_of(found[1]) == 422
    assert isinstance(found[0], Answered)
    assert isinstance(found[2], Answered)


@pytest.mark.parametrize("inline_s", [0.0, 1.0])
def test_one_bad_row_spoils_no_other_callers_answer(workspace: Workspace, inline_s: float) -> None:
    captures = Captures(workspace.predictions)
    lane = lane_of(workspace, captures, Limits(inline_s=inline_s), fail_above=1000)
    good, bad = (1.0, 1.0, 1, "red"), (5000.0, 1.0, 1, "red")
    found = asyncio.run(ask(lane, [[good], [bad, good], [good, good]], role="champion"))
    assert isinstance(found[1], ModelFailed)
    assert [len(found[at].outputs) for at in (0, 2)] == [1, 2]  # type: ignore[union-attr]
    assert captured(workspace).keys() == {id for at in (0, 2) for id in found[at].ids}  # type: ignore[union-attr]
    captures.close()


def test_a_full_queue_says_so_and_a_shadow_gives_way_first(workspace: Workspace) -> None:
    lane = lane_of(workspace, limits=Limits(queued_rows=10, shadow_rows=3, inline_s=0.0), sleep_s=0.01)
    row = (1.0, 1.0, 1, "red")

    async def fill() -> None:
        work = [lane.submit(Work([row], role=None, request="r", began=0.0)) for _ in range(3)]
        with pytest.raises(Busy, match="no more than 3"):
            lane.submit(Work([row], role="shadow", request="r", began=0.0))
        work += [lane.submit(Work([row] * 7, role=None, request="r", began=0.0))]
        with pytest.raises(Busy, match="no more than 10"):
            lane.submit(Work([row], role=None, request="r", began=0.0))
        assert [len((await one).outputs) for one in work] == [1, 1, 1, 7]
        assert lane.queued_rows == 0
        assert lane.idle

    asyncio.run(fill())


def test_a_slow_model_leaves_the_event_loop_free(workspace: Workspace) -> None:
    lane = lane_of(workspace, sleep_s=0.3)

    async def both() -> int:
        answer = lane.submit(Work([(1.0, 1.0, 1, "red")], role=None, request="r", began=0.0))
        turns = 0
        while not answer.done():
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    # A blocked loop would have turned once or twice.
    assert asyncio.run(both()) > 20


def test_answers_that_do_not_fit_the_request_are_the_models_failure(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from everloop.core.ports import Answers

    lane = lane_of(workspace)
    wrong = {
        "1 answers for 2 rows": Answers(np.zeros(1), None),
        "probabilities of shape": Answers(np.zeros(2), np.zeros((2, 3))),
    }
    for sentence, answers in wrong.items():
        monkeypatch.setattr(lane.loaded.model, "predict", lambda _rows, answers=answers: answers)
        [found] = asyncio.run(ask(lane, [[(1.0, 1.0, 1, "red")] * 2]))
        assert isinstance(found, ModelFailed)
        assert sentence in str(found)


def test_a_full_segment_is_followed_by_another_and_every_row_is_found(workspace: Workspace) -> None:
    from everloop.store import captures as store

    class Small(store.Writer):
        def __init__(self, folder: Path, loop: str) -> None:
            super().__init__(folder, loop, segment_bytes=2000)

    captures = Captures(workspace.predictions)
    captures._writers["tiny"] = Small(workspace.predictions, "tiny")
    lane = lane_of(workspace, captures)
    ids: list[str] = []
    for at in range(40):
        [found] = asyncio.run(ask(lane, [[(float(at), 1.0, 1, "red")] * 3], role="champion"))
        assert isinstance(found, Answered)
        ids += found.ids or []
    assert len(list((workspace.predictions / "tiny").glob("*.seg"))) > 3
    assert [store.find(workspace.predictions, id).features[0] for id in ids[::3]] == [float(at) for at in range(40)]
    assert json.dumps(sorted(ids)) == json.dumps(sorted(captured(workspace)))
    captures.close()
