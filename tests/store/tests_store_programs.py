"""What the store's tests run in processes of their own: each function is a program, `say` its voice to the test."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from everloop.core.errors import Conflict
from everloop.core.live import Deployment, Prediction
from everloop.core.models import Version
from everloop.store import captures, ledger, migrations, registry, runs
from everloop.store.blobs import Blobs
from everloop.store.database import Database, serialise
from everloop.store.leases import Leases
from everloop.store.workspace import Workspace

Say = Callable[[Any], None]

# Imports everything once and forks from there: a fresh process costs milliseconds, and inherits nothing of the test's own.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests_store_programs", "alembic.command", "psycopg"])


class Process:
    """A running program. `hear` waits for what it says, `done` for its end."""

    def __init__(self, function: Callable[..., None], *arguments: object) -> None:
        self._ear, mouth = _context.Pipe(duplex=False)
        self._process = _context.Process(target=_run, args=(function, mouth, arguments))
        self._process.start()
        mouth.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def hear(self, timeout_s: float = 60) -> Any:
        assert self._ear.poll(timeout_s), "nothing was said in time"
        return self._ear.recv()

    def rest(self) -> list[Any]:
        """All that was said until the end; a message cut off by a signal was not said."""
        heard: list[Any] = []
        try:
            while True:
                heard.append(self.hear())
        except (EOFError, OSError):
            return heard

    def done(self, timeout_s: float = 60) -> None:
        self._process.join(timeout_s)
        assert self._process.exitcode == 0, f"exit code {self._process.exitcode}: see the output"

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._ear.close()


def _run(function: Callable[..., None], mouth: Connection, arguments: tuple[object, ...]) -> None:
    function(mouth.send, *arguments)


def append_decisions(say: Say, url: str, actor: str, count: int) -> None:
    database = Database(url)
    for at in range(count):
        with database.write() as tx:
            ledger.append(tx, loop="l", rule="r", action="a", reason=f"{at}", actor=actor)


def open_fresh(say: Say, url: str, gate: Path) -> None:
    assert migrations
    say("ready")
    while not gate.exists():
        time.sleep(0.002)
    append_decisions(say, url, "", 1)


def hold_the_lock(say: Say, url: str) -> None:
    database = Database(url)
    with database.write() as tx:
        serialise(tx)
        say("held")
        time.sleep(600)


def register(say: Say, url: str, name: str) -> None:
    database = Database(url)
    for at in range(10):
        for candidate in (f"own-{name}-{at}", f"shared-{at}"):
            with database.write() as tx:
                registry.register(tx, Version(loop="a", candidate=candidate, evaluation="e", verdict="v"), model="m", run="r")


def deploy(say: Say, url: str) -> None:
    database = Database(url)
    won = 0
    for _ in range(15):
        with database.read() as tx:
            seen = registry.deployment(tx, "a")
        time.sleep(0.002)  # so that somebody else may come in between
        try:
            with database.write() as tx:
                registry.deploy(tx, Deployment(loop="a", champion=1), replacing=seen)
            won += 1
        except Conflict:
            pass
    say(won)


def claim(say: Say, url: str, *ids: str) -> None:
    database = Database(url)
    taken: list[str] = []
    for id in ids:
        with database.write() as tx:
            taken += [id] if runs.claim(tx, id) else []
    say(taken)
    time.sleep(600)


def keep_folders(say: Say, location: str, folder: Path) -> None:
    blobs = Blobs(location, cache=Path(location))
    names: set[str] = set()
    for _ in range(20):
        names |= {blobs.put_tree(folder / name) for name in ("a", "b")}
        names |= {blobs.put(b"x" * 100_000)}
    say(sorted(names))


def capture_for_ever(say: Say, folder: Path) -> None:
    writer = captures.Writer(folder, "l", segment_bytes=5000)
    while True:
        id = writer.next_id()
        writer.append([Prediction(id=id, loop="l", version=1, role="champion", at=0.0, features=[1.5], output=1)])
        say(id)


def write_in_a_fork(say: Say, url: str) -> None:
    """Both kinds of connections are open when it forks; then child and parent each write and read with what they have."""
    database = Database(url)

    def write(name: str) -> list[str]:
        with database.write() as tx:
            tx.sql("INSERT INTO cursors (loop, name, body) VALUES ('l', :name, '')", {"name": name})
        with database.read() as tx:
            return list(tx.execute(sa.text("SELECT name FROM cursors ORDER BY name")).scalars())

    write("before")
    child = os.fork()
    if child == 0:
        inherited = [target for target in map(_target, Path("/proc/self/fd").glob("*")) if "everloop.db" in target]
        write("child")
        say(("child", inherited))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    say(("parent", write("parent")))


def _target(handle: Path) -> str:
    try:
        return str(handle.readlink())
    except FileNotFoundError:
        return ""


def make_and_use(say: Say, url: str) -> None:
    """Slow enough to be killed anywhere while the file is made."""
    database = Database(url)
    with database.write() as tx:
        runs.queue(tx, "l", "p", decision="")
    say("used")


def lease_for_ever(say: Say, home: Path, url: str, key: str) -> None:
    say(Leases(Workspace(home, home=home, database_url=url)).take(key))
    time.sleep(600)


def lease_and_fork(say: Say, home: Path, url: str, key: str) -> None:
    leases = Leases(Workspace(home, home=home, database_url=url))
    assert leases.take(key)
    if os.fork() == 0:
        deadline = time.monotonic() + 30
        while not (home / "over").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os._exit(0)
    say("held")
    time.sleep(600)


def lease_again_and_again(say: Say, home: Path, url: str, key: str, inside: Path, times: int) -> None:
    """Whoever has the lease makes a file that must not be there, and removes it."""
    leases = Leases(Workspace(home, home=home, database_url=url))
    taken = 0
    while taken < times:
        if leases.take(key):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            inside.unlink()
            leases.give(key)
            taken += 1
    say(taken)
