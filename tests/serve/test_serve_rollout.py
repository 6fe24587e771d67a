"""Versions change under traffic: no request fails, each is answered by the version that the policy names."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from stand import ROW, Server, captured, deploy, eventually, serving, tiny

from everloop.serve.app import App
from everloop.serve.limits import Limits
from everloop.serve.proof import _post
from everloop.serve.refresh import ERRORS_CURSOR, Refresher
from everloop.serve.table import Router
from everloop.store import registry
from everloop.store.workspace import Workspace

HIGH = {**ROW, "x0": 5000}


@contextmanager
def load(server: Server, *, clients: int = 4) -> Iterator[list[int]]:
    """Clients that ask without a pause; gives the versions that answered, 0 for a request that failed."""
    seen: list[int] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not over.is_set():
                try:
                    reply = client.post("/predict/tiny", json=[ROW])
                    seen.append(reply.json()["predictions"][0]["version"] if reply.status_code == 200 else 0)
                except httpx.HTTPError:
                    seen.append(0)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def failures(workspace: Workspace) -> dict[str, object]:
    with workspace.read() as tx:
        return registry.cursor(tx, "tiny", ERRORS_CURSOR)


def test_champions_are_swapped_under_load_without_a_failed_request(workspace: Workspace) -> None:
    for number in (1, 2, 3):
        assert tiny(workspace, bias=number) == number
    deploy(workspace, champion=1)
    with serving(workspace) as server:
        with load(server) as seen:
            for champion in (2, 3, 1, 3):
                deploy(workspace, champion=champion)
                eventually(lambda champion=champion: seen and seen[-1] == champion)
        assert server.stop() == 0
    counts = Counter(seen)
    assert counts.keys() == {1, 2, 3}, counts
    # Every answer that was given was also kept, under the version that gave it.
    assert Counter(prediction.version for prediction in captured(workspace).values()) == counts


def test_a_canary_answers_its_share_and_keeps_its_callers(workspace: Workspace) -> None:
    tiny(workspace)
    tiny(workspace, bias=1)
    deploy(workspace, champion=1, challenger=2, stage="canary", share=0.2)
    with serving(workspace) as server:
        keyless = Counter(server.version() for _ in range(600))
        assert abs(keyless[2] / 600 - 0.2) < 5 * math.sqrt(0.2 * 0.8 / 600)
        by_key = {
            key: server.predict([ROW], headers={"X-Everloop-Key": key}).json()["predictions"][0]["version"] for key in map(str, range(100))
        }
        assert set(by_key.values()) == {1, 2}
        for key, version in by_key.items():
            reply = server.predict([ROW, ROW], headers={"X-Everloop-Key": key}).json()["predictions"]
            assert [found["version"] for found in reply] == [version, version]
    roles = Counter((prediction.version, prediction.role) for prediction in captured(workspace).values())
    assert roles.keys() == {(1, "champion"), (2, "canary")}


def test_where_a_challenger_fails_the_champion_answers_and_the_rollout_hears(workspace: Workspace) -> None:
    tiny(workspace)
    tiny(workspace, fail_above=1000)
    deploy(workspace, champion=1, challenger=2, stage="canary", share=1.0)
    with serving(workspace) as server:
        assert server.version() == 2
        for _ in range(5):
            reply = server.predict([HIGH])
            assert reply.status_code == 200
            assert reply.json()["predictions"][0]["version"] == 1
        # The caller's own mistakes are no failures of the challenger.
        assert server.predict([{}]).status_code == 422
        eventually(lambda: failures(workspace).get("errors") == 5)
        assert failures(workspace)["version"] == 2
        assert "ArithmeticError" in str(failures(workspace)["reason"])
    assert {prediction.role for prediction in captured(workspace).values() if prediction.version == 1} == {"champion"}


def test_a_shadow_sees_the_same_rows_and_nobody_sees_it(workspace: Workspace) -> None:
    tiny(workspace)
    tiny(workspace, bias=-100, sleep_s=0.02, fail_above=1000)
    deploy(workspace, champion=1, challenger=2, stage="shadow")
    with serving(workspace) as server:
        answered = [found for _ in range(20) for found in server.predict([ROW, {**ROW, "x0": 3}]).json()["predictions"]]
        assert {found["version"] for found in answered} == {1}
        eventually(lambda: sum(prediction.role == "shadow" for prediction in captured(workspace).values()) == 40)
        assert server.predict([HIGH]).status_code == 200
        eventually(lambda: failures(workspace).get("errors") == 1)
    found = captured(workspace)
    shadows = [prediction for prediction in found.values() if prediction.role == "shadow"]
    assert {shadow.version for shadow in shadows} == {2}
    assert {shadow.request for shadow in shadows} == {answer["id"] for answer in answered}
    for shadow in shadows:
        assert shadow.features == found[shadow.request].features
        assert shadow.output == 0
        assert shadow.id not in {answer["id"] for answer in answered}


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_answering(workspace: Workspace) -> None:
    tiny(workspace)
    tiny(workspace, fail_load=True)
    tiny(workspace, bias=3)
    deploy(workspace, champion=1)
    with serving(workspace) as server:
        deploy(workspace, champion=2, previous=1)
        ready = eventually(lambda: (found := server.client.get("/readyz").json())["problems"] and found)
        assert ready["ready"]
        assert "planted: cannot be loaded" in ready["problems"]["tiny"][0]
        assert server.version() == 1
        deploy(workspace, champion=3)
        eventually(lambda: server.version() == 3)
        assert server.client.get("/readyz").json()["problems"] == {}


def test_a_changed_model_file_is_not_served(workspace: Workspace) -> None:
    tiny(workspace)
    tiny(workspace, bias=1)
    deploy(workspace, champion=1)
    with serving(workspace) as server:
        with workspace.read() as tx:
            folder = workspace.blobs.tree(registry.get(tx, "tiny", 2).model)
        file = folder / "model.json"
        good = file.read_text()
        file.write_text('{"bias": 666}')
        deploy(workspace, champion=2)
        eventually(lambda: "was changed" in server.client.get("/readyz").text)
        assert server.version() == 1
        # It is tried again, and served when it is what was registered.
        file.write_text(good)
        eventually(lambda: server.version() == 2)


def test_a_replaced_version_is_forgotten_with_its_thread(workspace: Workspace) -> None:
    tiny(workspace)
    tiny(workspace, bias=1)
    deploy(workspace, champion=1)
    router = Router(limits=Limits(inline_s=0.0))
    refresher = Refresher(workspace, router)
    refresher.refresh()
    app = App(router)
    asyncio.run(_post(app, "tiny", json.dumps([ROW]).encode()))
    lane = weakref.ref(router.champion("tiny"))

    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("everloop 'tiny'")]

    assert len(threads()) == 1
    deploy(workspace, champion=2)
    refresher.refresh()
    assert router.champion("tiny").number == 2
    eventually(lambda: gc.collect() is not None and lane() is None and not threads())


def test_a_refresh_without_a_change_keeps_the_table(workspace: Workspace) -> None:
    tiny(workspace)
    deploy(workspace, champion=1)
    router = Router()
    refresher = Refresher(workspace, router)
    refresher.refresh()
    table = router.table
    refresher.refresh()
    assert router.table is table
    deploy(workspace, champion=1, challenger=1, stage="shadow")
    lane = router.champion("tiny")
    refresher.refresh()
    assert router.table is not table
    assert router.champion("tiny") is lane is router.served("tiny").challenger


def test_a_model_that_is_deployed_later_is_served_without_a_restart_and_one_that_is_withdrawn_is_not(workspace: Workspace) -> None:
    with serving(workspace) as server:
        assert server.predict([ROW]).status_code == 404
        assert server.client.get("/readyz").status_code == 200
        tiny(workspace)
        deploy(workspace, champion=1)
        eventually(lambda: server.predict([ROW]).status_code == 200)
        deploy(workspace, champion=None)
        eventually(lambda: server.predict([ROW]).status_code == 503)


def test_a_pinned_request_is_answered_by_the_version_it_names_and_not_captured(workspace: Workspace) -> None:
    for bias in range(7):
        tiny(workspace, bias=bias)
    tiny(workspace, fail_load=True)
    deploy(workspace, champion=7, challenger=6, stage="shadow", previous=1)
    with serving(workspace) as server:
        for pin, version in {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "champion": 7, "challenger": 6, "previous": 1, "07": 7}.items():
            found = server.predict([ROW], headers={"X-Everloop-Version": pin}).json()["predictions"][0]
            assert (found["version"], found["id"]) == (version, None)
        assert server.predict([ROW], headers={"X-Everloop-Version": "99"}).status_code == 404
        assert "Did you mean 'champion'" in server.predict([ROW], headers={"X-Everloop-Version": "champoin"}).json()["error"]
        refused = server.predict([ROW], headers={"X-Everloop-Version": "8"})
        assert refused.status_code == 503
        assert "planted" in refused.json()["error"]
        assert server.stop() == 0
    assert captured(workspace) == {}
