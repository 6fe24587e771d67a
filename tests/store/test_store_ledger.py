from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests_store_programs import append_decisions

from everloop.store import ledger
from everloop.store.database import Database, Transaction
from everloop.store.schema import decisions

ENTRIES = 6
SHARED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


class TakenBack(Exception): ...


def fill(tx: Transaction, entries: int = ENTRIES) -> None:
    for at in range(entries):
        ledger.append(
            tx,
            loop="l",
            rule="r",
            action="page",
            reason=f"because {at}",
            about=[f"run-{at}", "x"],
            evidence={"n": at},
            actor="me",
            at=at + 0.1,
        )


def within(database: Database, change: Callable[[Transaction], object]) -> list[str]:
    """What `verify` says after a change that is taken back."""
    found: list[str] = []
    with suppress(TakenBack), database.write() as tx:
        noted = ledger.head(tx)
        change(tx)
        found += [finding.message for finding in ledger.verify(tx, until=noted)]
        raise TakenBack
    return found


@pytest.fixture
def filled(database: Database) -> Database:
    with database.write() as tx:
        fill(tx)
    return database


def test_a_chain_is_sound_and_its_entries_are_found(filled: Database) -> None:
    with filled.read() as tx:
        assert ledger.verify(tx) == []
        assert ledger.verify(tx, until=ledger.head(tx)) == []
        entries = ledger.find(tx)
        assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
        assert [entry.seq for entry in ledger.find(tx, about="run-3")] == [4]
        assert [entry.seq for entry in ledger.find(tx, after=4, newest_first=True)] == [6, 5]
        assert ledger.find(tx, loop="other") == ledger.find(tx, rule="r", outcome="suppressed") == []
        assert ledger.by_hash(tx, entries[2].id) == ledger.by_hash(tx, entries[2].hash[:10]) == entries[2]
        assert ledger.by_hash(tx, "") is None


def test_an_empty_ledger_is_sound(database: Database) -> None:
    with database.read() as tx:
        assert ledger.verify(tx) == []
        assert ledger.head(tx) == ledger.GENESIS
        assert ledger.verify(tx, until="f" * 64) != []


@given(
    reason=TEXT,
    actor=TEXT,
    about=st.lists(TEXT, max_size=3),
    evidence=st.dictionaries(TEXT, PLAIN, max_size=4),
    at=st.none() | st.floats(0, 1e10),
)
@SHARED
def test_whatever_is_written_is_read_back_and_verifies(
    filled: Database, reason: str, actor: str, about: list[str], evidence: dict[str, object], at: float | None
) -> None:
    def write(tx: Transaction) -> None:
        entry = ledger.append(tx, loop="l", rule="r", action="a", reason=reason, about=about, evidence=evidence, actor=actor, at=at)
        assert ledger.find(tx, after=ENTRIES) == [entry]
        assert entry.reason == reason.replace("\0", "")
        assert ledger.seal(entry) == entry.hash

    assert within(filled, write) == []


OTHER: dict[str, Callable[[Any], Any]] = {
    "at": lambda old: math.nextafter(old, math.inf),
    "outcome": lambda old: "suppressed",
    "about": lambda old: json.dumps([*json.loads(old), "y"]),
    "evidence": lambda old: json.dumps({**json.loads(old), "n": -1}),
    "seq": lambda old: old + 100,
    "previous": lambda old: "0" * 63 + "1",
    "hash": lambda old: "0" * 63 + "1",
}


@given(
    seq=st.integers(1, ENTRIES),
    field=st.sampled_from([column.name for column in decisions.columns]),
    text=st.text("abc", min_size=1, max_size=5),
)
@SHARED
def test_a_change_of_any_field_of_any_entry_is_found(filled: Database, seq: int, field: str, text: str) -> None:
    def tamper(tx: Transaction) -> None:
        old = tx.execute(sa.select(decisions.c[field]).where(decisions.c.seq == seq)).scalar_one()
        new = OTHER.get(field, lambda _: text)(old)
        assume(new != old)
        assert tx.execute(sa.update(decisions).where(decisions.c.seq == seq).values({field: new})).rowcount == 1

    assert within(filled, tamper)


@given(seq=st.integers(1, ENTRIES))
@SHARED
def test_an_entry_changed_and_sealed_again_is_found(filled: Database, seq: int) -> None:
    def forge(tx: Transaction) -> None:
        entry = ledger.find(tx, after=seq - 1, limit=1)[0]
        forged = msgspec.structs.replace(entry, reason="nothing to see")
        values = {"reason": forged.reason, "hash": ledger.seal(forged)}
        tx.execute(sa.update(decisions).where(decisions.c.seq == seq).values(values))

    assert within(filled, forge)


@given(first=st.integers(1, ENTRIES), count=st.integers(1, ENTRIES))
@SHARED
def test_removed_entries_are_found_also_at_the_end(filled: Database, first: int, count: int) -> None:
    assert within(filled, lambda tx: tx.execute(sa.delete(decisions).where(decisions.c.seq.between(first, first + count - 1))))


@given(st.integers(1, ENTRIES), st.integers(1, ENTRIES))
@SHARED
def test_entries_in_another_order_are_found(filled: Database, a: int, b: int) -> None:
    assume(a != b)

    def swap(tx: Transaction) -> None:
        for old, new in ((a, 1000), (b, a), (1000, b)):
            tx.execute(sa.update(decisions).where(decisions.c.seq == old).values(seq=new))

    assert within(filled, swap)


def test_appends_of_four_processes_give_one_unbroken_chain(database_url: str, database: Database, spawn: Callable[..., Any]) -> None:
    processes = [spawn(append_decisions, database_url, name, 20) for name in "abcd"]
    for process in processes:
        process.done()
    with database.read() as tx:
        entries = ledger.find(tx)
        assert [entry.seq for entry in entries] == list(range(1, 81))
        assert ledger.verify(tx) == []
        for name in "abcd":
            assert [entry.reason for entry in entries if entry.actor == name] == [f"{at}" for at in range(20)]


def test_an_append_in_a_transaction_that_fails_leaves_nothing(filled: Database) -> None:
    def fail() -> None:
        with filled.write() as tx:
            fill(tx)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with filled.read() as tx:
        assert len(ledger.find(tx)) == ENTRIES
        assert ledger.verify(tx) == []
