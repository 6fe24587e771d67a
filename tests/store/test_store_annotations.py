"""Queues and annotations, on both databases: who gets which row, what counts once, and several processes at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelling_program import label_all

from everloop.core.errors import BadInput, Conflict, NotFound
from everloop.core.labelling import Queue
from everloop.data.labelling import desk
from everloop.data.labelling.consensus import standing
from everloop.store import annotations
from everloop.store.annotations import Hold
from everloop.store.workspace import Workspace
from labelling_world import lend, say, turn

QUEUE = Queue(name="sms", dataset="pool", snapshot="s", target="label", choices=("spam", "ham"), lease_s=600.0)


def opened(workspace: Workspace, rows: int = 3, **more: Any) -> list[str]:
    """A queue over rows that need not be anywhere: their names, by rank."""
    queue = msgspec.structs.replace(QUEUE, **more)
    names = [f"row-{at:016x}" for at in range(rows)]
    with workspace.write() as tx:
        annotations.open_queue(tx, queue)
        annotations.put_items(tx, queue.name, [(row, at, at) for at, row in enumerate(names)])
    return names


def undo(workspace: Workspace, person: str, token: str, *, now: float = 100.0) -> Any:
    with workspace.write() as tx:
        return desk.undo(tx, "sms", person=person, token=token, now=now)


def review(workspace: Workspace, row: str, *, token: str = "r", action: Any = "accept", **more: Any) -> Any:
    with workspace.write() as tx:
        return desk.review(tx, "sms", row=row, person="rae", action=action, token=token, now=100.0, **more)


def items(workspace: Workspace) -> dict[str, tuple[int, int, str]]:
    with workspace.read() as tx:
        return {item.row: (item.votes, item.skips, item.state) for item in annotations.items(tx, "sms")}


def test_two_people_never_get_the_same_row_and_each_keeps_theirs(workspace: Workspace) -> None:
    first, second, third = opened(workspace)
    assert [lend(workspace, person) for person in ("ann", "bob", "ann", "bob")] == [first, second, first, second]
    say(workspace, "ann", first)
    assert lend(workspace, "ann") == third
    assert lend(workspace, "cy") is None


def test_as_many_people_as_are_wanted_get_a_row(workspace: Workspace) -> None:
    first, second, _ = opened(workspace, wanted=2)
    assert [lend(workspace, person) for person in ("ann", "bob", "cy")] == [first, first, second]
    say(workspace, "ann", first)
    assert lend(workspace, "ann") == second, "never a row that they answered"
    assert lend(workspace, "dee") not in (first, second)


def test_a_lease_runs_out_and_the_row_goes_to_somebody_else(workspace: Workspace) -> None:
    (first,) = opened(workspace, 1)
    assert lend(workspace, "ann", now=100.0) == first
    assert lend(workspace, "bob", now=699.9) is None
    assert lend(workspace, "bob", now=700.0) == first
    with pytest.raises(Conflict, match=f"{first} was lent to bob: the time of ann was up"):
        say(workspace, "ann", first, now=701.0)
    say(workspace, "bob", first, now=702.0)
    with pytest.raises(Conflict, match="needs no more labels: it is done"):
        say(workspace, "ann", first, now=703.0)


def test_who_is_late_may_still_answer_when_nobody_else_has_the_row(workspace: Workspace) -> None:
    (first,) = opened(workspace, 1)
    lend(workspace, "ann", now=100.0)
    assert say(workspace, "ann", first, now=5000.0).seconds is None, "nobody knows what they did meanwhile"


def test_asking_again_extends_the_lease_and_the_time_counts_from_the_beginning(workspace: Workspace) -> None:
    (first,) = opened(workspace, 1)
    lend(workspace, "ann", now=100.0)
    lend(workspace, "ann", now=600.0)
    assert lend(workspace, "bob", now=1100.0) is None
    assert say(workspace, "ann", first, now=1150.0).seconds == 1050.0


def test_a_form_sent_twice_is_one_annotation(workspace: Workspace) -> None:
    first, *_ = opened(workspace)
    lend(workspace, "ann")
    made = say(workspace, "ann", first, token="once")
    assert say(workspace, "ann", first, token="once", now=200.0) == made
    with pytest.raises(Conflict, match="sent before: ann said label 'spam'"):
        say(workspace, "ann", first, "ham", token="once")
    with pytest.raises(Conflict, match="sent before"):
        undo(workspace, "ann", "once")
    with pytest.raises(Conflict, match="ann has answered"):
        say(workspace, "ann", first, "ham", token="another")
    with workspace.read() as tx:
        assert annotations.newest(tx, "sms") == 1


def test_undo_takes_back_ones_own_last_and_lends_the_row_again(workspace: Workspace) -> None:
    first, second, third = opened(workspace)
    turn(workspace, "ann")
    assert turn(workspace, "bob").row == second
    assert lend(workspace, "ann") == third
    assert undo(workspace, "ann", "u1").undoes == 1
    assert undo(workspace, "ann", "u1").undoes == 1, "once, however often it is sent"
    assert items(workspace)[first] == (0, 0, "open")
    assert lend(workspace, "ann") == first
    assert lend(workspace, "cy") == third, "what ann held instead is free"
    assert say(workspace, "ann", first, "ham").value == "ham"
    undo(workspace, "ann", "u2")
    with pytest.raises(NotFound, match="nothing in queue 'sms' that could be undone"):
        undo(workspace, "ann", "u3")
    assert items(workspace)[second] == (1, 0, "done"), "bob's stays"


def test_a_skip_keeps_its_reason_and_is_not_offered_again(workspace: Workspace) -> None:
    first, second, _ = opened(workspace)
    lend(workspace, "ann")
    assert say(workspace, "ann", first, None, action="skip", reason=" blurred ").reason == "blurred"
    assert [lend(workspace, person) for person in ("ann", "bob")] == [second, first]
    assert items(workspace)[first] == (0, 1, "open")
    undo(workspace, "ann", "u")
    assert items(workspace)[first] == (0, 0, "open")


def test_disagreement_goes_to_a_reviewer_whose_word_stands(workspace: Workspace) -> None:
    first, *_ = opened(workspace, wanted=2)
    turn(workspace, "ann", "spam")
    turn(workspace, "bob", "ham")
    assert items(workspace)[first] == (2, 0, "review")
    with pytest.raises(BadInput, match="do not agree: there is nothing to accept"):
        review(workspace, first)
    assert review(workspace, first, value="ham").value == "ham"
    assert items(workspace)[first][2] == "done"
    assert review(workspace, first, action="reject", token="r2").value is None
    with pytest.raises(NotFound, match="is not in labelling queue 'sms'"):
        review(workspace, "row-nope", value="ham", token="r3")


def test_wrong_answers_are_refused_in_words_and_leave_nothing(workspace: Workspace) -> None:
    first, *_ = opened(workspace)
    lend(workspace, "ann")
    for told, more in (
        ("label 'spma' does not exist. Did you mean 'spam'", {"value": "spma"}),
        ("10,000,000 characters", {"value": None, "action": "skip", "reason": "x" * 10_000_000}),
        ("token is 1 to 80", {"token": "two words"}),
        ("Seconds spent", {"seconds": float("nan")}),
        ("'accept' is no answer", {"action": "accept"}),
    ):
        with pytest.raises(BadInput, match=told):
            say(workspace, "ann", first, **{"value": "spam", **more})
    for person in ("", "  ", "a\nb", "x" * 101, "nul\0"):
        with pytest.raises(BadInput, match="labeller's name"):
            lend(workspace, person)
    with pytest.raises(NotFound, match="is not in labelling queue"):
        say(workspace, "ann", "row-ffffffffffffffff")
    with pytest.raises(NotFound, match=r"Labelling queue 'smss' does not exist\. Did you mean 'sms'"):
        lend(workspace, "ann", name="smss")
    with pytest.raises(Conflict, match="labelling queue 'sms' already"):
        opened(workspace)
    with workspace.read() as tx:
        assert annotations.newest(tx, "sms") == 0


def test_text_that_a_database_would_refuse_is_kept_or_mended(workspace: Workspace) -> None:
    first, *_ = opened(workspace, kind="text", choices=())
    lend(workspace, "Zo\udce9")
    odd = "nul \0 and half \ud800 a pair"
    say(workspace, "Zo\udce9", first, odd, reason="a\0b")
    with workspace.read() as tx:
        (made,) = annotations.of_row(tx, "sms", first)
    assert (made.value, made.reason, made.person) == ("nul \0 and half ? a pair", "ab", "Zo?")


def test_rows_that_leave_the_data_keep_what_was_said(workspace: Workspace) -> None:
    first, second, third = opened(workspace)
    turn(workspace, "ann")
    with workspace.write() as tx:
        annotations.put_items(tx, "sms", [(third, 0, 0), ("row-new", 1, 1)])
    assert lend(workspace, "bob") == third
    assert lend(workspace, "cy") == "row-new"
    assert lend(workspace, "dee") is None, "what is not in the data any more is not offered"
    assert items(workspace)[first] == (1, 0, "done")
    with workspace.read() as tx:
        assert annotations.counts(tx, "sms") == {"open": 2}
        assert annotations.item(tx, "sms", second).position is None


turns = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cy"]),
        st.sampled_from(["lend", "label", "skip", "undo", "review", "wait"]),
        st.sampled_from(["spam", "ham"]),
    ),
    max_size=25,
)


@pytest.fixture(params=[1, 2])
def wanted(request: pytest.FixtureRequest) -> int:
    return request.param


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns)
def test_whatever_people_do_no_row_is_lent_beyond_what_is_wanted_and_items_say_what_follows(
    workspace: Workspace, wanted: int, told: list[tuple[str, str, str]]
) -> None:
    with workspace.write() as tx:
        for table in ("queues", "queue_items", "queue_holds", "annotations"):
            tx.sql(f"DELETE FROM {table}")
    rows = opened(workspace, 3, wanted=wanted)
    now = 100.0
    for number, (person, what, value) in enumerate(told):
        now += 400.0 if what == "wait" else 1.0
        try:
            if what == "lend":
                lend(workspace, person, now=now)
            elif what == "undo":
                undo(workspace, person, f"u{number}", now=now)
            elif what == "review":
                review(workspace, rows[number % 3], token=f"r{number}", value=value)
            elif what != "wait":
                row = lend(workspace, person, now=now)
                if row is not None:
                    say(workspace, person, row, value, action=what, token=f"t{number}", now=now)
        except NotFound:
            assert what == "undo"
        with workspace.read() as tx:
            queue = annotations.queue(tx, "sms")
            held = Counter(hold.row for hold in annotations.holds(tx, "sms", now=now))
            people = Counter(hold.person for hold in annotations.holds(tx, "sms", now=now))
            for item in annotations.items(tx, "sms"):
                stands = standing(queue, annotations.of_row(tx, "sms", item.row))
                assert (item.votes, item.skips, item.state) == (len(stands.votes), len(stands.skips), stands.state)
                assert item.votes + held[item.row] <= wanted
        assert all(count == 1 for count in people.values())


def test_processes_that_label_at_once_lose_nothing_and_share_nothing(
    workspace: Workspace, database_url: str, tmp_path: Path, spawn: Callable[..., Any]
) -> None:
    rows = opened(workspace, 60)
    gate = tmp_path / "gate"
    people = [spawn(label_all, database_url, tmp_path / f"home-{at}", f"p{at}", gate) for at in range(4)]
    assert [person.hear() for person in people] == ["ready"] * 4
    gate.touch()
    heard = [told for person in people for told in person.rest()]
    for person in people:
        person.done()
    assert sorted(row for row, _ in heard) == sorted(rows), "each row was labelled, and by one person alone"
    assert sorted(seq for _, seq in heard) == list(range(1, 61))
    with workspace.read() as tx:
        assert len(annotations.by_row(tx, "sms")) == annotations.newest(tx, "sms") == 60
        assert annotations.holds(tx, "sms", now=0.0) == list[Hold]()
        assert annotations.counts(tx, "sms") == {"done": 60}


def test_where_two_are_wanted_processes_give_each_row_exactly_two(
    workspace: Workspace, database_url: str, tmp_path: Path, spawn: Callable[..., Any]
) -> None:
    opened(workspace, 20, wanted=2)
    gate = tmp_path / "gate"
    people = [spawn(label_all, database_url, tmp_path / f"home-{at}", f"p{at}", gate) for at in range(3)]
    assert [person.hear() for person in people] == ["ready"] * 3
    gate.touch()
    for person in people:
        person.rest()
        person.done()
    with workspace.read() as tx:
        said = annotations.by_row(tx, "sms")
        assert {len({one.person for one in made}) for made in said.values()} == {2}
        assert sum(map(len, said.values())) == 40


def test_a_labeller_who_is_killed_keeps_nobody_from_the_row_for_longer_than_the_lease(
    workspace: Workspace, database_url: str, tmp_path: Path, spawn: Callable[..., Any]
) -> None:
    import time

    rows = opened(workspace, 400)
    gate = tmp_path / "gate"
    gate.touch()
    killed = spawn(label_all, database_url, tmp_path / "home-k", "killed", gate)
    assert killed.hear() == "ready"
    committed = [killed.hear() for _ in range(5)]
    killed.kill()
    committed += killed.rest()
    with workspace.read() as tx:
        said = annotations.by_row(tx, "sms")
        assert {row for row, _ in committed} <= set(said), "what it was told was kept"
        assert len(said) <= len(committed) + 1
    later = time.time() + QUEUE.lease_s + 1
    assert lend(workspace, "next", now=later) == next(row for row in rows if row not in said)


def test_finding_the_next_row_does_not_go_through_all_that_a_person_ever_said(workspace: Workspace) -> None:
    opened(workspace)
    if not workspace.database.is_sqlite:
        pytest.skip("SQLite says its plan without statistics")
    with workspace.read() as tx:
        plan = " ".join(
            str(row) for row in tx.sql(f"EXPLAIN QUERY PLAN {annotations._NEXT}", {"queue": "sms", "person": "a", "now": 0.0, "wanted": 1})
        )
    assert "SEARCH said USING INDEX annotations_by_row (queue=? AND row=? AND person=?)" in plan
    assert "SEARCH item USING INDEX queue_items_by_rank (queue=? AND state=?)" in plan
    assert "SCAN" not in plan
