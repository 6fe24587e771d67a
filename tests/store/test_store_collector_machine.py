"""Random histories: whatever runs share, drop, pin and leave behind, nothing reached is ever deleted, and all else that is old is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests_store_history import blob, finish, gc, key_of, of, prepared, reaches, run, several, snapshot, tree

from everloop.core.artifacts import Artifact
from everloop.core.errors import NotFound
from everloop.core.record import Record
from everloop.store import collector, ledger, pins, reach, runs, sweep
from everloop.store.soundness import orphans, unsound
from everloop.store.workspace import Workspace

TEXTS = st.sampled_from("abcde")
RESULTS = st.lists(st.tuples(st.sampled_from(["blob", "tree", "list", "data"]), TEXTS), max_size=4)


class Store(RuleBasedStateMachine):
    """What should be there is told in another way than the collector's: each run with its results, each record with its parents."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="everloop-machine-"))
        self.workspace = Workspace(self.folder)
        self.going_on: dict[str, list[Artifact]] = {}
        self.finished: dict[str, list[Artifact]] = {}
        self.records: dict[str, Record] = {}
        # In the order in which it happened: ids of runs are random, and a history must be one that can be played again.
        self.pinned: dict[str, None] = {}

    def teardown(self) -> None:
        self.workspace.close()
        shutil.rmtree(self.folder)

    @rule(at_once=st.lists(st.tuples(RESULTS, st.sampled_from("pq")), min_size=1, max_size=3), going_on=st.booleans())
    def some_run(self, at_once: list[tuple[list[tuple[str, str]], str]], going_on: bool) -> None:
        for at, (specs, pipeline) in enumerate(at_once):
            self.one_runs(specs, going_on and at == 0, pipeline)

    def one_runs(self, specs: list[tuple[str, str]], going_on: bool, pipeline: str) -> None:
        """Equal texts are equal results: runs share them, and make them again when they were collected."""
        results: list[Artifact] = []
        kept: list[Record] = []
        for kind, text in specs:
            match kind:
                case "blob":
                    results.append(blob(self.workspace, text))
                case "tree":
                    results.append(tree(self.workspace, self.folder / "in", text))
                case "list":
                    results.append(several(self.workspace, blob(self.workspace, text), tree(self.workspace, self.folder / "in", text)))
                case _:
                    data = snapshot(self.workspace, text)
                    kept += [data, prepared(self.workspace, data)]
        results += map(of, kept)
        self.records |= {record.id: record for record in kept}
        id = run(self.workspace, *results, kept=tuple(kept), pipeline=pipeline, status="running" if going_on else "done")
        (self.going_on if going_on else self.finished)[id] = results

    @precondition(lambda self: self.going_on)
    @rule(data=st.data())
    def a_run_ends(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from([*self.going_on]))
        finish(self.workspace, id)
        self.finished[id] = self.going_on.pop(id)

    @rule(text=TEXTS, inside=st.booleans())
    def a_killed_run_leaves_what_it_put(self, text: str, inside: bool) -> None:
        blob(self.workspace, text if inside else f"left {text}")

    @precondition(lambda self: self.finished or self.records)
    @rule(data=st.data())
    def somebody_pins(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from([*self.finished, *self.records]))
        there = self.reached()
        try:
            with self.workspace.write() as tx:
                pins.add(tx, self.workspace.blobs, id, reason="", by="me")
        except NotFound:
            # Refused only where something of it is gone already.
            assert any(kept not in there for one in self.closed([id]) for kept in self.records[one].keeps().values())
        else:
            self.pinned[id] = None

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def a_pin_is_taken_off(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from([*self.pinned]))
        with self.workspace.write() as tx:
            pins.remove(tx, id, by="me")
        del self.pinned[id]

    @rule(keep=st.one_of(st.none(), st.integers(0, 2)))
    def collect(self, keep: int | None) -> None:
        asked = {} if keep is None else {"keep_runs": keep}
        foreseen = gc(self.workspace, dry_run=True, **asked)
        collected = gc(self.workspace, **asked)
        assert foreseen.freed == collected.freed
        for id in collected.runs:
            assert id not in self.pinned
            del self.finished[id]
        if not self.going_on:
            # Nobody is at work: what lies there is what is needed, and nothing else.
            assert gc(self.workspace).count == 0
            assert self.lying() == self.reached()
            assert [len(left) for left in orphans(self.workspace, reaches)] == [0] * 5

    @invariant()
    def what_is_needed_is_there(self) -> None:
        assert self.reached() <= self.lying()
        assert unsound(self.workspace, reaches) == []
        with self.workspace.read() as tx:
            assert {found.id for found in runs.find(tx)} == {*self.going_on, *self.finished}
            assert ledger.verify(tx) == []
            # Whoever asks again for what a kept run made shall find it.
            assert all(runs.cached(tx, key_of(one)) for results in self.kept() for one in results)

    def kept(self) -> Iterator[list[Artifact]]:
        yield from (*self.going_on.values(), *self.finished.values())

    def reached(self) -> set[tuple[str, str]]:
        """The blobs and folders that a run or a pin needs."""
        needed = {where for results in self.kept() for one in results for where in reaches(self.workspace.blobs, one)}
        ids = [name for kind, name in needed if kind == "record"] + [id for id in self.pinned if id in self.records]
        return {where for where in needed if where[0] != "record"} | {
            kept for id in self.closed(ids) for kept in self.records[id].keeps().values()
        }

    def closed(self, ids: list[str]) -> set[str]:
        found = set(ids)
        for id in ids:
            found |= self.closed(list(self.records[id].parents().values()))
        return found

    def lying(self) -> set[tuple[str, str]]:
        return {(found.kind, found.name) for found in sweep.listing(self.workspace.blobs)}


def play(examples: int, steps: int, *phases: Phase) -> None:
    wanted = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=phases or tuple(Phase),
        derandomize=bool(phases),
        report_multiple_bugs=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Store, settings=wanted)


def test_nothing_reached_goes_and_nothing_else_stays() -> None:
    play(12, 15)


@pytest.mark.full
def test_nothing_reached_goes_and_nothing_else_stays_at_length() -> None:
    play(400, 40)


FAULTS = {
    "pins do not count": (reach.pins, "find", lambda tx: []),
    "keys of kept runs do not count": (reach, "steps", lambda tx, runs: ((run, "", artifact) for run, _, artifact in STEPS(tx, runs))),
    "records are not looked into": (reach, "KEEPING", ()),
    "the second look is forgotten, and the first sees nothing": (reach, "steps", lambda tx, runs: iter(())),
    "blobs are not deleted": (collector.sweep, "remove", lambda *_, **__: iter(())),
}
STEPS = reach.steps


@pytest.mark.parametrize("fault", FAULTS)
def test_a_collector_with_a_fault_is_found_out(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, wrong = FAULTS[fault]
    monkeypatch.setattr(place, name, wrong)
    with pytest.raises((AssertionError, NotFound)):
        play(200, 20, Phase.generate)
