"""Which steps may run at once on a machine, when several runs share it.

Each coordinator has one row that says that it is here, with the capacity that it sees, and one for each of its tickets. Whoever changes
something gives what is free to whoever's turn it is, in the same transaction; the others find it in their next look.
"""

from __future__ import annotations

import itertools
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from everloop.core.fairness import Claim, grants, largest
from everloop.core.work import Resources
from everloop.store.database import Transaction
from everloop.store.processes import is_gone, this_process
from everloop.store.workspace import Workspace

# When nothing seems to change, somebody looks with all care after so long.
_CAREFUL_EVERY_S = 1.0
_ADVISORY_SLOTS = 0x65766C73

_SELECT = """
SELECT ticket, run, process, cpus, gpus, memory_mb, asked_at, granted_at FROM slots WHERE machine = :machine ORDER BY asked_at, ticket
"""
_INSERT = """
INSERT INTO slots (ticket, machine, run, process, cpus, gpus, memory_mb, asked_at, granted_at)
VALUES (:ticket, :machine, :run, :process, :cpus, :gpus, :memory_mb, :asked_at, :granted_at)
"""
_DELETE = "DELETE FROM slots WHERE ticket = :ticket"
_GRANT = "UPDATE slots SET granted_at = :now WHERE ticket = :ticket"


class _Row(NamedTuple):
    """`ticket` is `token` for a coordinator itself and `token:serial` for what it asks. `granted_at` of a coordinator is when it came,
    or was served last."""

    ticket: str
    run: str
    process: str
    needs: Resources
    asked_at: float
    granted_at: float | None

    @property
    def token(self) -> str:
        return self.ticket.partition(":")[0]

    @property
    def is_coordinator(self) -> bool:
        return ":" not in self.ticket


class Slots:
    """The share of one run, in one process, of the machine that it is on. Used from one thread at a time.

    `capacity` is all that there is on the machine, as this process sees it; when processes see different ones, the largest counts.
    """

    def __init__(self, workspace: Workspace, run: str, capacity: Resources) -> None:
        self._workspace = workspace
        self._machine = socket.gethostname()
        self._process = this_process()
        self._token = secrets.token_hex(8)
        self._myself = _Row(self._token, run, self._process, capacity, 0.0, 0.0)
        self._serial = itertools.count(1)
        self._tickets: dict[int, str] = {}
        self._mine: dict[str, _Row] = {}
        self._is_here = False
        self._careful_at = 0.0

    @property
    def waits(self) -> bool:
        """Whether something that was asked for is not granted yet. Then `settle()` now and then says when it is."""
        return any(row.granted_at is None for row in self._mine.values())

    def settle(self, asked: Mapping[int, Resources] = {}, returned: Iterable[int] = ()) -> set[int]:
        """Give back and ask, in one transaction; all tickets that are granted and not given back.

        A number is the caller's own name of a ticket, and free again once it is returned. Asked for again, a ticket is the same one.
        Returning what is not granted yet takes the wish back. With nothing new this is a look, which writes only when it finds something
        to do; with nothing that waits either, it costs nothing.
        """
        now = time.time()
        gone = [ticket for number in returned if (ticket := self._tickets.pop(number, None)) is not None]
        for ticket in gone:
            del self._mine[ticket]
        new = [number for number in asked if number not in self._tickets]
        for place, number in enumerate(new):
            # Never the name of a ticket that was returned: its row is still there until the transaction.
            ticket = self._tickets[number] = f"{self._token}:{next(self._serial)}"
            self._mine[ticket] = _Row(ticket, self._myself.run, self._process, asked[number], now + place * 1e-6, None)
        if gone or new or (self.waits and self._must_write(now)):
            if not self._is_here:
                self._is_here = True
                self._myself = self._myself._replace(asked_at=now, granted_at=now)
            self._change(now)
        return {number for number, ticket in self._tickets.items() if self._mine[ticket].granted_at is not None}

    def close(self) -> None:
        """Give everything back."""
        if self._is_here:
            self._mine.clear()
            self._tickets.clear()
            self._is_here = False
            self._change(time.time())

    def _must_write(self, now: float) -> bool:
        """Look, without keeping others from writing: what is granted by now, and whether somebody who stands in the way is gone."""
        if now - self._careful_at >= _CAREFUL_EVERY_S:
            return True
        with self._workspace.read() as tx:
            found = self._rows(tx)
        self._notice(found)
        return self.waits and bool(self._dead(found))

    def _change(self, now: float) -> None:
        """Make the table say what we have and want, and give away what is free."""
        with self._workspace.write() as tx:
            if not tx.is_sqlite:
                tx.sql("SELECT pg_advisory_xact_lock(:key)", {"key": _ADVISORY_SLOTS})
            found = self._rows(tx)
            self._notice(found)
            here = {row.ticket: row for row in (self._myself, *self._mine.values())} if self._is_here else {}
            known = {row.ticket for row in found}
            # Ours may be missing, too, when somebody took this process for gone.
            missing = [row for ticket, row in here.items() if ticket not in known]
            rows, granted = self._granted([row for row in found if row.token != self._token or row.ticket in here] + missing, now)
            if not self._careful_at or any(row.granted_at is None and row.token == self._token for row in rows):
                # Only now: to ask for processes takes longer than all the rest.
                self._careful_at = now
                if dead := self._dead(rows):
                    rows, more = self._granted([row for row in rows if row.process not in dead], now)
                    granted |= more
            after = {row.ticket: row for row in rows}
            tx.many(_DELETE, [{"ticket": ticket} for ticket in known - after.keys()])
            tx.many(_INSERT, [self._columns(after[row.ticket]) for row in missing])
            tx.many(_GRANT, [{"ticket": ticket, "now": now} for ticket in sorted(granted & known & after.keys())])
        self._mine = {ticket: after[ticket] for ticket in self._mine}

    def _dead(self, rows: list[_Row]) -> set[str]:
        return {process for process in {row.process for row in rows} - {self._process} if is_gone(process)}

    def _granted(self, rows: list[_Row], now: float) -> tuple[list[_Row], set[str]]:
        """The rows as they are after what is free was given away, and the tickets that changed."""
        coordinators = [row for row in rows if row.is_coordinator]
        claims = [Claim(row.ticket, row.token, row.needs, row.granted_at is not None) for row in rows if not row.is_coordinator]
        served_at = {row.token: row.granted_at or row.asked_at for row in coordinators}
        granted = set(grants(claims, largest(row.needs for row in coordinators), served_at))
        if len(coordinators) > 1:
            # While it is alone this costs a statement for nothing: whoever comes later has been served later.
            granted |= {ticket.partition(":")[0] for ticket in granted}
        return [row._replace(granted_at=now) if row.ticket in granted else row for row in rows], granted

    def _notice(self, found: Iterable[_Row]) -> None:
        """What others granted to us."""
        for row in found:
            if row.granted_at is not None and row.ticket in self._mine:
                self._mine[row.ticket] = row

    def _rows(self, tx: Transaction) -> list[_Row]:
        return [
            _Row(ticket, run, process, Resources(cpus, gpus, memory_mb), asked_at, granted_at)
            for ticket, run, process, cpus, gpus, memory_mb, asked_at, granted_at in tx.sql(_SELECT, {"machine": self._machine})
        ]

    def _columns(self, row: _Row) -> dict[str, object]:
        return {
            "ticket": row.ticket, "machine": self._machine, "run": row.run, "process": row.process, "asked_at": row.asked_at,
            "granted_at": row.granted_at, **row.needs._asdict(),
        }  # fmt: skip
