"""Lists, tuples and dicts of results: each member kept in its own format, the records among them as records.

Members that only pickle takes may refer to each other. One is kept as any other member; several are pickled together, in their places
among the rest, so that what is one object stays one. When there is nothing else among the members, the whole is left to pickle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from everloop.core.artifacts import Artifact, Kept, Reached
from everloop.core.digest import digest
from everloop.core.errors import Broken, NotFound
from everloop.engine import artifacts
from everloop.engine.formats.pickled import PickleFormat
from everloop.engine.formats.plain import DEEPEST, from_json, is_plain, to_json

if TYPE_CHECKING:
    from everloop.core.record import Record
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction


class Slot(NamedTuple):
    """Where a member with a format of its own stood, among members that are pickled together."""

    number: int


class BundleFormat:
    def takes(self, value: object) -> bool:
        return _is_container(value)

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        try:
            leaves = list(_leaves(value, 0))
        except _TooDeepError:
            return None
        saved = {id(leaf): artifacts.save_unless_last(blobs, leaf) for leaf in leaves}
        known = {number: found for number, found in saved.items() if found is not None}
        if not known:
            return None
        if len(saved) - len(known) > 1:
            return _save_together(blobs, value, known)
        return _save_apart(blobs, value, known)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        kind, members = _manifest(blobs, artifact)
        values = [(name, artifacts.load(tx, blobs, member)) for name, member in members]
        if kind == "together":
            return _filled(values[0][1], [value for _, value in values[1:]])
        return _KINDS[kind](values)

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        try:
            return all(artifacts.present(tx, blobs, member) for _, member in _manifest(blobs, artifact)[1])
        except (NotFound, Broken):
            return False

    def members(self, blobs: Blobs, artifact: Artifact) -> dict[Any, Artifact] | list[Artifact] | None:
        """By name or in order; None when they are pickled together."""
        kind, found = _manifest(blobs, artifact)
        if kind == "together":
            return None
        return dict(found) if kind == "dict" else [member for _, member in found]

    def duplicate(self, value: object) -> object | None:
        return None

    def reached(self, blobs: Blobs, artifact: Artifact) -> Iterator[Reached]:
        yield "blob", artifact.blob
        try:
            members = _manifest(blobs, artifact)[1]
        except (NotFound, Broken):
            return
        for _, member in members:
            yield from artifacts.reached(blobs, member)


_KINDS: Mapping[str, Callable[[list[tuple[object, object]]], object]] = {
    "dict": dict,
    "list": lambda pairs: [item for _, item in pairs],
    "tuple": lambda pairs: tuple(item for _, item in pairs),
}


def _manifest(blobs: Blobs, artifact: Artifact) -> tuple[str, list[tuple[Any, Artifact]]]:
    """(list, tuple or dict; name and artifact of each member in order, names empty but for a dict).

    Or "together": first the pickle of the whole with slots in it, then what belongs into the slots.
    """
    kind, members = json.loads(blobs.get(artifact.blob))
    return kind, [(from_json(name), Artifact(type, output, blob)) for name, type, output, blob in members]


class _TooDeepError(Exception):
    """Nested too deeply, or without end."""


def _is_container(value: object) -> bool:
    if type(value) is dict:
        return all(map(is_plain, cast("dict[object, object]", value)))
    return type(value) is list or type(value) is tuple


def _members(value: Any) -> list[tuple[object, object]]:
    return list(cast("dict[object, object]", value).items()) if type(value) is dict else [("", item) for item in value]


def _leaves(value: Any, depth: int) -> Iterator[object]:
    """The members at any depth that are neither plain nor containers."""
    if depth > DEEPEST:
        raise _TooDeepError
    for _, member in _members(value):
        if is_plain(member):
            continue
        if _is_container(member):
            yield from _leaves(member, depth + 1)
        else:
            yield member


_Saved = tuple[Artifact, "tuple[Record, ...]"]


def _save_apart(blobs: Blobs, value: Any, known: Mapping[int, _Saved]) -> Kept:
    """A manifest that names an artifact for each member."""
    kept: list[_Saved] = []
    for _, member in _members(value):
        found = known.get(id(member))
        if found is None and not is_plain(member) and _is_container(member):
            inner = _save_apart(blobs, member, known)
            found = Artifact("bundle", inner.output, inner.blob), inner.records
        kept.append(found or artifacts.save(blobs, member))
    kind, names = type(value).__name__, [to_json(name) for name, _ in _members(value)]
    output = digest([kind, [[name, made.type, made.output] for name, (made, _) in zip(names, kept, strict=True)]])
    return _keep(blobs, kind, names, kept, output)


def _save_together(blobs: Blobs, value: Any, known: Mapping[int, _Saved]) -> Kept:
    taken: list[_Saved] = []
    slots: list[Slot] = []

    def emptied(member: Any) -> Any:
        found = known.get(id(member))
        if found is not None:
            taken.append(found)
            slots.append(Slot(len(slots)))
            return slots[-1]
        if is_plain(member) or not _is_container(member):
            return member
        return _KINDS[type(member).__name__]([(name, emptied(item)) for name, item in _members(member)])

    kept = PickleFormat().save(blobs, emptied(value), {id(slot): f"slot {slot.number}" for slot in slots})
    whole = Artifact("pickle", kept.output, kept.blob)
    output = digest(["together", whole.output, [[made.type, made.output] for made, _ in taken]])
    return _keep(blobs, "together", [""] * (1 + len(taken)), [(whole, ()), *taken], output)


def _keep(blobs: Blobs, kind: str, names: Sequence[object], kept: Sequence[_Saved], output: str) -> Kept:
    rows = [[name, *artifact] for name, (artifact, _) in zip(names, kept, strict=True)]
    return Kept(output, blobs.put(json.dumps([kind, rows]).encode()), tuple(record for _, records in kept for record in records))


def _filled(value: Any, members: Sequence[object]) -> Any:
    if type(value) is Slot:
        return members[value.number]
    if type(value) in (dict, list, tuple):
        return _KINDS[type(value).__name__]([(name, _filled(item, members)) for name, item in _members(value)])
    return value
