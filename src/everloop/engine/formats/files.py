"""Files and folders that a step wrote: copied into the store, given back as a path there (not to be written to)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from everloop.core.errors import BadInput
from everloop.engine.artifacts import Artifact, Kept
from everloop.store.blobs import Blobs
from everloop.store.database import Transaction


class FolderFormat:
    def takes(self, value: object) -> bool:
        if isinstance(value, Path) and not value.exists():
            raise BadInput(f"the path {value} does not exist. Write the file or folder before returning its path, or return str(path)")
        return isinstance(value, Path) and value.is_dir()

    def save(self, blobs: Blobs, value: Path) -> Kept:
        tree = blobs.put_tree(value)
        return Kept(tree, tree)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return blobs.tree(artifact.blob)

    def present(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> bool:
        return blobs.has_tree(artifact.blob)

    def duplicate(self, value: Path) -> object | None:
        return None


class FileFormat(FolderFormat):
    def takes(self, value: object) -> bool:
        return isinstance(value, Path) and value.is_file()

    def save(self, blobs: Blobs, value: Path) -> Kept:
        """As the one entry of a tree, so that its name is kept too."""
        with tempfile.TemporaryDirectory(prefix="everloop-") as temp:
            (Path(temp) / value.name).symlink_to(value.absolute())
            tree = blobs.put_tree(Path(temp))
        return Kept(tree, tree)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return next(blobs.tree(artifact.blob).iterdir())
