"""Files and folders that a step wrote: copied into the store, given back as a path there (not to be written to)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.artifacts import Artifact, InTree, Kept
from everloop.core.errors import BadInput

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction


class FileFormat(InTree):
    """A file is kept as the one entry of a folder, so that its name is kept too."""

    def takes(self, value: object) -> bool:
        return isinstance(value, Path) and value.is_file()

    def save(self, blobs: Blobs, value: Path) -> Kept:
        tree = blobs.put_tree(value)
        return Kept(tree, tree)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return next(blobs.tree(artifact.blob).iterdir())


class FolderFormat(InTree):
    def takes(self, value: object) -> bool:
        if isinstance(value, Path) and not value.exists():
            raise BadInput(f"the path {value} does not exist. Write the file or folder before returning its path, or return str(path)")
        return isinstance(value, Path) and value.is_dir()

    def save(self, blobs: Blobs, value: Path) -> Kept:
        tree = blobs.put_tree(value)
        return Kept(tree, tree)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return blobs.tree(artifact.blob)
