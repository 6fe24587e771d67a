"""What a cycle looks up before and between its steps; nothing here changes anything."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from everloop.core.errors import unknown
from everloop.core.models import Candidate, Task
from everloop.core.ports import Place
from everloop.core.schemas import Schema
from everloop.core.tables import Snapshot
from everloop.project import Loop
from everloop.store import datasets, ledger, records, registry
from everloop.store.registry import Registered
from everloop.store.workspace import current


def check(loop: Loop) -> Task:
    """Every name in the declaration means something; the task. Raises before anything is read or kept."""
    from everloop.core import plugins
    from everloop.evaluate.metrics import get, task_of

    get(loop.metrics)
    task = task_of(loop.metrics)
    for sink in loop.sinks:
        plugins.find("sinks", sink)
    for trigger in loop.triggers:
        trigger.check(loop.metrics)
    return task


def gates(loop: Loop) -> Sequence[Any]:
    from everloop.evaluate.gates import default

    return tuple(loop.gates) if loop.gates else default(loop.metrics)


def check_gates(loop: Loop, data: Any) -> None:
    """Gates name metrics of the loop and columns of the snapshot. Raises NotFound with the closest match, before anything is trained."""
    columns = [column.name for column in data.result().columns]
    for gate in gates(loop):
        gate.check(loop.metrics, columns)
    for column in loop.slices:
        if column not in columns:
            raise unknown("Column", column, columns)


def slices(loop: Loop) -> tuple[str, ...]:
    """The columns whose values are evaluated one by one: those asked for, and those that a gate looks at."""
    wanted = [*loop.slices, *(column for gate in gates(loop) for column in gate.slices())]
    return tuple(dict.fromkeys(wanted))


def place(loop: str) -> Place:
    return Place(loop, current().project, current().home)


def stamp(loop: Loop) -> str:
    """Changes when the source may have something new."""
    return loop.source.stamp(place(loop.name))


def before(loop: Loop) -> Snapshot | None:
    """What the new snapshot grows from; None when each is taken for itself."""
    if loop.ingest == "full":
        return None
    with current().read() as tx:
        return datasets.newest(tx, loop.name)


def snapshot_id(text: str) -> str:
    """The id of the snapshot that a person names: `bike@golden`, `bike@2026-11-20`, or a beginning of the id itself."""
    with current().read() as tx:
        return datasets.resolve(tx, text).id


def schema_file(loop: str) -> Path:
    return current().project / "schemas" / f"{loop}.json"


def declared_schema(loop: Loop) -> Schema | None:
    """The schema that the loop was given, in whatever form, else the one beside the user's code, if it was written yet."""
    from everloop.data.schema import accept, load

    if loop.schema is not None:
        given = current().project / loop.schema if isinstance(loop.schema, str | Path) else loop.schema
        return accept(given, dataset=loop.name)
    path = schema_file(loop.name)
    return load(path) if path.is_file() else None


def champion(loop: str, data: Any) -> Candidate | None:
    """The candidate that answers now, if the snapshot has the columns that it needs: on others it cannot be compared."""
    with current().read() as tx:
        number = registry.deployment(tx, loop).champion
        found = None if number is None else records.load(tx, registry.get(tx, loop, number).candidate, Candidate)
    columns = {column.name for column in data.result().columns}
    return found if found and columns.issuperset(column.name for column in found.signature.inputs) else None


def known_as(loop: str, candidate: Any) -> Registered | None:
    """The version that this very candidate already is, if it had its chance: a rollout that began, or a refusal.

    A version that was only registered when its run was killed goes on from there.
    """
    with current().read() as tx:
        for entry in reversed(registry.find(tx, loop=loop, candidate=candidate.output)):
            if any(decision.action != "register" for decision in ledger.find(tx, about=entry.name)):
                return entry
    return None


def person() -> str:
    """Who is at the keyboard, for the ledger."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"uid {os.getuid()}@{socket.gethostname()}"


def rollout(loop: Loop) -> Any:
    from everloop.release.rollout import Rollout

    return loop.rollout or Rollout()


def current_run() -> str:
    """The id of the run that this step belongs to: who acted."""
    from everloop.engine.scope import execution

    active = execution.get()
    return active.run.id if active else person()
