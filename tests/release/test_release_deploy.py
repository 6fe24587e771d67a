"""Versions and rollouts in a real workspace: the deployment, the ledger and the verdicts move together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from release_world import LOOP, NUMBERS, Traffic, deployment, made, version

from everloop.core.errors import Conflict, NotFound
from everloop.core.live import Decision
from everloop.core.models import Version
from everloop.core.verdict import Verdict
from everloop.release import deploy
from everloop.release.register import register
from everloop.release.rollout import Rollout
from everloop.release.traffic import load_trial
from everloop.store import ledger, records, registry
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

CONFIG = Rollout(shadow_rows=50, canary_rows=100, canary_share=0.3, probation_rows=200, min_labels=30)
DIRECT = msgspec.structs.replace(CONFIG, direct=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


def begin(workspace: Workspace, entry: Registered, at: float, config: Rollout = CONFIG) -> Decision:
    return deploy.begin(workspace, entry, config, now=at, actor="test")


def advance(workspace: Workspace, at: float, config: Rollout = CONFIG) -> list[str]:
    return [decision.action for decision in deploy.advance(workspace, LOOP, config, now=at, actor="test")]


def sound(workspace: Workspace) -> None:
    with workspace.read() as tx:
        assert ledger.verify(tx) == []
        assert records.dangling(tx) == []


def live(workspace: Workspace, *, champion_wrong: float = 0.1) -> tuple[Traffic, Registered]:
    """Version 1 is champion with labelled traffic, version 2 is registered."""
    begin(workspace, version(workspace, 1), 900.0)
    traffic = Traffic(workspace)
    traffic.label(traffic.send(200, 1), wrong=champion_wrong)
    return traffic, version(workspace, 2)


# Registering


def test_a_version_has_its_gate_behind_it(workspace: Workspace) -> None:
    candidate, evaluation, verdict = made(workspace, 1)
    args: dict[str, Any] = {"loop": LOOP, "candidate": candidate, "evaluation": evaluation, "run": "run-1", "actor": "test"}
    first = register(workspace, verdict=verdict, **args)
    assert register(workspace, verdict=verdict, **args) == first
    with workspace.read() as tx:
        [decision] = ledger.find(tx, action="register")
        assert (first.number, first.name in decision.about, verdict.id in decision.about) == (1, True, True)
    sound(workspace)


def test_no_version_without_a_passed_gate_on_this_very_evaluation(workspace: Workspace) -> None:
    candidate, evaluation, verdict = made(workspace, 1)
    _, other, elsewhere = made(workspace, 2)
    _, _, failed = made(workspace, 1, passed=False)
    empty = Verdict(question="gate", about=evaluation.id)
    for args, message in [
        ((evaluation, failed), "did not pass its gate"),
        ((evaluation, elsewhere), "is about"),
        ((other, elsewhere), "Evaluate the candidate"),
        ((evaluation, empty), "nothing was held against a gate"),
    ]:
        with pytest.raises(Conflict, match=message):
            register(workspace, loop=LOOP, candidate=candidate, evaluation=args[0], verdict=args[1], run="run-1", actor="test")
    assert verdict.passed
    with workspace.read() as tx:
        assert registry.find(tx) == []
        assert ledger.find(tx) == []


def test_no_deployment_without_a_gate_record(workspace: Workspace) -> None:
    candidate, evaluation, _ = made(workspace, 1)
    _, _, failed = made(workspace, 1, passed=False)
    smuggled = Version(loop=LOOP, candidate=candidate.id, evaluation=evaluation.id, verdict=failed.id)
    with workspace.write() as tx:
        records.keep(tx, candidate, evaluation, failed, smuggled)
        entry = registry.register(tx, smuggled, model=candidate.model, run="run-1")
    with pytest.raises(Conflict, match="did not pass its gate"):
        begin(workspace, entry, 1.0)
    assert deployment(workspace).revision == 0


# Rolling out


def test_the_first_version_answers_at_once(workspace: Workspace) -> None:
    entry = version(workspace, 1)
    decision = begin(workspace, entry, 900.0)
    assert (decision.action, decision.outcome, deployment(workspace).champion) == ("promote", "done", 1)
    assert begin(workspace, entry, 901.0) == decision
    assert advance(workspace, 902.0) == []
    sound(workspace)


def test_shadow_canary_champion(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    assert begin(workspace, second, traffic.at).action == "shadow"
    traffic.mirror(49, 1, 2)
    assert advance(workspace, traffic.at) == []
    traffic.mirror(1, 1, 2)
    assert advance(workspace, traffic.at) == ["canary"]
    assert deployment(workspace).share == 0.3
    traffic.label(traffic.send(140, 1), wrong=0.1)
    traffic.label(traffic.send(60, 2, "canary"), wrong=0.1)
    assert advance(workspace, traffic.at) == []
    traffic.send(40, 2, "canary")
    assert advance(workspace, traffic.at) == ["promote"]
    now = deployment(workspace)
    assert (now.champion, now.previous, now.challenger, now.stage) == (2, 1, None, "none")
    with workspace.read() as tx:
        actions = [(d.rule, d.action) for d in ledger.find(tx, about=f"{LOOP}/2")]
        assert actions == [
            ("gate", "register"), ("rollout:begin", "shadow"), ("rollout:shadow", "canary"), ("rollout:canary", "promote"),
        ]  # fmt: skip
        for decision in ledger.find(tx, about=f"{LOOP}/2")[1:]:
            [verdict] = [subject for subject in decision.about if subject.startswith("verdict-")]
            assert records.load(tx, verdict, Verdict).passed
    sound(workspace)


def test_a_shadow_that_labels_show_to_be_worse_never_answers_anyone(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at)
    given = traffic.mirror(40, 1, 2, agree=0.3)
    traffic.label(given, wrong=0.0)
    assert advance(workspace, traffic.at) == ["rollback"]
    assert deployment(workspace).challenger is None
    sound(workspace)


def test_a_canary_that_regresses_is_withdrawn(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at, msgspec.structs.replace(CONFIG, shadow_rows=0))
    traffic.label(traffic.send(100, 1), wrong=0.05)
    traffic.label(traffic.send(35, 2, "canary"), wrong=0.6)
    assert advance(workspace, traffic.at) == ["rollback"]
    now = deployment(workspace)
    assert (now.champion, now.challenger, now.previous) == (1, None, None)
    assert advance(workspace, traffic.at) == []
    sound(workspace)


def test_a_challenger_that_fails_on_requests_is_withdrawn(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at)
    traffic.fail(1, 50)  # another version's errors are not its own
    assert advance(workspace, traffic.at) == []
    traffic.fail(2, 5)
    assert advance(workspace, traffic.at) == ["rollback"]


def test_what_was_answered_before_the_stage_is_no_evidence(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at)
    traffic.mirror(50, 1, 2)
    assert advance(workspace, traffic.at) == ["canary"]
    assert advance(workspace, traffic.at) == []
    traffic.send(99, 2, "canary")
    traffic.mirror(500, 1, 2)
    assert advance(workspace, traffic.at) == []


@pytest.mark.parametrize("config", [CONFIG, DIRECT])
def test_a_champion_that_regresses_on_live_traffic_is_rolled_back(workspace: Workspace, config: Rollout) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at, config)
    if not config.direct:
        traffic.mirror(50, 1, 2)
        assert advance(workspace, traffic.at) == ["canary"]
        traffic.send(400, 1)
        traffic.send(100, 2, "canary")
        assert advance(workspace, traffic.at) == ["promote"]  # no label has come: errors alone decide
    assert deployment(workspace).champion == 2
    served = traffic.send(60, 2)
    assert advance(workspace, traffic.at, config) == []
    if not config.direct:
        # Labels of the version before may come after the promotion, too.
        with workspace.read() as tx:
            trial = load_trial(tx, LOOP)
        before = list(deploy.collect(workspace.predictions, deployment(workspace), trial).champion)
        traffic.label(before, wrong=0.1)  # type: ignore[arg-type]
    traffic.label(served, wrong=0.6)
    assert advance(workspace, traffic.at, config) == ["rollback"]
    now = deployment(workspace)
    assert (now.champion, now.previous) == (1, None)
    with workspace.read() as tx:
        [decision] = ledger.find(tx, action="rollback")
    assert decision.rule == "rollout:probation"
    assert "rolled back to version 1" in decision.reason
    assert advance(workspace, traffic.at, config) == []
    sound(workspace)


def test_probation_ends(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at, DIRECT)
    traffic.label(traffic.send(200, 2), wrong=0.1)
    assert advance(workspace, traffic.at, DIRECT) == []
    with workspace.read() as tx:
        assert not load_trial(tx, LOOP).probation
    traffic.label(traffic.send(200, 2), wrong=1.0)
    assert advance(workspace, traffic.at, DIRECT) == []
    assert deployment(workspace).champion == 2


def test_looks_are_counted_durably_and_only_when_labels_came(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at, DIRECT)
    for labelled, looks in ((20, 0), (20, 1), (0, 1), (1, 1), (40, 2)):
        traffic.label(traffic.send(labelled, 2), wrong=0.1)
        assert advance(workspace, traffic.at, DIRECT) == []
        with workspace.read() as tx:
            assert load_trial(tx, LOOP).looks == looks


def test_numbers_are_compared_by_their_error(workspace: Workspace) -> None:
    begin(workspace, version(workspace, 1, signature=NUMBERS), 900.0)
    traffic = Traffic(workspace)
    for i in range(60):
        traffic.label(traffic.send(1, 1, output=0.1 * (i % 5)), wrong=0.0)
    begin(workspace, version(workspace, 2, signature=NUMBERS), traffic.at, DIRECT)
    for i in range(60):
        traffic.label(traffic.send(1, 2, output=0.3 * (i % 5)), wrong=0.0)
    assert advance(workspace, traffic.at, DIRECT) == ["rollback"]


def test_several_processes_make_one_move(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at)
    traffic.mirror(50, 1, 2)
    with ThreadPoolExecutor(6) as pool:
        moves = [action for part in pool.map(lambda _: advance(workspace, traffic.at), range(6)) for action in part]
    assert moves == ["canary"]
    sound(workspace)


def test_an_idle_champion_is_replaced_at_once(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    decision = begin(workspace, second, traffic.at + CONFIG.idle_s)
    assert (decision.action, deployment(workspace).champion) == ("promote", 2)
    assert "No live traffic" in decision.reason


def test_the_same_candidate_is_not_rolled_out_against_itself(workspace: Workspace) -> None:
    traffic, _ = live(workspace)
    candidate, evaluation, verdict = made(workspace, 1)
    again = msgspec.structs.replace(evaluation, part="valid")
    twin = register(
        workspace, loop=LOOP, candidate=candidate, evaluation=again, verdict=msgspec.structs.replace(verdict, about=again.id), run="r",
        actor="t",
    )  # fmt: skip
    decision = begin(workspace, twin, traffic.at)
    assert (decision.outcome, deployment(workspace).challenger) == ("suppressed", None)
    assert "same candidate" in decision.reason


def test_a_newer_challenger_replaces_an_older_one(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at)
    traffic.mirror(30, 1, 2)
    decision = begin(workspace, version(workspace, 3), traffic.at)
    assert (deployment(workspace).challenger, deployment(workspace).stage) == (3, "shadow")
    assert f"{LOOP}/2" in decision.about
    traffic.mirror(49, 1, 3)
    assert advance(workspace, traffic.at) == []
    traffic.mirror(1, 1, 3)
    assert advance(workspace, traffic.at) == ["canary"]


# A person goes back


def test_a_person_rolls_back(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at, DIRECT)
    decision = deploy.rollback(workspace, LOOP, actor="ana", reason="complaints", now=traffic.at)
    assert (decision.action, decision.actor, deployment(workspace).champion) == ("rollback", "ana", 1)
    assert "complaints" in decision.reason
    with pytest.raises(Conflict, match="nothing to go back to"):
        deploy.rollback(workspace, LOOP, actor="ana", reason="", now=traffic.at)
    assert advance(workspace, traffic.at, DIRECT) == []
    sound(workspace)


def test_a_person_withdraws_a_challenger(workspace: Workspace) -> None:
    traffic, second = live(workspace)
    begin(workspace, second, traffic.at)
    decision = deploy.rollback(workspace, LOOP, actor="ana", reason="not this one", now=traffic.at)
    assert "withdrawn from its shadow" in decision.reason
    now = deployment(workspace)
    assert (now.champion, now.challenger, now.stage) == (1, None, "none")


def test_a_loop_that_does_not_exist_cannot_go_back(workspace: Workspace) -> None:
    live(workspace)
    with pytest.raises(NotFound, match="Did you mean 'digits'"):
        deploy.rollback(workspace, "digit", actor="ana", reason="", now=0.0)
