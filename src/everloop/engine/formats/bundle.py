"""Lists, tuples and dicts of results: each member kept in its own format, the records among them as records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from everloop.core.digest import digest
from everloop.engine import artifacts
from everloop.engine.artifacts import Artifact, Kept
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class BundleFormat:
    def takes(self, value: object) -> bool:
        if type(value) is dict:
            return all(type(key) is str for key in cast("dict[object, object]", value))
        return type(value) is list or type(value) is tuple

    def save(self, blobs: Blobs, value: Any) -> Kept:
        kind: str = type(value).__name__
        names: list[str] = list(value) if kind == "dict" else [""] * len(value)
        members: list[object] = list(value.values() if kind == "dict" else value)
        kept = [artifacts.save(blobs, member) for member in members]
        manifest = [kind, [[name, *artifact] for name, (artifact, _) in zip(names, kept, strict=True)]]
        output = digest([kind, [[name, made.type, made.output] for name, (made, _) in zip(names, kept, strict=True)]])
        return Kept(output, blobs.put(json.dumps(manifest).encode()), tuple(record for _, several in kept for record in several))

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        kind, members = _manifest(blobs, artifact)
        pairs = [(name, artifacts.load(tx, blobs, member)) for name, member in members]
        return _KINDS[kind](pairs)

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        return blobs.has(artifact.blob) and all(artifacts.present(tx, blobs, member) for _, member in _manifest(blobs, artifact)[1])

    def duplicate(self, value: object) -> object | None:
        return None


_KINDS: Mapping[str, Callable[[list[tuple[str, object]]], object]] = {
    "dict": dict,
    "list": lambda pairs: [item for _, item in pairs],
    "tuple": lambda pairs: tuple(item for _, item in pairs),
}


def _manifest(blobs: Blobs, artifact: Artifact) -> tuple[str, list[tuple[str, Artifact]]]:
    kind, members = json.loads(blobs.get(artifact.blob))
    return kind, list(_members(members))


def _members(rows: list[list[str]]) -> Iterator[tuple[str, Artifact]]:
    for name, type, output, blob in rows:
        yield name, Artifact(type, output, blob)
