"""Collections of an object store: obstore's in memory, and S3's own protocol where moto's server is installed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from tests_store_history import blob, gc, of, prepared, reaches, run, several, snapshot, tree

from everloop.core.errors import Conflict
from everloop.store import renewal, sweep
from everloop.store.blobs import Blobs
from everloop.store.collector import collect
from everloop.store.soundness import orphans, unsound
from everloop.store.workspace import Workspace


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A loopback server that speaks S3; its address."""
    server = pytest.importorskip("moto.server", reason="moto's server is not installed: pip install 'moto[server]'")
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(params=["memory", "s3"])
def location(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    if request.param == "memory":
        return "memory:///"
    address = request.getfixturevalue("s3")
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = tmp_path.name.lower().replace("_", "-")[-60:].strip("-")
    httpx.put(f"{address}/{bucket}").raise_for_status()
    return f"s3://{bucket}/some/prefix"


@pytest.fixture
def workspace(tmp_path: Path, location: str) -> Iterator[Workspace]:
    with Workspace(tmp_path / "project", blobs=location) as opened:
        yield opened


def test_what_is_reached_stays_and_the_rest_goes(workspace: Workspace, tmp_path: Path) -> None:
    data = snapshot(workspace, "d")
    ready = prepared(workspace, data)
    kept = [several(workspace, blob(workspace, "a"), tree(workspace, tmp_path / "in", "b")), of(data), of(ready)]
    lost = [blob(workspace, "lost"), tree(workspace, tmp_path / "in", "lost tree")]
    run(workspace, *lost)
    run(workspace, *kept, kept=(data, ready))
    workspace.blobs.tree(lost[1].blob)
    foreseen = gc(workspace, keep_runs=1, dry_run=True)
    collected = gc(workspace, keep_runs=1)
    assert foreseen.freed == collected.freed
    assert {kind: freed.count for kind, freed in collected.freed.items() if freed.count} == {
        "runs": 1, "steps": 2, "results": 2, "blobs": 1, "trees": 1, "copies": 1,
    }  # fmt: skip
    assert collected.freed["trees"].bytes == len("lost tree")
    assert unsound(workspace, reaches) == []
    assert [len(left) for left in orphans(workspace, reaches)] == [0] * 5
    assert not workspace.blobs.has_tree(lost[1].blob)
    assert workspace.blobs.has(data.chunks[0].blob)
    assert gc(workspace, keep_runs=1).count == 0


def test_a_cut_off_upload_goes_when_it_is_old(workspace: Workspace, tmp_path: Path) -> None:
    half = tree(workspace, tmp_path / "in", "half").blob
    obstore.delete(workspace.blobs._store, f"trees/{half}.complete")  # type: ignore[arg-type]
    obstore.put(workspace.blobs._store, "collecting/ab", b"")  # type: ignore[arg-type]
    obstore.put(workspace.blobs._store, "somebody/else", b"")  # type: ignore[arg-type]
    assert gc(workspace).count == 0
    assert gc(workspace, after_s=48 * 3600).freed["leftovers"].count == 2
    left = {entry["path"] for page in obstore.list(workspace.blobs._store) for entry in page}  # type: ignore[arg-type]
    assert left == {"somebody/else", "everloop-database"}


def test_a_bucket_is_collected_only_when_it_is_said_to_be_ours(workspace: Workspace) -> None:
    orphan = blob(workspace, "orphan")
    with pytest.raises(Conflict, match="--claim-blobs"):
        collect(workspace, reaches, now=1e10, actor="t")
    assert workspace.blobs.has(orphan.blob)
    assert gc(workspace).count == 1


class Interrupted:
    """obstore, but for the first deletion: `put` comes in just before it, and is let go on when its bytes are there."""

    def __init__(self, put: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
        self.thread = threading.Thread(target=put)
        written = threading.Event()
        wait = renewal._wait

        def waits(*arguments: Any) -> None:
            written.set()
            wait(*arguments)

        monkeypatch.setattr(renewal, "_wait", waits)
        self.written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(obstore, name)

    def delete(self, store: Any, paths: Any) -> None:
        if self.thread.ident is None:
            self.thread.start()
            self.written.wait(30)
        obstore.delete(store, paths)


@pytest.mark.parametrize("kind", ["blob", "tree"])
@pytest.mark.parametrize("careful", [True, False])
def test_a_put_during_a_deletion_is_not_undone(
    kind: str, careful: bool, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(location, cache=tmp_path / "cache")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)

    def put() -> str:
        return blobs.put(b"x") if kind == "blob" else blobs.put_tree(folder)

    name = put()
    (victim,) = sweep.listing(blobs)
    monkeypatch.setattr(renewal, "RENEW_AFTER_S", -1.0)  # all is old
    between = Interrupted(put, monkeypatch)
    monkeypatch.setattr(sweep, "_remote", lambda: between)
    if not careful:
        monkeypatch.setattr(renewal, "put_again", lambda remote, store, path, write, *, whole: (write(), between.written.set()))
    assert list(sweep.remove(blobs, [victim], before=victim.at + 1e6, left_before=0.0)) == [victim]
    between.thread.join()
    there = blobs.has(name) if kind == "blob" else blobs.has_tree(name) and len(list(blobs.tree(name).iterdir())) == 3
    assert there is careful


def test_what_was_put_again_before_the_second_look_stays(location: str, tmp_path: Path) -> None:
    blobs = Blobs(location, cache=tmp_path / "cache")
    name = blobs.put(b"x")
    (found,) = sweep.listing(blobs)
    old = found._replace(at=1.0)
    assert list(sweep.remove(blobs, [old], before=2.0, left_before=0.0)) == []
    assert blobs.has(name)
