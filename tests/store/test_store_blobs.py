from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_store_programs import keep_folders

from everloop.core.errors import BadInput, Broken, NotFound
from everloop.store import blobs as store
from everloop.store.blobs import Blobs

FILES = {"MLmodel": b"flavor: x\n", "code/a.py": b"1", "weights.bin": bytes(range(256)) * 40, "empty": b""}


@pytest.fixture(params=["folder", "remote"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """A folder, and an object store (obstore's in memory: the code path of S3, GCS and Azure)."""
    location = str(tmp_path / "blobs") if request.param == "folder" else "memory:///"
    return Blobs(location, cache=tmp_path / "cache")


def tree(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_bytes_are_kept_under_their_own_digest(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for location in (str(tmp_path_factory.mktemp("b")), "memory:///"):
        blobs = Blobs(location, cache=Path("/nonexistent"))
        name = blobs.put(data)
        assert name == hashlib.sha256(data).hexdigest() == blobs.put(data)
        assert blobs.get(name) == data
        assert blobs.has(name)


def test_what_is_not_there_is_not_found(blobs: Blobs) -> None:
    assert not blobs.has("0" * 64)
    assert not blobs.has_tree("0" * 64)
    with pytest.raises(NotFound):
        blobs.get("0" * 64)
    with pytest.raises(NotFound):
        blobs.tree("0" * 64)


def test_a_folder_comes_back_as_it_was(blobs: Blobs, tmp_path: Path) -> None:
    name = blobs.put_tree(tree(tmp_path / "model"))
    assert name == blobs.put_tree(tmp_path / "model") == blobs.put_tree(tree(tmp_path / "copy"))
    assert blobs.has_tree(name)
    assert content(blobs.tree(name)) == FILES
    assert content(blobs.tree(name)) == FILES
    assert blobs.put_tree(tree(tmp_path / "other", FILES | {"empty": b"1"})) != name
    assert blobs.put_tree(tree(tmp_path / "renamed", {("b" if k == "empty" else k): v for k, v in FILES.items()})) != name


TAMPERINGS: dict[str, Callable[[Path], object]] = {
    "changed": lambda folder: (folder / "MLmodel").write_bytes(b"flavor: y\n"),
    "longer": lambda folder: (folder / "empty").write_bytes(b"x"),
    "removed": lambda folder: (folder / "weights.bin").unlink(),
    "added": lambda folder: (folder / "code" / "b.py").write_bytes(b""),
    "renamed": lambda folder: (folder / "code").rename(folder / "kode"),
    "emptied": lambda folder: [shutil.rmtree(folder / "code"), [path.unlink() for path in folder.iterdir()]],
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_tampered_folder_is_never_loaded_and_can_be_mended(blobs: Blobs, tmp_path: Path, tamper: Callable[[Path], object]) -> None:
    name = blobs.put_tree(tree(tmp_path / "model"))
    tamper(blobs.tree(name))
    if blobs.folder is not None:
        with pytest.raises(Broken, match="was changed after it was written"):
            blobs.tree(name)
        assert blobs.put_tree(tmp_path / "model") == name
    # In an object store only the local copy was damaged: it is fetched anew.
    assert content(blobs.tree(name)) == FILES


@pytest.mark.parametrize("damage", [b"", b"other", b"same lengtH"])
def test_a_tampered_blob_is_refused_and_mended_by_putting_it_again(tmp_path: Path, damage: bytes) -> None:
    blobs = Blobs(str(tmp_path), cache=tmp_path)
    name = blobs.put(b"same length")
    (tmp_path / name[:2] / name).write_bytes(damage)
    with pytest.raises(Broken, match="was changed after it was written"):
        blobs.get(name)
    assert blobs.put(b"same length") == name
    assert blobs.get(name) == b"same length"


def test_a_folder_whose_upload_was_cut_off_is_not_there(tmp_path: Path) -> None:
    import obstore

    blobs = Blobs("memory:///", cache=tmp_path / "cache")
    name = blobs.put_tree(tree(tmp_path / "model"))
    obstore.delete(blobs._store, f"trees/{name}.complete")
    assert not blobs.has_tree(name)
    with pytest.raises(NotFound):
        blobs.tree(name)
    assert blobs.put_tree(tmp_path / "model") == name
    assert content(blobs.tree(name)) == FILES


def test_processes_that_keep_the_same_folder_at_once_all_succeed(tmp_path: Path, spawn: Callable[..., Any]) -> None:
    tree(tmp_path / "in" / "a", {f"f{at}": b"a" * at for at in range(50)})
    tree(tmp_path / "in" / "b", {f"f{at}": b"b" * at for at in range(50)})
    processes = [spawn(keep_folders, str(tmp_path / "blobs"), tmp_path / "in") for _ in range(4)]
    kept = [process.hear() for process in processes]
    for process in processes:
        process.done()
    assert kept == [kept[0]] * 4
    blobs = Blobs(str(tmp_path / "blobs"), cache=tmp_path)
    for name in ("a", "b"):
        assert content(blobs.tree(blobs.put_tree(tmp_path / "in" / name))) == content(tmp_path / "in" / name)
    assert list((tmp_path / "blobs" / "trees").glob(".*")) == []


def test_a_place_that_cannot_be_written_is_answered_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Broken, match=r"Blobs cannot be kept in .*EVERLOOP_BLOBS"):
        Blobs(str(tmp_path / "file" / "blobs"), cache=tmp_path)


def test_uris_name_the_place_of_a_folder(tmp_path: Path) -> None:
    local = Blobs(str(tmp_path / "b"), cache=tmp_path)
    name = local.put_tree(tree(tmp_path / "model"))
    assert Path(local.tree_uri(name).removeprefix("file://")) == local.tree(name)
    assert Blobs("memory:///", cache=tmp_path).tree_uri(name).endswith(f"trees/{name}")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)), st.integers(1, 120))
@settings(max_examples=60, deadline=None)
def test_every_way_of_putting_gives_the_same(tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int], large: int) -> None:
    """In one piece, as a file, piece by piece into memory or, when large, into a file; read whole, as a file, or whichever suits."""
    folder = tmp_path_factory.mktemp("ways")
    (folder / "source").write_bytes(data)
    places = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    before, store.LARGE_BYTES = store.LARGE_BYTES, large
    try:
        for location in (str(folder / "blobs"), "memory:///"):
            blobs = Blobs(location, cache=folder / "cache")
            name = hashlib.sha256(data).hexdigest()
            with blobs.writing() as sink:
                for start, end in itertools.pairwise(places):
                    assert sink.write(memoryview(data)[start:end]) == end - start
            assert sink.blob == name
            assert blobs.get(name) == data == blobs.file(name).read_bytes()
            found = blobs.content(name)
            assert (found if isinstance(found, bytes) else found.read_bytes()) == data
            assert isinstance(found, Path) == (len(data) >= large)
            assert blobs.put_file(folder / "source") == name == blobs.put(data)
            with blobs.scratch() as scratch:
                (scratch / "made").write_bytes(data)
                assert blobs.put_file(scratch / "made", move=True) == name
                (scratch / "tree" / "deep").mkdir(parents=True)
                (scratch / "tree" / "deep" / "file").write_bytes(data)
                moved = blobs.put_tree(scratch / "tree", move=True)
            (folder / "in" / "deep").mkdir(parents=True, exist_ok=True)
            (folder / "in" / "deep" / "file").write_bytes(data)
            assert blobs.put_tree(folder / "in") == moved
            assert (blobs.tree(moved) / "deep" / "file").read_bytes() == data
            assert (blobs.tree(blobs.put_tree(folder / "source")) / "source").read_bytes() == data
    finally:
        store.LARGE_BYTES = before
    assert list(folder.rglob(".incoming-*")) == []


def test_a_writer_that_fails_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(TypeError), blobs.writing() as sink:
        sink.writelines([b"x" * 3_000_000, "not bytes"])  # type: ignore[list-item]
    with pytest.raises(FileNotFoundError), blobs.scratch() as scratch:
        (scratch / "absent" / "file").write_bytes(b"x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("damage", [b"", b"other", b"y" * 2_000_000])
def test_a_tampered_large_blob_is_refused_and_mended(blobs: Blobs, tmp_path: Path, damage: bytes) -> None:
    data = b"x" * 2_000_000
    (tmp_path / "source").write_bytes(data)
    name = blobs.put(data)
    blobs.file(name).write_bytes(damage)
    if blobs.folder is not None:
        with pytest.raises(Broken, match="was changed after it was written"):
            blobs.file(name)
        assert blobs.put_file(tmp_path / "source") == name
    # In an object store only the local copy was damaged: it is fetched anew.
    assert blobs.file(name).read_bytes() == data
    with pytest.raises(NotFound):
        blobs.file("0" * 64)
    with pytest.raises(NotFound):
        blobs.content("0" * 64)


def test_what_is_put_again_is_young_again(tmp_path: Path) -> None:
    """So that a collector, which spares what is young, spares what a row is about to name."""
    blobs = Blobs(str(tmp_path / "blobs"), cache=tmp_path)
    name, folder = blobs.put(b"x"), blobs.put_tree(tree(tmp_path / "model"))
    for path in (tmp_path / "blobs" / name[:2] / name, tmp_path / "blobs" / "trees" / folder):
        os.utime(path, (1, 1))
        assert (blobs.put(b"x"), blobs.put_tree(tmp_path / "model")) == (name, folder)
        assert path.stat().st_mtime > 1


def test_what_cannot_be_kept_whole_is_refused(tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"), cache=tmp_path)
    tree(tmp_path / "model")
    (tmp_path / "model" / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="is a link to nothing"):
        blobs.put_tree(tmp_path / "model")
    (tmp_path / "model" / "link").unlink()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "model" / "code")
    with pytest.raises(BadInput, match="is a link to a folder"):
        blobs.put_tree(tmp_path / "model")
    (tmp_path / "model" / "link").unlink()
    os.mkfifo(tmp_path / "model" / "pipe")
    with pytest.raises(BadInput, match="neither a file nor a folder"):
        blobs.put_tree(tmp_path / "model")
    (tmp_path / "model" / "pipe").unlink()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "model" / "weights.bin")
    (tmp_path / "model" / "weights.bin").chmod(0o755)
    kept = blobs.tree(blobs.put_tree(tmp_path / "model"))
    assert not (kept / "link").is_symlink()
    assert os.access(kept / "link", os.X_OK)
    assert list((tmp_path / "blobs").glob(".incoming-*")) == []


WRITER = """
import sys
from pathlib import Path
from everloop.store.blobs import Blobs
blobs, way, source = Blobs(sys.argv[1], cache=Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
print("ready", flush=True)
while True:
    data = source.read_bytes()
    if way == "bytes":
        blobs.put(data)
    elif way == "file":
        blobs.put_file(source)
    else:
        blobs.put_tree(source)
    for name in Path(sys.argv[1]).glob("[0-9a-f]*/*"):
        name.unlink()
"""


@pytest.mark.parametrize("way", ["bytes", "file", "tree"])
def test_a_killed_writer_leaves_nothing_half(tmp_path: Path, way: str) -> None:
    """A real process, killed while it writes 50 MB over and over; at whatever moment, a name is whole or absent, and the next writer succeeds."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 20) * 50)
    place = tmp_path / "blobs"
    unfinished = 0
    for at in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(place), way, str(source)], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            seen = 0
            # Killed when a file on its way has grown to some size, another one each time.
            while seen <= at * 12_000_000 and process.poll() is None:
                seen = max((size_of(path) for path in place.rglob(".incoming-*")), default=0)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        unfinished += len(list(place.rglob(".incoming-*")))
        blobs = Blobs(str(place), cache=place)
        for path in [*place.glob("[0-9a-f][0-9a-f]/[0-9a-f]*")]:
            assert blobs.file(path.name) == path
        for path in place.glob("trees/[0-9a-f]*"):
            assert blobs.tree(path.name) == path
    assert unfinished > 0
    name = blobs.put_tree(source) if way == "tree" else blobs.put_file(source)
    found = blobs.tree(name) / "source" if way == "tree" else blobs.file(name)
    assert found.read_bytes() == source.read_bytes()


def size_of(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    except FileNotFoundError:
        return 0


PEAK = """
import os, sys
from pathlib import Path
from everloop.store.blobs import Blobs

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024

blobs = Blobs(sys.argv[1], cache=Path(sys.argv[2]))
source = Path(sys.argv[2]) / "source"
blobs.put(b"warm"), blobs.put_file(Path(__file__) if "__file__" in globals() else Path(os.__file__)), blobs.put_tree(Path(os.__file__))
before = peak()
name, tree = blobs.put_file(source), blobs.put_tree(source)
blobs.file(name), blobs.content(name), blobs.tree(tree)
with blobs.writing() as sink:
    for _ in range(300):
        sink.write(b"x" * 1_000_000)
blobs.file(sink.blob)
print(peak() - before)
"""


@pytest.mark.parametrize("remote", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_large_file_is_never_in_memory_whole(tmp_path: Path, remote: bool) -> None:
    """300 MB put as a file, as a folder, and in pieces, and read again: the process's peak grows by less than a tenth of that."""
    with (tmp_path / "source").open("wb") as file:
        for at in range(300):
            file.write(bytes([at % 251]) * 1_000_000)
    place = tmp_path / "blobs"
    place.mkdir()
    location = f"file://{place}" if remote else str(place)
    done = subprocess.run([sys.executable, "-c", PEAK, location, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < (120 if remote else 30), f"the peak grew by {done.stdout.strip()} MB"


def test_a_folder_needs_no_object_store_library(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from everloop.store.blobs import Blobs; "
        f"blobs = Blobs({str(tmp_path)!r}, cache=Path({str(tmp_path)!r})); name = blobs.put(b'x'); blobs.get(name); blobs.has(name); "
        "print('obstore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
