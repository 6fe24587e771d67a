"""Versions, and which of them answers: the deployment of each loop."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import sqlalchemy as sa

from everloop.core.errors import Conflict, NotFound, unknown
from everloop.core.live import Deployment
from everloop.core.models import Version
from everloop.store.database import Transaction, serialise, upsert
from everloop.store.schema import cursors, deployments, versions


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A version's place in the registry: its number, and the digest that its model must have when it is loaded."""

    loop: str
    number: int
    version: str
    candidate: str
    model: str
    run: str = ""
    tracker_run: str = ""
    created_at: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.loop}/{self.number}"


def register(tx: Transaction, version: Version, *, model: str, run: str) -> Registered:
    """Give a version the next number of its loop; the number it has already, when it was registered before."""
    serialise(tx)
    existing = tx.execute(sa.select(versions).where(versions.c.loop == version.loop, versions.c.version == version.id)).first()
    if existing:
        return Registered(**existing._mapping)
    number = (tx.execute(sa.select(sa.func.max(versions.c.number)).where(versions.c.loop == version.loop)).scalar() or 0) + 1
    entry = Registered(
        loop=version.loop, number=number, version=version.id, candidate=version.candidate, model=model, run=run, created_at=time.time()
    )
    tx.execute(sa.insert(versions).values(msgspec.structs.asdict(entry)))
    return entry


def note_tracker_run(tx: Transaction, loop: str, number: int, tracker_run: str) -> None:
    tx.execute(sa.update(versions).where(versions.c.loop == loop, versions.c.number == number).values(tracker_run=tracker_run))


def get(tx: Transaction, loop: str, number: int) -> Registered:
    row = tx.execute(sa.select(versions).where(versions.c.loop == loop, versions.c.number == number)).first()
    if row is None:
        raise unknown("Version", f"{loop}/{number}", [entry.name for entry in find(tx, loop=loop)])
    return Registered(**row._mapping)


def find(tx: Transaction, *, loop: str | None = None, candidate: str | None = None) -> list[Registered]:
    """Registered versions, oldest first."""
    query = sa.select(versions).order_by(versions.c.loop, versions.c.number)
    if loop is not None:
        query = query.where(versions.c.loop == loop)
    if candidate is not None:
        query = query.where(versions.c.candidate == candidate)
    return [Registered(**row._mapping) for row in tx.execute(query)]


def loops(tx: Transaction) -> list[str]:
    """Loops that have a deployment."""
    return list(tx.execute(sa.select(deployments.c.loop).order_by(deployments.c.loop)).scalars())


def deployment(tx: Transaction, loop: str) -> Deployment:
    """The loop's deployment; an empty one (revision 0) when nothing was ever deployed."""
    row = tx.execute(sa.select(deployments).where(deployments.c.loop == loop)).first()
    return Deployment(**row._mapping) if row else Deployment(loop=loop)


def every_deployment(tx: Transaction) -> list[Deployment]:
    """The deployments of all loops, in one cheap statement that servers repeat."""
    return [Deployment(**row._mapping) for row in tx.execute(sa.select(deployments).order_by(deployments.c.loop))]


def deploy(tx: Transaction, new: Deployment, *, replacing: Deployment) -> Deployment:
    """Put a deployment in place of the one that the caller saw. Conflict when somebody changed it meanwhile."""
    serialise(tx)
    current = deployment(tx, new.loop)
    if current.revision != replacing.revision:
        raise Conflict(
            f"The deployment of {new.loop!r} changed meanwhile (revision {current.revision}, not {replacing.revision}). Look again and repeat."
        )
    entry = msgspec.structs.replace(new, revision=replacing.revision + 1)
    upsert(tx, deployments, msgspec.structs.asdict(entry))
    return entry


def by_alias(tx: Transaction, loop: str, alias: str) -> Registered:
    """`champion`, `challenger`, `previous`, or a number. NotFound with what there is."""
    # At most nine ASCII digits: what every database takes as an integer; '²' is a digit too, but no number.
    if alias.isascii() and alias.isdecimal() and len(alias) <= 9:
        return get(tx, loop, int(alias))
    current = deployment(tx, loop)
    aliases = {"champion": current.champion, "challenger": current.challenger, "previous": current.previous}
    if alias not in aliases:
        raise unknown("Alias", alias, [*aliases, "a version number"])
    number = aliases[alias]
    if number is None:
        if current.revision == 0 and not find(tx, loop=loop):
            raise unknown("Model", loop, loops(tx))
        raise NotFound(f"Loop {loop!r} has no {alias} now.")
    return get(tx, loop, number)


def cursor(tx: Transaction, loop: str, name: str) -> dict[str, Any]:
    """How far a reader of a stream has come; empty at the beginning."""
    body = tx.execute(sa.select(cursors.c.body).where(cursors.c.loop == loop, cursors.c.name == name)).scalar()
    return json.loads(body) if body else {}


def put_cursor(tx: Transaction, loop: str, name: str, body: dict[str, Any]) -> None:
    """Move a reader on, in the same transaction as what it made of what it read."""
    upsert(tx, cursors, {"loop": loop, "name": name, "body": msgspec.json.encode(body).decode()})
