"""Whether the store still is what it should be: every row leads to something, and every blob that a row names is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from everloop.core.artifacts import Reached
from everloop.core.record import COLLECTED
from everloop.store import pins, records, registry, sweep
from everloop.store.database import Transaction
from everloop.store.reach import KEEPING, Reach, Reaches, all_records, bodies, cached, look_at_runs, lost, steps
from everloop.store.workspace import Workspace


class Orphans(NamedTuple):
    """What nothing reaches: allowed, a crash leaves some, and the next collection deletes them. `results` are keys of cache rows."""

    results: list[str]
    records: list[str]
    blobs: list[str]
    trees: list[str]
    leftovers: list[str]


def unsound(workspace: Workspace, reaches: Reaches) -> list[str]:
    """A sentence for each thing that is wrong; empty when the store is sound. Names are compared, contents are not read again: every
    read proves them. Not while others write or collect: what they do meanwhile may look wrong."""
    reach, lying = _everything(workspace, reaches)
    with workspace.read() as tx:
        return list(_wrong(tx, reach, lying))


def orphans(workspace: Workspace, reaches: Reaches) -> Orphans:
    reach, lying = _everything(workspace, reaches)
    with workspace.read() as tx:
        left = [id for id, _ in all_records(tx) if not reach.has(id)]
    blobs, trees = ([name for kind, name in lying - reach.names if kind == which] for which in ("blob", "tree"))
    leftovers = [found.path for found in sweep.listing(workspace.blobs) if found.kind == "leftover"]
    return Orphans(sorted(reach.stale), left, sorted(blobs), sorted(trees), sorted(leftovers))


def _everything(workspace: Workspace, reaches: Reaches) -> tuple[Reach, set[Reached]]:
    reach = Reach(workspace.blobs, reaches)
    with workspace.read() as tx:
        reach.look(tx, look_at_runs(tx), dropped=(), young=float("inf"))
    return reach, {(found.kind, found.name) for found in sweep.listing(workspace.blobs) if found.kind != "leftover"}


def _wrong(tx: Transaction, reach: Reach, lying: set[Reached]) -> Iterator[str]:
    known = {id for id, _ in all_records(tx)}
    there: set[Reached] = {("record", id) for id in known}
    there |= lying
    yield from (f"{child} names {parent} as its {role}, which is no record." for child, role, parent in records.dangling(tx))
    for child, role in tx.sql("SELECT child, role FROM links WHERE child NOT IN (SELECT id FROM records)"):
        yield f"The link {role!r} of {child} belongs to no record."
    for id, body in bodies(tx, [id for id in known if id.partition("-")[0] in KEEPING and id in reach.full]):
        yield from _of_record(id, body, lying)
    ran = {run.id for run in look_at_runs(tx).ages}
    for run, key, artifact in steps(tx, None):
        who = f"A step of {run} (key {key[:12]})"
        if run not in ran:
            yield f"{who} belongs to no run."
        if artifact.output:
            yield from (f"{who} names a {kind} that is gone: {name}." for kind, name in lost(reach.parts(artifact), there.__contains__))
    for row in cached(tx):
        yield from (
            f"The cache row {row.key[:12]} names a {kind} that is gone: {name}."
            for kind, name in lost(reach.parts(row.artifact), there.__contains__)
        )
    versions = registry.find(tx)
    for entry in versions:
        for what, id in (("version", entry.version), ("candidate", entry.candidate)):
            if id not in known:
                yield f"{entry.name} has no {what}: {id} is no record."
        if ("tree", entry.model) not in lying:
            yield f"{entry.name} has no model: the folder {entry.model} is gone."
    numbers = {(entry.loop, entry.number) for entry in versions}
    for deployment in registry.every_deployment(tx):
        for role in ("champion", "previous", "challenger"):
            number = getattr(deployment, role)
            if number is not None and (deployment.loop, number) not in numbers:
                yield f"The {role} of {deployment.loop!r} is version {number}, which is not registered."
    names = known | ran | {entry.name for entry in versions}
    yield from (f"A pin holds {pin.id}, which is not there." for pin in pins.find(tx) if pin.id not in names)


def _of_record(id: str, body: bytes, lying: set[Reached]) -> Iterator[str]:
    try:
        record = records.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        yield f"{id} can no longer be read ({error})."
        return
    if record.id != id:
        yield f"{id} was changed after it was written: its content is now {record.id}."
    for field, (kind, name) in record.keeps().items():
        if name == COLLECTED:
            yield f"{id} is needed, but its {field} was collected."
        elif (kind, name) not in lying:
            yield f"{id} names a {kind} as its {field} that is gone: {name}."
