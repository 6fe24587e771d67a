"""Anything else by cloudpickle: untrusted, read only through a row of this store's own cache, from the blob that the row names."""

from __future__ import annotations

import io
import pickle
from importlib import import_module
from types import FunctionType
from typing import Any

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Broken
from everloop.engine.artifacts import Artifact, Kept
from everloop.engine.code import code_digest
from everloop.engine.formats.blob import InBlob
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class PickleFormat(InBlob):
    def takes(self, value: object) -> bool:
        return True

    def save(self, blobs: Blobs, value: object) -> Kept:
        pickler: Any = import_module("cloudpickle").Pickler
        sink = io.BytesIO()
        code: dict[str, str] = {}

        class Pickler(pickler):
            def persistent_id(self, obj: object) -> None:
                """Sees every object on its way. A class whose methods changed makes another result of the same bytes."""
                if isinstance(obj, FunctionType | type):
                    code[f"{obj.__module__}.{obj.__qualname__}"] = code_digest(obj).digest

        try:
            Pickler(sink, protocol=5).dump(value)
        except BadInput:
            raise
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(f"a {type(value).__module__}.{type(value).__qualname__} cannot be stored ({reason})") from error
        blob = blobs.put(sink.getvalue())
        return Kept(digest(blob, code), blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        try:
            return pickle.loads(blobs.get(artifact.blob))  # noqa: S301  # our own row named it, and the blob proved its digest
        except (ImportError, AttributeError) as error:
            raise Broken(
                f"A stored result cannot be read: {error}. Put the class or module back, or change the step so that it runs again."
            ) from error
