"""Types that keep themselves: `__everloop_save__(self, folder)` writes files, `__everloop_load__(cls, folder)` makes the value of them.

The class is kept by its name, and loading imports its module: the result runs code when it is read, as a pickle does, but its data do not
depend on how the class lays out its attributes. A class without a name of its own (one made within a function) is left to pickle.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InTree, Kept
from everloop.core.digest import digest
from everloop.core.errors import BadInput, Broken

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction

_TYPE_FILE, _FILES = "type.json", "files"


class OwnFormat(InTree):
    def takes(self, value: object) -> bool:
        return hasattr(type(value), "__everloop_save__") and not isinstance(value, type)

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        from everloop.engine.formats.identity import code_identity
        from everloop.engine.origin import label

        kind = cast("Any", type(value))
        if not hasattr(kind, "__everloop_load__"):
            raise BadInput(f"a {kind.__module__}.{kind.__qualname__} has __everloop_save__ but no class method __everloop_load__(folder)")
        name = [label(kind.__module__), kind.__qualname__]
        if _find(*name) is not kind:
            return None
        with blobs.scratch() as scratch:
            whole = scratch / "whole"
            (whole / _FILES).mkdir(parents=True)
            value.__everloop_save__(whole / _FILES)
            (whole / _TYPE_FILE).write_text(json.dumps(name))
            tree = blobs.put_tree(whole, move=True)
        return Kept(digest("own", tree, code_identity(kind)), tree)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        folder = blobs.tree(artifact.blob)
        module, name = json.loads((folder / _TYPE_FILE).read_text())
        kind = _find(module, name)
        if not hasattr(kind, "__everloop_load__"):
            raise Broken(
                f"A stored result is a {module}.{name}, which has no __everloop_load__ here. Put the class back, or change the step so "
                "that it runs again."
            )
        return kind.__everloop_load__(folder / _FILES)


def _find(module: str, name: str) -> Any:
    """What is called so, None when there is no such thing. The script that runs is known by its file's name."""
    from everloop.engine.origin import label

    try:
        found: Any = sys.modules["__main__"] if label("__main__") == module else import_module(module)
    except ImportError:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
