"""What of the store anybody can still come to: the mark phase of a collection.

Two depths. What is reached *fully* stays with its blobs: the results of runs that are kept, versions, pins, and all that these were made
from. What is reached as *memory* stays as a row, so that `everloop why` can tell the story: what decisions mention, windows and the
verdicts on them, where readers of a stream stand, and all that these were made from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias, cast, get_args

from everloop.core.artifacts import Artifact, Reached
from everloop.core.errors import EverloopError
from everloop.core.record import Record, Where
from everloop.store import pins, records, registry
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction
from everloop.store.processes import is_gone
from everloop.store.retention import ACTIVE, Age

Reaches: TypeAlias = Callable[[Blobs, Artifact], Iterable[Reached]]
"""All that an artifact needs: the engine's knowledge, handed in because the store does not import it."""

COLLECTOR = "collector"
"""The cursor in which collections leave notes for each other."""

_PAGE = 1000
# What comes next is compared with these, and grows from them.
_NEWEST_TAKES = "SELECT snapshot FROM takes WHERE number = (SELECT max(number) FROM takes AS later WHERE later.dataset = takes.dataset)"
_ID = re.compile(r"[a-z]+-[0-9a-f]{24}")
_BEGINNING = re.compile(r"[a-z]+-[0-9a-f]{4,23}")
# Kinds of which some record names a blob: the bodies of the others need not be read.
KEEPING = tuple(str(noun.__struct_config__.tag) for noun in get_args(records.AnyRecord) if noun.keeps is not Record.keeps)


class Cache(NamedTuple):
    key: str
    run: str
    artifact: Artifact


class Note(NamedTuple):
    """Results whose cache rows were removed while `runs` went on: one of these may have found such a row and not written so yet."""

    runs: list[str]
    artifacts: list[Artifact]


class Runs(NamedTuple):
    """`going_on`: those whose process may still be at it. `began`: when the oldest of these did, None when there is none."""

    ages: list[Age]
    going_on: list[str]
    began: float | None


class Reach:
    """Grows by `look`; what was reached once stays so."""

    def __init__(self, blobs: Blobs, reaches: Reaches) -> None:
        self.full: set[str] = set()
        self.memory: set[str] = set()
        self.names: set[tuple[Where, str]] = set()
        self.keys: set[str] = set()
        self.stale: dict[str, Artifact] = {}
        self.blobs = blobs
        self._reaches = reaches
        self._seen: set[Artifact] = set()

    def look(self, tx: Transaction, runs: Runs, *, dropped: Collection[str], settled: Collection[str] = (), young: float) -> None:
        """Reach all but the runs in `dropped`. `settled` are finished runs whose steps were looked at before; records since `young` stay.

        Afterwards `stale` has the cache rows that nobody kept needs.
        """
        kept = {run.id for run in runs.ages if run.id not in dropped}
        again = None if not settled else [id for id in kept if id not in settled]
        found, told = self._roots(tx, kept, set(runs.going_on))
        for run, key, artifact in steps(tx, again):
            if run in kept:
                self.keys.add(key)
                self._reach(artifact, found)
        self.stale = {}
        for row in cached(tx):
            if row.run in kept or row.key in self.keys:
                self._reach(row.artifact, found)
            else:
                self.stale[row.key] = row.artifact
        found.update(id for (id,) in tx.sql("SELECT id FROM records WHERE created_at >= :young", {"young": young}))
        self._fully(tx, found)
        self._as_memory(tx, told)

    def hold(self, tx: Transaction, artifacts: Iterable[Artifact]) -> None:
        found: set[str] = set()
        for artifact in artifacts:
            self._reach(artifact, found)
        self._fully(tx, found)

    def has(self, id: str) -> bool:
        return id in self.full or id in self.memory

    def parts(self, artifact: Artifact) -> list[Reached]:
        """All that an artifact needs. When that cannot be told, because what would tell is gone or damaged: what its row names."""
        if not artifact.type:
            # A step that was written before its row said how: only records are found by their output alone, the rest by the cache row.
            return [("record", artifact.output)] if _ID.fullmatch(artifact.output) else []
        try:
            return list(self._reaches(self.blobs, artifact))
        except EverloopError:
            return [("blob", artifact.blob)] if artifact.blob else []

    def _roots(self, tx: Transaction, kept: set[str], going_on: set[str]) -> tuple[set[str], set[str]]:
        """(records to reach fully, records that are memory)."""
        found: set[str] = set()
        for version, candidate, model in tx.sql("SELECT version, candidate, model FROM versions"):
            found |= {version, candidate}
            self.names.add(("tree", model))
        found |= {pin.id for pin in pins.find(tx)}
        found |= {id for (id,) in tx.sql("SELECT snapshot FROM aliases")}
        found |= {id for (id,) in tx.sql(_NEWEST_TAKES)}
        found |= {id for (id,) in tx.sql("SELECT snapshot FROM queues")}
        for note in notes(tx):
            if not going_on.isdisjoint(note.runs):
                for artifact in note.artifacts:
                    self._reach(artifact, found)
        for id, status, options, result in _paged(tx, "id, status, options, result", "runs", "id"):
            if id in kept:
                found.update(_ids(result))
            if status in ACTIVE:
                found.update(_asked_for(tx, options))
        told: set[str] = set()
        told.update(id for (id,) in _paged(tx, "id", "records", "id", "EXISTS (SELECT 1 FROM mentions WHERE mentions.about = records.id)"))
        told.update(id for (id,) in _paged(tx, "id", "records", "id", "kind = 'window'"))
        told.update(id for (id,) in tx.sql("SELECT DISTINCT snapshot FROM takes"))
        judged = "role = 'about' AND EXISTS (SELECT 1 FROM records WHERE records.id = links.parent AND records.kind = 'window')"
        told.update(child for (child,) in _paged(tx, "child", "links", "child", judged))
        for loop, name, body in tx.sql("SELECT loop, name, body FROM cursors"):
            if (loop, name) != ("", COLLECTOR):
                told.update(_ids(body))
        return found, told

    def _reach(self, artifact: Artifact, found: set[str]) -> None:
        if artifact in self._seen:
            return
        self._seen.add(artifact)
        for kind, name in self.parts(artifact):
            if kind == "record":
                found.add(name)
            else:
                self.names.add((kind, name))

    def _fully(self, tx: Transaction, front: set[str]) -> None:
        front -= self.full
        while front:
            self.full |= front
            for _, body in bodies(tx, [id for id in front if id.partition("-")[0] in KEEPING]):
                self.names.update(records.decode(body).keeps().values())
            front = _parents(tx, front) - self.full

    def _as_memory(self, tx: Transaction, front: set[str]) -> None:
        front = front - self.full - self.memory
        while front:
            self.memory |= front
            front = _parents(tx, front) - self.full - self.memory


def look_at_runs(tx: Transaction) -> Runs:
    ages: list[Age] = []
    going_on: list[str] = []
    began: float | None = None
    columns = "id, loop, pipeline, status, process, queued_at, started_at, ended_at"
    for id, loop, pipeline, status, process, queued_at, started_at, ended_at in _paged(tx, columns, "runs", "id"):
        ages.append(Age(id, loop, pipeline, status, ended_at or queued_at))
        if status in ("running", "waiting") and not is_gone(process):
            going_on.append(id)
            began = min(began or started_at or queued_at, started_at or queued_at)
    return Runs(ages, going_on, began)


def held_runs(tx: Transaction, *, since: float) -> set[str]:
    """Runs that made a version, are pinned, or are mentioned by a decision since then."""
    held = {run for (run,) in tx.sql("SELECT run FROM versions")}
    held |= {pin.id for pin in pins.find(tx)}
    recent = "SELECT mentions.about FROM mentions JOIN decisions ON decisions.seq = mentions.seq WHERE decisions.at >= :since"
    return held | {about for (about,) in tx.sql(recent, {"since": since})}


def steps(tx: Transaction, runs: Iterable[str] | None) -> Iterator[tuple[str, str, Artifact]]:
    """(run, key, result) of each step that has one, of all runs or of some, a page in memory at a time."""
    columns = "run, seq, key, type, output, blob"
    if runs is None:
        run, seq = "", -1
        page = f"SELECT {columns} FROM steps WHERE (run, seq) > (:run, :seq) ORDER BY run, seq LIMIT {_PAGE}"  # noqa: S608
        while rows := tx.sql(page, {"run": run, "seq": seq}):
            run, seq = rows[-1][:2]
            yield from _results(rows)
        return
    page = f"SELECT {columns} FROM steps WHERE run = :run AND seq > :seq ORDER BY seq LIMIT {_PAGE}"  # noqa: S608
    for run in runs:
        seq = -1
        while rows := tx.sql(page, {"run": run, "seq": seq}):
            seq = rows[-1][1]
            yield from _results(rows)


def cached(tx: Transaction) -> Iterator[Cache]:
    for key, run, type, output, blob in _paged(tx, "key, run, type, output, blob", "cache", "key"):
        yield Cache(key, run, Artifact(type, output, blob))


def lost(needed: Collection[Reached], is_there: Callable[[Reached], bool]) -> list[Reached]:
    """What is gone of what an artifact needs. Where nobody can tell whether a name is a blob's or a folder's, one of them will do."""
    gone = {where for where in needed if not is_there(where)}
    other = {("tree" if kind == "blob" else "blob", name) for kind, name in set(needed) - gone if kind != "record"}
    return [where for where in needed if where in gone and where not in other]


def bodies(tx: Transaction, ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(id, body) of those that are there."""
    yield from _among(tx, "SELECT id, body FROM records WHERE id IN ({})", ids)


def all_records(tx: Transaction) -> Iterator[tuple[str, int]]:
    """(id, bytes of its body)."""
    yield from _paged(tx, "id, length(body)", "records", "id")


def notes(tx: Transaction) -> list[Note]:
    found = registry.cursor(tx, "", COLLECTOR).get("notes", [])
    return [Note(runs, [Artifact(*artifact) for artifact in artifacts]) for runs, artifacts in found]


def _results(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, str, Artifact]]:
    for run, _, key, type, output, blob in rows:
        yield run, key, Artifact(type, output, blob)


def _parents(tx: Transaction, ids: Collection[str]) -> set[str]:
    return {parent for (parent,) in _among(tx, "SELECT DISTINCT parent FROM links WHERE child IN ({})", ids)}


def _ids(document: str) -> Iterator[str]:
    return (text for text in _strings(json.loads(document)) if _ID.fullmatch(text))


def _asked_for(tx: Transaction, options: str) -> Iterator[str]:
    """Records that a run was asked to begin with; a person may have typed the beginning of an id."""
    for text in _strings(json.loads(options)):
        if _ID.fullmatch(text):
            yield text
        elif _BEGINNING.fullmatch(text):
            yield from (id for (id,) in tx.sql("SELECT id FROM records WHERE substr(id, 1, :n) = :text", {"n": len(text), "text": text}))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in cast("dict[str, object]", value).values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _strings(item)


def _paged(tx: Transaction, columns: str, table: str, key: str, where: str = "1 = 1") -> Iterator[tuple[Any, ...]]:
    """The rows of a table in the order of `key`, the first of `columns`. Rows of equal keys that a page cuts apart may be missed."""
    last = ""
    page = f"SELECT {columns} FROM {table} WHERE {key} > :last AND {where} ORDER BY {key} LIMIT {_PAGE}"  # noqa: S608  # names of ours
    while rows := tx.sql(page, {"last": last}):
        last = rows[-1][0]
        yield from rows


def among(ids: Collection[str], size: int = 400) -> Iterator[tuple[str, dict[str, str]]]:
    """(placeholders, parameters) for `IN (...)`, some at a time, always as many: the driver knows the statement again."""
    ordered = list(ids)
    names = [f"p{at}" for at in range(size)]
    for start in range(0, len(ordered), size):
        some = ordered[start : start + size]
        yield ", ".join(f":{name}" for name in names), dict(zip(names, some + [some[-1]] * (size - len(some)), strict=True))


def _among(tx: Transaction, text: str, ids: Collection[str]) -> Iterator[tuple[Any, ...]]:
    for placeholders, params in among(ids):
        yield from tx.sql(text.format(placeholders), params)
