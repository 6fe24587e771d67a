from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_store_programs import keep_folders

from everloop.core.errors import Broken, NotFound
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
