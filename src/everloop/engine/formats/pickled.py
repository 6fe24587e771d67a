"""Anything else by cloudpickle: untrusted, read only through a row of this store's own cache, from the blob that the row names."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InBlob, Kept
from everloop.core.digest import digest
from everloop.core.errors import BadInput, Broken

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction


class PickleFormat(InBlob):
    def takes(self, value: object) -> bool:
        return True

    def save(self, blobs: Blobs, value: object, parts: Mapping[int, str] = {}) -> Kept:
        """`parts` says by their `id()` what some objects within count as in the output."""
        from everloop.engine.formats.identity import identity

        pickler: Any = import_module("cloudpickle").Pickler
        try:
            with blobs.writing() as sink:
                pickler(sink, protocol=5).dump(value)
            return Kept(digest("pickle", identity(value, parts)), sink.blob)
        except (BadInput, Broken):
            raise
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(f"a {_culprit(value)} cannot be stored ({reason})") from error

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        content = blobs.content(artifact.blob)
        try:
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
                return pickle.load(file)  # noqa: S301  # our own row named it, and the blob proved its digest
        except (ImportError, AttributeError) as error:
            raise Broken(
                f"A stored result cannot be read: {error}. Put the class or module back, or change the step so that it runs again."
            ) from error


def _culprit(value: object) -> str:
    """The type of the part that cannot be pickled: the last one that was looked at."""
    pickler: Any = import_module("cloudpickle").Pickler
    last = value

    class Pickler(pickler):
        def persistent_id(self, obj: object) -> None:
            nonlocal last
            last = obj

    try:
        Pickler(io.BytesIO(), protocol=5).dump(value)
    except Exception:
        kind = cast("type", type(last))
        return f"{kind.__module__}.{kind.__qualname__}"
    return f"{type(value).__module__}.{type(value).__qualname__}"
