"""Bytes and folders -> kept under the digest of their content, in a folder or an object store.

Nothing is ever overwritten: what is there under a digest is that content, and every read proves it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import LocalStore, from_url

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Broken, NotFound

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class Blobs:
    """`location` is a folder, or a URL that obstore understands (`s3://bucket/prefix`, `gs://…`, `az://…`, `memory:///`).

    Folders from an object store are unpacked once into `cache`.
    """

    def __init__(self, location: str, *, cache: Path) -> None:
        self.location = location
        self.folder = None if "://" in location else Path(location).absolute()
        self._cache = cache
        try:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._store: ObjectStore = LocalStore(self.folder)
            else:
                self._store = from_url(location)
        except OSError as error:
            raise Broken(f"Blobs cannot be kept in {location} ({error.strerror}). Make it writable, or set EVERLOOP_BLOBS.") from error

    def put(self, data: bytes) -> str:
        """Keep `data`; its SHA-256. What is there under that name but was damaged is mended."""
        name = hashlib.sha256(data).hexdigest()
        if not self._holds(name, data):
            with _Plainly(self.location):
                obstore.put(self._store, _path(name), data)
        return name

    def get(self, name: str) -> bytes:
        try:
            data = bytes(obstore.get(self._store, _path(name)).bytes())
        except FileNotFoundError:
            raise NotFound(
                f"Blob {name[:12]} is not in {self.location}. It may have been collected, or EVERLOOP_BLOBS points elsewhere."
            ) from None
        if hashlib.sha256(data).hexdigest() != name:
            raise Broken(
                f"Blob {name[:12]} in {self.location} was changed after it was written. Restore it from a backup, or run again to make it anew."
            )
        return data

    def has(self, name: str) -> bool:
        return self._exists(_path(name))

    def put_tree(self, folder: Path) -> str:
        """Keep a folder of files; the digest over its sorted names, sizes and contents. A damaged one there is mended."""
        manifest = _manifest(folder)
        name = digest(manifest)
        if self.folder is not None:
            target = self.folder / _tree(name)
            if target.is_dir() and digest(_manifest(target)) != name:
                _move_away(target)
            if not target.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                with _Plainly(self.location):
                    _move_in(lambda temp: shutil.copytree(folder, temp), target)
        elif not self.has_tree(name):
            with _Plainly(self.location):
                for path, _, _ in manifest:
                    obstore.put(self._store, f"{_tree(name)}/{path}", folder / path)
                # Last, so that a folder counts as there only when all of it is.
                obstore.put(self._store, f"{_tree(name)}.complete", b"")
        return name

    def has_tree(self, name: str) -> bool:
        if self.folder is not None:
            return (self.folder / _tree(name)).is_dir()
        return self._exists(f"{_tree(name)}.complete")

    def tree(self, name: str) -> Path:
        """A local folder with exactly the files that were put; Broken when one of them is not what it was."""
        if self.folder is not None:
            local = self.folder / _tree(name)
        else:
            local = self._cache / _tree(name)
            if local.is_dir() and digest(_manifest(local)) != name:
                # Only a copy: the object store still has the folder.
                _move_away(local)
            if not local.is_dir() and self.has_tree(name):
                local.parent.mkdir(parents=True, exist_ok=True)
                _move_in(lambda temp: self._download(_tree(name), temp), local)
        if not local.is_dir():
            raise NotFound(f"Folder {name[:12]} is not in {self.location}. It may have been collected, or EVERLOOP_BLOBS points elsewhere.")
        if digest(_manifest(local)) != name:
            raise Broken(
                f"{local} was changed after it was written: its content is no longer {name[:12]}. It is not loaded. Restore it, or train again."
            )
        return local

    def tree_uri(self, name: str) -> str:
        """Where others (an MLflow client, say) find the folder."""
        if self.folder is not None:
            return (self.folder / _tree(name)).as_uri()
        return f"{self.location.rstrip('/')}/{_tree(name)}"

    def _holds(self, name: str, data: bytes) -> bool:
        """Whether the blob is there as it should be: byte by byte in a folder, by size in an object store."""
        if self.folder is not None:
            try:
                return (self.folder / _path(name)).read_bytes() == data
            except OSError:
                return False
        try:
            return obstore.head(self._store, _path(name))["size"] == len(data)
        except FileNotFoundError:
            return False

    def _exists(self, path: str) -> bool:
        try:
            obstore.head(self._store, path)
        except FileNotFoundError:
            return False
        return True

    def _download(self, prefix: str, into: Path) -> None:
        for batch in obstore.list(self._store, prefix=prefix):
            for entry in batch:
                relative = Path(entry["path"]).relative_to(prefix)
                target = into / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(obstore.get(self._store, entry["path"]).bytes())


def _path(name: str) -> str:
    return f"{name[:2]}/{name}"


def _tree(name: str) -> str:
    return f"trees/{name}"


def _manifest(folder: Path) -> list[tuple[str, int, str]]:
    """(path, bytes, digest) of every file. BadInput for a link to a folder, which may lead anywhere, or back."""
    for path in folder.rglob("*"):
        if path.is_symlink() and path.is_dir():
            raise BadInput(f"{path} is a link to a folder. Copy what it points to, or leave it out: a kept folder must be whole in itself.")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.stat().st_size, file_digest(path)) for path in files]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Plainly:
    """Disk errors of the store as sentences."""

    def __init__(self, location: str) -> None:
        self.location = location

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        text = str(error).lower()
        if "no space left" in text or "os error 28" in text:
            raise Broken(f"There is no space left in {self.location}. Free some and run again; nothing was lost.") from error
        if isinstance(error, PermissionError) or "read-only" in text or "permission denied" in text:
            raise Broken(f"{self.location} cannot be written. Make it writable, or set EVERLOOP_BLOBS.") from error


def _move_away(damaged: Path) -> None:
    """Take a damaged folder out of the way, and leave it for somebody to look at. A racing twin may have done so already."""
    aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=damaged.parent))
    try:
        os.rename(damaged, aside / damaged.name)
    except FileNotFoundError:
        aside.rmdir()


def _move_in(fill: Callable[[Path], object], target: Path) -> None:
    """Fill a temporary folder beside `target`, then rename it: `target` is whole or absent. A racing twin with the same content wins."""
    temp = Path(tempfile.mkdtemp(prefix=".incoming-", dir=target.parent))
    try:
        fill(temp / "tree")
        os.rename(temp / "tree", target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(temp, ignore_errors=True)
