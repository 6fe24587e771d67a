"""Bytes, files and folders -> kept under the digest of their content, in a folder or an object store.

Nothing is ever overwritten: what is there under a digest is that content, and every read proves it. What is large is written, hashed and
read in pieces, never held in memory whole.

In a folder whatever is on its way is called `.incoming-*`, beside where it will be, and gets its name by a rename: so a name is whole
or absent, whoever is killed. Left-overs of that may be deleted when they are old. A name's time of change is when it was last put, so
that a collector can spare what a row is about to name. Nothing is flushed to the disk on purpose: after a power cut a name may lead to
a damaged blob, which every read notices, and which the next `put` mends.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Broken, EverloopError, NotFound
from everloop.store import renewal
from everloop.store.sink import PIECE_BYTES, Sink, write_all

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# From here on a blob is handled as a file.
LARGE_BYTES = 1 << 20
INCOMING = ".incoming-"


class Blobs:
    """`location` is a folder, or a URL that obstore understands (`s3://bucket/prefix`, `gs://…`, `az://…`, `memory:///`).

    What is too large for memory, and folders, are copied from an object store once into `cache`.
    """

    def __init__(self, location: str, *, cache: Path) -> None:
        self.location = location
        self.folder = None if "://" in location else Path(location).absolute()
        self._place = str(self.folder)
        self._cache = cache
        self._store: ObjectStore | None = None
        try:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
            else:
                from obstore.store import from_url

                self._store = from_url(location)
        except OSError as error:
            raise Broken(f"Blobs cannot be kept in {location} ({error.strerror}). Make it writable, or set EVERLOOP_BLOBS.") from error

    def put(self, data: bytes) -> str:
        """Keep `data`; its SHA-256. What is there under that name but was damaged is mended, what is sound becomes young again."""
        name = hashlib.sha256(data).hexdigest()
        if self._store is not None:
            with _Plainly(self.location):
                self._send(_path(name), data, len(data))
        elif not self._holds(name, data):
            with _Plainly(self.location):
                self._write(name, data)
        return name

    def put_file(self, path: Path, *, move: bool = False) -> str:
        """Keep the content of a file; its SHA-256. It is copied, or with `move` taken away: then it must be one that `scratch` gave."""
        if not move:
            with path.open("rb") as file, self.writing() as sink:
                while piece := file.read(PIECE_BYTES):
                    sink.write(piece)
            return sink.blob
        name = file_digest(path)
        with _Plainly(self.location):
            self._take_in(path, name)
        return name

    @contextmanager
    def writing(self) -> Iterator[Sink]:
        """A file to write to from beginning to end; afterwards its `blob` names what was written. A large one never lies in memory whole."""
        with _Plainly(self.location), Sink(self._incoming(), large_bytes=LARGE_BYTES) as sink:
            yield sink
            sink.blob = sink.digest()
            if sink.path is not None:
                self._take_in(sink.path, sink.blob)
        if sink.path is None:
            self.put(sink.getvalue())

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder in which to write what `put_file` and `put_tree` shall take in by `move`. It is gone afterwards."""
        folder = self._incoming()
        with _Plainly(self.location):
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            from shutil import rmtree

            rmtree(folder, ignore_errors=True)

    def get(self, name: str) -> bytes:
        try:
            if self._store is None:
                with open(f"{self._place}/{name[:2]}/{name}", "rb", buffering=0) as file:
                    data = file.readall()
            else:
                data = bytes(_remote().get(self._store, _path(name)).bytes())
        except FileNotFoundError:
            raise self._gone(name) from None
        if hashlib.sha256(data).hexdigest() != name:
            raise self._changed(name)
        return data

    def file(self, name: str) -> Path:
        """A local file with exactly the bytes that were put, to be read or mapped into memory, never written to."""
        if self.folder is not None:
            path = self.folder / _path(name)
            try:
                if file_digest(path) != name:
                    raise self._changed(name)
            except FileNotFoundError:
                raise self._gone(name) from None
            return path
        path = self._cache / _path(name)
        # Only a copy: when it was damaged the object store still has the blob.
        if not path.is_file() or file_digest(path) != name:
            path.parent.mkdir(parents=True, exist_ok=True)
            temp = self._incoming()
            try:
                if self._download(_path(name), temp) != name:
                    raise self._changed(name)
                os.replace(temp, path)
            except FileNotFoundError:
                raise self._gone(name) from None
            finally:
                temp.unlink(missing_ok=True)
        return path

    def content(self, name: str) -> bytes | Path:
        """The bytes of a small blob, a local file (as of `file`) with those of a large one."""
        return self.file(name) if self._size(name) >= LARGE_BYTES else self.get(name)

    def has(self, name: str) -> bool:
        if self._store is None:
            return os.path.isfile(f"{self._place}/{name[:2]}/{name}")
        return self._exists(_path(name))

    def renew(self, name: str) -> bool:
        """Make what is kept young again, as a put does: for whoever goes on to name it without writing it. False when it is gone."""
        if self._store is None:
            return renewal.renewed(self._place, _path(name))
        found = self._head(_path(name))
        if found is None:
            return False
        if not renewal.is_young(found):
            with _Plainly(self.location):
                self._send(_path(name), self.content(name), found["size"])
        return True

    def put_tree(self, source: Path, *, move: bool = False) -> str:
        """Keep a folder of files, or one file as a folder with only that; the digest over the sorted names, sizes and contents.

        A damaged one there is mended. With `move` the folder, one that `scratch` gave, is taken away instead of copied.
        """
        if self.folder is None:
            return self._upload_tree(source)
        with self.scratch() as temp, _Plainly(self.location):
            ready = source if move else temp / "tree"
            # Hashed while it is copied: whatever happens to the source meanwhile, the copy is what its name says.
            manifest = _manifest(source) if move else _copied(source, ready)
            name = digest(manifest)
            target = self.folder / _tree(name)
            # Young before it is read: a collector may be after an old one.
            if renewal.renewed(self._place, _tree(name)) and digest(_manifest(target)) != name:
                self._move_away(target)
            os.utime(ready)
            while not renewal.renewed(self._place, _tree(name)):
                _move_in(ready, target)
        return name

    def has_tree(self, name: str) -> bool:
        if self._store is None:
            return os.path.isdir(f"{self._place}/{_tree(name)}")
        return self._exists(f"{_tree(name)}.complete")

    def tree(self, name: str) -> Path:
        """A local folder with exactly the files that were put; Broken when one of them is not what it was."""
        if self.folder is not None:
            local = self.folder / _tree(name)
        else:
            local = self._cache / _tree(name)
            if local.is_dir() and digest(_manifest(local)) != name:
                # Only a copy: the object store still has the folder.
                self._move_away(local)
            if not local.is_dir() and self.has_tree(name):
                with self.scratch() as temp:
                    self._download_tree(_tree(name), temp / "tree")
                    _move_in(temp / "tree", local)
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
        """Whether the blob is there as it should be, byte by byte; if so, it is young again."""
        try:
            with open(f"{self._place}/{name[:2]}/{name}", "rb", buffering=0) as file:
                if file.readall() != data:
                    return False
        except OSError:
            return False
        return renewal.renewed(self._place, _path(name))

    def _send(self, path: str, data: bytes | Path, size: int) -> None:
        """Put what is not there, by its size, and put again what is old: there it may be about to be collected."""
        found = self._head(path)
        if found is None:
            _remote().put(self._store, path, data)
        elif found["size"] != size or not renewal.is_young(found):
            write = partial(_remote().put, self._store, path, data)
            renewal.put_again(_remote(), self._store, path, write, whole=partial(self._exists, path))

    def _size(self, name: str) -> int:
        try:
            if self._store is None:
                return os.stat(f"{self._place}/{name[:2]}/{name}").st_size
            return _remote().head(self._store, _path(name))["size"]
        except FileNotFoundError:
            raise self._gone(name) from None

    def _write(self, name: str, data: bytes) -> None:
        """By plain calls of the operating system: most blobs are a few bytes, and each step writes one."""
        folder = f"{self._place}/{name[:2]}"
        temp = f"{folder}/{INCOMING}{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            handle = os.open(temp, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            handle = os.open(temp, flags, 0o666)
        try:
            try:
                write_all(handle, data)
            finally:
                os.close(handle)
            with renewal.sharing(self._place):
                os.rename(temp, f"{folder}/{name}")
        except BaseException:
            _forget(temp)
            raise

    def _incoming(self) -> Path:
        """A new path for what is on its way, in the file system where it will lie."""
        place = self.folder or self._cache
        place.mkdir(parents=True, exist_ok=True)
        return place / f"{INCOMING}{os.urandom(8).hex()}"

    def _take_in(self, path: Path, name: str) -> None:
        """Give a file of our own its name. What is there already is replaced by its equal, and so mended if it was damaged."""
        if self._store is not None:
            self._send(_path(name), path, path.stat().st_size)
            return
        target = f"{self._place}/{name[:2]}/{name}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.utime(path)
        with renewal.sharing(self._place):
            os.rename(path, target)

    def _upload_tree(self, source: Path) -> str:
        manifest = _manifest(source)
        name = digest(manifest)
        mark = f"{_tree(name)}.complete"
        found = self._head(mark)
        if found is None or not renewal.is_young(found):

            def write() -> None:
                for path, _, _ in manifest:
                    _remote().put(self._store, f"{_tree(name)}/{path}", source / path if source.is_dir() else source)
                # Last, so that a folder counts as there only when all of it is.
                _remote().put(self._store, mark, b"")

            def whole() -> bool:
                there = {entry["path"] for page in _remote().list(self._store, prefix=_tree(name)) for entry in page}
                return self._exists(mark) and there.issuperset(f"{_tree(name)}/{path}" for path, _, _ in manifest)

            with _Plainly(self.location):
                renewal.put_again(_remote(), self._store, _tree(name), write, whole=whole)
        return name

    def _exists(self, path: str) -> bool:
        return self._head(path) is not None

    def _head(self, path: str) -> Any:
        """An object's size and when it was put; None when there is none."""
        try:
            return _remote().head(self._store, path)
        except FileNotFoundError:
            return None

    def _download(self, key: str, target: Path) -> str:
        """Piece by piece; the digest of what came."""
        sink = hashlib.sha256()
        with target.open("wb") as file:
            for piece in _remote().get(self._store, key).stream(min_chunk_size=PIECE_BYTES):
                sink.update(piece)
                file.write(piece)
        return sink.hexdigest()

    def _download_tree(self, prefix: str, into: Path) -> None:
        into.mkdir()
        for batch in _remote().list(self._store, prefix=prefix):
            for entry in batch:
                target = into / Path(entry["path"]).relative_to(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                self._download(entry["path"], target)

    def _move_away(self, damaged: Path) -> None:
        """Take a damaged folder out of the way, and leave it for somebody to look at. A racing twin may have done so already."""
        aside = damaged.parent / f".damaged-{os.urandom(8).hex()}"
        aside.mkdir()
        try:
            os.rename(damaged, aside / damaged.name)
        except FileNotFoundError:
            aside.rmdir()

    def _gone(self, name: str) -> NotFound:
        return NotFound(f"Blob {name[:12]} is not in {self.location}. It may have been collected, or EVERLOOP_BLOBS points elsewhere.")

    def _changed(self, name: str) -> Broken:
        return Broken(
            f"Blob {name[:12]} in {self.location} was changed after it was written. Restore it from a backup, or run again to make it anew."
        )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remote() -> Any:
    """Loaded only for object stores: it takes longer than a hundred small blobs."""
    import obstore

    return obstore


def _path(name: str) -> str:
    return f"{name[:2]}/{name}"


def _tree(name: str) -> str:
    return f"trees/{name}"


def _files(source: Path) -> list[tuple[str, Path]]:
    """(relative path, file) sorted. BadInput for what cannot be kept: a link to a folder may lead anywhere, or back."""
    if source.is_file():
        return [(source.name, source)]
    found: list[tuple[str, Path]] = []
    for path in sorted(source.rglob("*")):
        if path.is_file():
            found.append((path.relative_to(source).as_posix(), path))
        elif path.is_symlink():
            what = "a folder" if path.is_dir() else "nothing"
            raise BadInput(
                f"{path} is a link to {what}. Copy what it should point to, or leave it out: a kept folder must be whole in itself."
            )
        elif not path.is_dir():
            raise BadInput(f"{path} is neither a file nor a folder. Leave it out of the folder.")
    return found


def _manifest(source: Path) -> list[tuple[str, int, str]]:
    """(path, bytes, digest) of every file."""
    return [(name, path.stat().st_size, file_digest(path)) for name, path in _files(source)]


def _copied(source: Path, target: Path) -> list[tuple[str, int, str]]:
    """Copy a folder, or a file into a folder; the manifest of the copy. Folders without files do not count, and are left out."""
    target.mkdir()
    manifest: list[tuple[str, int, str]] = []
    buffer = memoryview(bytearray(PIECE_BYTES))
    for name, path in _files(source):
        there = target / name
        there.parent.mkdir(parents=True, exist_ok=True)
        sink, size = hashlib.sha256(), 0
        with path.open("rb", buffering=0) as file, there.open("xb", buffering=0) as copy:
            while count := file.readinto(buffer):
                sink.update(buffer[:count])
                write_all(copy.fileno(), buffer[:count])
                size += count
        there.chmod(path.stat().st_mode & 0o777)
        manifest.append((name, size, sink.hexdigest()))
    return manifest


def _move_in(ready: Path, target: Path) -> None:
    """Give a folder its name. A racing twin with the same content wins."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(ready, target)
    except OSError:
        if not target.is_dir():
            raise


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


class _Plainly:
    """Disk errors of the store as sentences."""

    def __init__(self, location: str) -> None:
        self.location = location

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, EverloopError):
            return
        text = str(error).lower()
        if "no space left" in text or "os error 28" in text:
            raise Broken(f"There is no space left in {self.location}. Free some and run again; nothing was lost.") from error
        if self._elsewhere(error):
            return
        if isinstance(error, PermissionError) or "read-only" in text or "permission denied" in text:
            raise Broken(f"{self.location} cannot be written. Make it writable, or set EVERLOOP_BLOBS.") from error

    def _elsewhere(self, error: BaseException) -> bool:
        """Whether the error is about another place: a source that cannot be read is not the store's fault."""
        place = getattr(error, "filename", None)
        return isinstance(place, str) and "://" not in self.location and not place.startswith(os.path.abspath(self.location))
