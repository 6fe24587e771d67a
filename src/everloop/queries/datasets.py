"""The catalogue: every dataset of a store, over all its projects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from everloop.core.errors import unknown
from everloop.core.profiles import Profile
from everloop.core.tables import Column, Prepared, Snapshot
from everloop.store import datasets, records
from everloop.store.database import Transaction
from everloop.store.datasets import Take
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.data.eda.study import Study

# Loops whose registered versions were trained on a snapshot: version -> candidate -> prepared -> snapshot.
_TRAINED = """
SELECT DISTINCT v.loop, s.parent FROM versions v
JOIN links p ON p.child = v.candidate AND p.role = 'prepared'
JOIN links s ON s.child = p.parent AND s.role = 'snapshot'
"""
_TAKEN_BY = "SELECT DISTINCT takes.dataset, runs.loop FROM takes JOIN runs ON runs.id = takes.\"by\" WHERE runs.loop <> ''"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as the catalogue shows it. `new_at` is when its rows last changed, `seen_at` when its source was last found as it is;
    `bytes` is what the newest version takes in the store, `all_bytes` what all versions together brought."""

    name: str
    owner: str
    description: str
    project: str
    snapshot: str
    version: int
    versions: int
    rows: int
    columns: tuple[Column, ...]
    bytes: int
    all_bytes: int
    source: str
    new_at: float
    seen_at: float
    aliases: dict[str, str] = {}
    used_by: tuple[str, ...] = ()
    collected: bool = False
    found_in: tuple[str, ...] = ()
    """Where a search found its words."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a dataset's history."""

    take: Take
    aliases: tuple[str, ...]
    source: str
    columns: int
    collected: bool


class ColumnUse(msgspec.Struct, frozen=True, kw_only=True):
    """A column's name over all datasets: dataset -> kind, and the other spellings of it that there are (`customer_id`, `CustomerID`)."""

    name: str
    datasets: dict[str, str]
    spellings: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """The same name for different things, or different names for what may be the same."""
        return len(set(self.datasets.values())) > 1 or bool(self.spellings)


def catalogue(workspace: Workspace, *, search: str = "") -> list[Entry]:
    """By name. A search keeps those that have every word of it in their name, owner, description, source, project, columns, aliases or users."""
    with workspace.read() as tx:
        taken: dict[str, list[Take]] = {}
        for take in datasets.takes(tx):
            taken.setdefault(take.dataset, []).append(take)
        newest = {name: records.load(tx, takes[-1].snapshot, Snapshot) for name, takes in taken.items()}
        aliases, users = datasets.aliases(tx), _users(tx, taken, newest)
        entries = [
            _entry(dataset, taken[dataset.name], newest[dataset.name], aliases.get(dataset.name, {}), users.get(dataset.name, set()))
            for dataset in datasets.every(tx)
            if dataset.name in taken
        ]
    words = search.lower().split()
    if not words:
        return entries
    found = ((entry, _found_in(entry, words)) for entry in entries)
    return [msgspec.structs.replace(entry, found_in=places) for entry, places in found if places]


def entry(workspace: Workspace, name: str) -> Entry:
    """NotFound, with the closest match, when there is no such dataset."""
    entries = {entry.name: entry for entry in catalogue(workspace)}
    if name not in entries:
        raise unknown("Dataset", name, entries)
    return entries[name]


def history(workspace: Workspace, name: str) -> list[Version]:
    """Newest first."""
    with workspace.read() as tx:
        datasets.get(tx, name)
        named = datasets.aliases(tx, name).get(name, {})
        found: list[Version] = []
        for take in reversed(datasets.takes(tx, name)):
            snapshot = records.load(tx, take.snapshot, Snapshot)
            found.append(
                Version(
                    take=take,
                    aliases=tuple(alias for alias, id in named.items() if id == take.snapshot),
                    source=snapshot.source,
                    columns=len(snapshot.columns),
                    collected=snapshot.collected,
                )
            )
    return found


def snapshot(workspace: Workspace, which: str) -> Snapshot:
    """`bike`, `bike@3`, `bike@golden`, `bike@2026-11-20`, or an id."""
    with workspace.read() as tx:
        return datasets.resolve(tx, which)


def profile(workspace: Workspace, found: Snapshot) -> Profile | None:
    """Its statistics, without reading its rows; None when these were collected, and no run had kept the statistics."""
    from everloop.data.tallies import profile_of

    if found.collected:
        with workspace.read() as tx:
            kept = [id for role, id in records.children(tx, found.id) if role == "about" and id.startswith("profile-")]
            return records.load(tx, kept[-1], Profile) if kept else None
    return profile_of(workspace.blobs, found)


def study(workspace: Workspace, which: str, *, against: str | None = None, target: str | None = None) -> Study:
    """All that a report shows. `against` may be a version's number alone; the target is by default that of the models trained on the dataset."""
    from everloop.data.eda.study import study as look_at

    with workspace.read() as tx:
        found = datasets.resolve(tx, which)
        earlier = datasets.resolve(tx, f"{found.dataset}@{against}" if against.isdecimal() else against) if against else None
        target = target or _target(tx, found)
    return look_at(workspace.blobs, found, target=target, against=earlier)


def _target(tx: Transaction, found: Snapshot) -> str | None:
    """What the newest model that was trained on a version of this dataset predicts."""
    known = {column.name for column in found.columns}
    for take in reversed(datasets.takes(tx, found.dataset)):
        for _, child in records.children(tx, take.snapshot):
            if child.startswith("prepared-") and (target := records.load(tx, child, Prepared).target) in known:
                return target
    return None


def columns(workspace: Workspace) -> list[ColumnUse]:
    """Every column of every dataset's newest version, by name; those first that differ between datasets."""
    kinds: dict[str, dict[str, str]] = {}
    for found in catalogue(workspace):
        for column in found.columns:
            kinds.setdefault(column.name, {})[found.name] = column.kind
    spelled: dict[str, list[str]] = {}
    for name in kinds:
        spelled.setdefault(re.sub(r"[^a-z0-9]", "", name.lower()) or name, []).append(name)
    others = {name: tuple(sorted(set(names) - {name})) for names in spelled.values() for name in names}
    uses = [ColumnUse(name=name, datasets=where, spellings=others[name]) for name, where in kinds.items()]
    return sorted(uses, key=lambda use: (not use.differs, use.name.lower()))


def _entry(dataset: datasets.Dataset, taken: list[Take], newest: Snapshot, aliases: dict[str, str], users: set[str]) -> Entry:
    last = taken[-1]
    numbers = {take.snapshot: take.number for take in taken}
    return Entry(
        name=dataset.name,
        owner=dataset.owner,
        description=dataset.description,
        project=last.project or dataset.project,
        snapshot=last.snapshot,
        version=last.number,
        versions=len(taken),
        rows=last.rows,
        columns=newest.columns,
        bytes=last.bytes,
        all_bytes=sum(take.new_bytes for take in taken),
        source=newest.source,
        new_at=last.at,
        seen_at=last.seen_at,
        aliases={alias: f"{dataset.name}@{numbers[id]}" if id in numbers else id for alias, id in aliases.items()},
        used_by=tuple(sorted(users)),
        collected=newest.collected,
    )


def _users(tx: Transaction, taken: dict[str, list[Take]], newest: dict[str, Snapshot]) -> dict[str, set[str]]:
    """Dataset -> `loop bike`: loops that take it or were trained on it; `dataset city`: datasets that were made from it."""
    owner = {take.snapshot: name for name, takes in taken.items() for take in takes}
    found: dict[str, set[str]] = {name: set() for name in taken}
    for loop, parent in tx.sql(_TRAINED):
        if parent in owner:
            found[owner[parent]].add(f"loop {loop}")
    for name, loop in tx.sql(_TAKEN_BY):
        found[name].add(f"loop {loop}")
    for name, snapshot in newest.items():
        for origin in snapshot.origins:
            parent = owner.get(str(origin.get("locator", "")), name)
            if parent != name:
                found[parent].add(f"dataset {name}")
    return found


def _found_in(entry: Entry, words: list[str]) -> tuple[str, ...]:
    """The places that have a word; none unless every word is somewhere."""
    texts = {
        "name": [entry.name],
        "owner": [entry.owner],
        "description": [entry.description],
        "source": [entry.source],
        "project": [entry.project],
        "column": [column.name for column in entry.columns],
        "alias": list(entry.aliases),
        "user": list(entry.used_by),
    }
    places: list[str] = []
    for word in words:
        hits = [f"column {text}" if place == "column" else place for place, some in texts.items() for text in some if word in text.lower()]
        if not hits:
            return ()
        places += hits
    return tuple(dict.fromkeys(places))
