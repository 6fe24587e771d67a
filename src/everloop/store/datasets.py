"""Datasets by name: what was taken of them and when, who owns them, and how a person points at one snapshot of many.

`bike` is the newest snapshot, `bike@3` the third, `bike@golden` the one that a person named so, `bike@2026-11-20` the one that was current at
the end of that day (UTC), `snapshot-1a2b…` the one itself.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, cast

import msgspec

from everloop.core.errors import BadInput, NotFound, unknown
from everloop.core.tables import Snapshot
from everloop.store import ledger, records
from everloop.store.database import Transaction, serialise

Mode: TypeAlias = Literal["full", "append", "upsert"]

LATEST = "latest"
_ALIAS = re.compile(r"[a-z][a-z0-9._-]{0,62}")


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """`project` is the folder whose loop took it first."""

    name: str
    project: str = ""
    owner: str = ""
    description: str = ""
    created_at: float = 0.0


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset. `at` is when it was new, `seen_at` when the source was last found to be still like this; `by` the run that took
    it. `bytes` is what the snapshot needs in the store, `new_bytes` what no earlier one of the dataset had brought."""

    dataset: str
    number: int
    snapshot: str
    mode: Mode
    at: float
    seen_at: float
    by: str
    project: str
    rows: int
    bytes: int
    new_bytes: int


def note(tx: Transaction, snapshot: Snapshot, *, mode: Mode, by: str, project: str, at: float | None = None) -> Take:
    """Write down that the dataset is this snapshot now. The same one again only moves `seen_at`."""
    now = time.time() if at is None else at
    serialise(tx)
    name = snapshot.dataset
    tx.sql(
        "INSERT INTO datasets (name, project, owner, description, created_at) VALUES (:name, :project, '', '', :now) ON CONFLICT DO NOTHING",
        {"name": name, "project": project, "now": now},
    )
    last = _last(tx, name)
    if last is not None and last.snapshot == snapshot.id:
        tx.sql(
            "UPDATE takes SET seen_at = :now WHERE dataset = :name AND number = :number", {"now": now, "name": name, "number": last.number}
        )
        return msgspec.structs.replace(last, seen_at=now)
    take = Take(
        dataset=name,
        number=last.number + 1 if last else 1,
        snapshot=snapshot.id,
        mode=mode,
        at=now,
        seen_at=now,
        by=by,
        project=project,
        rows=snapshot.rows,
        bytes=snapshot.bytes,
        new_bytes=_new_bytes(tx, snapshot, last),
    )
    fields = msgspec.structs.asdict(take)
    names = ", ".join(f'"{field}"' for field in fields)
    tx.sql(f"INSERT INTO takes ({names}) VALUES ({', '.join(f':{field}' for field in fields)})", fields)  # noqa: S608  # names of ours
    return take


def takes(tx: Transaction, dataset: str | None = None) -> list[Take]:
    """Oldest first."""
    where, params = ("WHERE dataset = :dataset", {"dataset": dataset}) if dataset is not None else ("", {})
    return [_take(row) for row in tx.sql(f"SELECT {_COLUMNS} FROM takes {where} ORDER BY dataset, number", params)]  # noqa: S608


def every(tx: Transaction) -> list[Dataset]:
    """By name."""
    found = tx.sql("SELECT name, project, owner, description, created_at FROM datasets ORDER BY name")
    return [Dataset(name=name, project=project, owner=owner, description=text, created_at=at) for name, project, owner, text, at in found]


def get(tx: Transaction, name: str) -> Dataset:
    known = {dataset.name: dataset for dataset in every(tx)}
    if name not in known:
        raise unknown("Dataset", name, known)
    return known[name]


def describe(tx: Transaction, name: str, *, owner: str | None = None, description: str | None = None) -> Dataset:
    """Change what the catalogue says of it; None leaves as it is."""
    known = get(tx, name)
    changed = msgspec.structs.replace(
        known, owner=known.owner if owner is None else owner, description=known.description if description is None else description
    )
    tx.sql(
        "UPDATE datasets SET owner = :owner, description = :description WHERE name = :name",
        {"name": name, "owner": changed.owner, "description": changed.description},
    )
    return changed


def newest(tx: Transaction, dataset: str) -> Snapshot | None:
    """The dataset's present snapshot; None when nothing was taken of it yet."""
    last = _last(tx, dataset)
    return records.load(tx, last.snapshot, Snapshot) if last else None


def resolve(tx: Transaction, text: str) -> Snapshot:
    """The snapshot that a person means. Raises NotFound with what there is."""
    if text.startswith("snapshot-"):
        return records.load(tx, records.resolve(tx, text), Snapshot)
    name, _, which = text.partition("@")
    get(tx, name)
    return records.load(tx, _snapshot_of(tx, name, which or LATEST), Snapshot)


def aliases(tx: Transaction, dataset: str | None = None) -> dict[str, dict[str, str]]:
    """Dataset -> alias -> snapshot id."""
    found: dict[str, dict[str, str]] = {}
    for name, alias, snapshot in tx.sql("SELECT dataset, alias, snapshot FROM aliases ORDER BY dataset, alias"):
        if dataset is None or name == dataset:
            found.setdefault(name, {})[alias] = snapshot
    return found


def call(tx: Transaction, snapshot: Snapshot, alias: str, *, by: str) -> None:
    """Name a snapshot, which stays in the store for as long as it has a name. The alias moves when another snapshot had it."""
    if not _ALIAS.fullmatch(alias) or alias == LATEST:
        raise BadInput(
            f"{alias!r} cannot be an alias. It begins with a small letter, goes on with small letters, digits, '.', '_' and '-', and is not {LATEST!r}."
        )
    tx.sql(
        'INSERT INTO aliases (dataset, alias, snapshot, at, "by") VALUES (:dataset, :alias, :snapshot, :at, :by) '
        'ON CONFLICT (dataset, alias) DO UPDATE SET snapshot = excluded.snapshot, at = excluded.at, "by" = excluded."by"',
        {"dataset": snapshot.dataset, "alias": alias, "snapshot": snapshot.id, "at": time.time(), "by": by},
    )
    reason = f"{snapshot.dataset}@{alias} is {snapshot.id} from now on."
    ledger.append(tx, loop=snapshot.dataset, rule="alias", action="alias", reason=reason, about=(snapshot.id,), actor=by)


def forget(tx: Transaction, text: str, *, by: str) -> str:
    """Take an alias (`bike@golden`), a version (`bike@3`, `bike@2026-11-20`, a snapshot's id) or a whole dataset (`bike`) out of the catalogue;
    a sentence on what went. What nothing else needs is deleted by the next collection."""
    if text.startswith("snapshot-"):
        snapshot = records.load(tx, records.resolve(tx, text), Snapshot)
        return _forget_version(tx, snapshot.dataset, snapshot.id, by)
    name, at, which = text.partition("@")
    get(tx, name)
    if at and which in aliases(tx, name).get(name, {}):
        tx.sql("DELETE FROM aliases WHERE dataset = :name AND alias = :alias", {"name": name, "alias": which})
        return _told(tx, name, f"The alias {text} is gone; its snapshot stays a version of {name}.", (), by)
    if at:
        return _forget_version(tx, name, _snapshot_of(tx, name, which or LATEST), by)
    gone = tuple(take.snapshot for take in takes(tx, name))
    for table, column in (("aliases", "dataset"), ("takes", "dataset"), ("datasets", "name")):
        tx.sql(f"DELETE FROM {table} WHERE {column} = :name", {"name": name})  # noqa: S608  # names of ours
    return _told(tx, name, f"Dataset {name} with {len(gone)} versions is no longer in the catalogue.", gone[-20:], by)


def _forget_version(tx: Transaction, name: str, snapshot: str, by: str) -> str:
    named = [alias for alias, id in aliases(tx, name).get(name, {}).items() if id == snapshot]
    if named:
        raise BadInput(f"{snapshot} is called {', '.join(f'{name}@{alias}' for alias in named)}. Take that name away first.")
    count = tx.sql("DELETE FROM takes WHERE dataset = :name AND snapshot = :snapshot", {"name": name, "snapshot": snapshot}).changed
    if not count:
        raise NotFound(f"{snapshot} is no version of {name!r} in the catalogue. 'everloop data history {name}' lists them.")
    return _told(tx, name, f"{snapshot} is no longer a version of {name}.", (snapshot,), by)


def _told(tx: Transaction, name: str, reason: str, about: tuple[str, ...], by: str) -> str:
    ledger.append(tx, loop=name, rule="person", action="forget", reason=reason, about=about, actor=by)
    return reason


def _snapshot_of(tx: Transaction, name: str, which: str) -> str:
    known = takes(tx, name)
    if not known:
        raise NotFound(f"Nothing was taken of {name!r} yet, or all of it was removed.")
    if which == LATEST:
        return known[-1].snapshot
    named = aliases(tx, name).get(name, {})
    if which in named:
        return named[which]
    if which.isascii() and which.isdecimal() and len(which) <= 9:
        found = next((take for take in known if take.number == int(which)), None)
        if found is None:
            raise NotFound(f"{name}@{which} does not exist: its versions are {known[0].number} to {known[-1].number}.")
        return found.snapshot
    moment = _end_of(which)
    if moment is None:
        raise unknown(f"Version of {name}", which, [LATEST, *named, "a number", "a date such as 2026-11-20"])
    before = [take for take in known if take.at < moment]
    if not before:
        first = datetime.fromtimestamp(known[0].at, UTC)
        raise NotFound(f"{name} did not exist on {which}: the first version is of {first:%Y-%m-%d %H:%M} UTC.")
    return before[-1].snapshot


def _end_of(text: str) -> float | None:
    """The first moment after a day, or after a second, in UTC unless it says otherwise; None for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment + (timedelta(days=1) if len(text) <= len("2026-11-20") else timedelta(seconds=1))).timestamp()


def _new_bytes(tx: Transaction, snapshot: Snapshot, last: Take | None) -> int:
    known: set[str] = set()
    if last is not None:
        known = {chunk.blob for chunk in records.load(tx, last.snapshot, Snapshot).chunks}
    return sum(chunk.bytes for chunk in snapshot.chunks if chunk.blob not in known)


_COLUMNS = ", ".join(f'"{field}"' for field in Take.__struct_fields__)


def _take(row: tuple[Any, ...]) -> Take:
    return Take(**dict(zip(Take.__struct_fields__, cast("tuple[Any, ...]", tuple(row)), strict=True)))


def _last(tx: Transaction, dataset: str) -> Take | None:
    found = list(tx.sql(f"SELECT {_COLUMNS} FROM takes WHERE dataset = :dataset ORDER BY number DESC LIMIT 1", {"dataset": dataset}))  # noqa: S608
    return _take(found[0]) if found else None
