"""Real processes: what they answer, how each way of dying is told, and that none outlives its executor."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import processes_work
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Conflict
from everloop.core.plugins import find
from everloop.core.work import Executor, Report, Resources
from everloop.engine.executors import frames
from everloop.engine.executors.devices import Devices, visible
from everloop.engine.executors.endings import ending
from everloop.engine.executors.machine import Memory, usable_cores
from everloop.engine.executors.processes import Processes
from everloop.engine.executors.spawner import thread_settings

HERE = Path(__file__).parent
ONE = Resources()
PATIENCE_S = 60.0
Make = Callable[..., Processes]


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def offspring() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def pids_in(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.rglob("*") if path.name.isdigit()}


def hear(executor: Executor, enough: Callable[[list[Report]], object]) -> list[Report]:
    """Reports, until there are enough."""
    heard: list[Report] = []
    deadline = time.monotonic() + PATIENCE_S
    while not enough(heard):
        assert time.monotonic() < deadline, heard
        heard += executor.reports(0.2)
    return heard


def ends(executor: Executor, *tickets: int) -> dict[int, Report]:
    heard = hear(executor, lambda heard: {report.ticket for report in heard if report.kind != "told"} >= set(tickets))
    found = [report for report in heard if report.kind != "told"]
    assert len(found) == len({report.ticket for report in found})
    return {report.ticket: report for report in found}


def ask(executor: Executor, ticket: int, task: bytes, resources: Resources = ONE) -> Report:
    executor.submit(ticket, task, resources)
    return ends(executor, ticket)[ticket]


def told(executor: Executor, ticket: int) -> bytes:
    """What a ticket tells first."""
    return next(report.body for report in hear(executor, lambda heard: [r for r in heard if r.ticket == ticket]) if report.ticket == ticket)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Executors that are closed at the end, after which no process may be left."""
    before = offspring()
    made: list[Processes] = []

    def one(work: object = processes_work.work, workers: int | None = 2, **more: object) -> Processes:
        made.append(Processes(work, workers=workers, folder=tmp_path, **more))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for executor in made:
        executor.close()
    assert offspring() <= before


# Answers.


def test_it_is_found_by_its_name() -> None:
    assert find("executors", "processes") is Processes


def test_many_tickets_two_at_a_time(make: Make) -> None:
    executor = make()
    answers: dict[int, bytes] = {}
    waiting = list(range(200))
    running: set[int] = set()
    while waiting or running:
        while waiting and len(running) < 2:
            ticket = waiting.pop()
            running.add(ticket)
            executor.submit(ticket, b"echo %d" % ticket, ONE)
        for report in executor.reports(PATIENCE_S):
            assert report.kind == "done"
            running.remove(report.ticket)
            answers[report.ticket] = report.body
    assert answers == {ticket: b"%d" % ticket for ticket in range(200)}


def test_they_run_at_the_same_time(make: Make, tmp_path: Path) -> None:
    executor = make()
    executor.submit(1, b"meet " + bytes(tmp_path), ONE)
    executor.submit(2, b"meet " + bytes(tmp_path), ONE)
    first, second = (report.body for report in ends(executor, 1, 2).values())
    assert first != second


def test_what_is_told_comes_in_order_and_before_the_answer(make: Make) -> None:
    executor = make()
    executor.submit(7, b"tell 50", ONE)
    heard = hear(executor, lambda heard: heard and heard[-1].kind == "done")
    assert heard == [*(Report(7, "told", b"%d" % number) for number in range(50)), Report(7, "done", b"told")]


def test_large_tasks_and_answers(make: Make) -> None:
    executor = make()
    executor.submit(1, b"length " + b"x" * 20_000_000, ONE)
    executor.submit(2, b"large 20000000", ONE)
    answers = ends(executor, 1, 2)
    assert answers[1].body == b"20000000"
    assert answers[2].body == b"x" * 20_000_000


def test_a_worker_is_used_again_and_those_beyond_are_let_go(make: Make, tmp_path: Path) -> None:
    executor = make(workers=1)
    before = offspring()
    pid = ask(executor, 1, b"pid").body
    assert all(ask(executor, ticket, b"pid").body == pid for ticket in range(2, 20))
    executor.submit(20, b"meet " + bytes(tmp_path), ONE)
    executor.submit(21, b"meet " + bytes(tmp_path), ONE)
    pids = {report.body for report in ends(executor, 20, 21).values()}
    assert len(pids) == 2
    # The nursery and one worker.
    until(lambda: len(offspring() - before) == 2, "no worker was let go")
    assert ask(executor, 22, b"pid").body in pids


def test_it_wakes_from_another_thread_and_after_its_time(make: Make) -> None:
    executor = make()
    assert executor.reports(0) == []
    threading.Timer(0.05, executor.wake).start()
    assert executor.reports(None) == []
    executor.close()
    executor.wake()
    assert executor.reports(None) == []


def test_a_forked_child_neither_tells_nor_answers(make: Make) -> None:
    executor = make()
    executor.submit(1, b"fork", ONE)
    assert hear(executor, lambda heard: heard and heard[-1].kind == "done") == [Report(1, "told", b"parent"), Report(1, "done", b"parent")]
    assert ask(executor, 2, b"echo next").body == b"next"


def test_surroundings_of_a_body(make: Make) -> None:
    executor = make()
    assert ask(executor, 1, b"stdin").body == b"''"
    # A program that a body starts can be interrupted, the worker cannot.
    assert b"default_int_handler" in ask(executor, 2, b"interrupt").body


def test_workers_draw_different_numbers_and_libraries_survive_the_fork(make: Make, tmp_path: Path) -> None:
    executor = make(preload=["numpy.random", "polars", "pyarrow", "no_such_module"])
    for ticket in range(4):
        executor.submit(ticket, b"draw", ONE)
        executor.submit(10 + ticket, b"polars", ONE)
    answers = ends(executor, *range(4), *range(10, 14))
    assert len({answers[ticket].body for ticket in range(4)}) == 4
    assert {answers[ticket].body for ticket in range(10, 14)} == {b"%d" % sum(range(200_000))}


# Ends.


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("crash", "was killed by signal 11 (SIGSEGV)"),
        ("exit 3", "exited with code 3"),
        ("exit 0", "exited with code 0"),
        ("sys_exit 4", "exited with code 4"),
        ("hang_at_exit 5", "closed the connection by which it answers, and was stopped"),
        ("kill 9", "was killed by signal 9 (SIGKILL)"),
        ("kill 6", "was killed by signal 6 (SIGABRT)"),
        ("kill 15", "was killed by signal 15 (SIGTERM)"),
        ("raise no luck", "ended because its work raised ValueError: no luck"),
        ("text", "ended because its work raised TypeError: "),
    ],
)
def test_how_a_process_was_lost(make: Make, task: str, reason: str) -> None:
    executor = make()
    report = ask(executor, 1, task.encode())
    assert report.kind == "lost"
    assert report.reason.startswith(reason)
    assert report.reason == reason or reason.endswith(" ")
    assert ask(executor, 2, b"echo on").body == b"on"


def test_want_of_memory_is_named_where_it_is_likely(make: Make, tmp_path: Path) -> None:
    executor = make()
    executor._memory = planted_memory(tmp_path, limit=300_000_000)
    reason = ask(executor, 1, b"hold_memory 200").reason
    assert reason.startswith("was killed by signal 9 (SIGKILL), probably for want of memory: it had used up to 2")
    assert reason.endswith(" MB")
    executor._memory = planted_memory(tmp_path, limit=3_000_000_000)
    assert ask(executor, 2, b"hold_memory 200").reason == "was killed by signal 9 (SIGKILL)"


def test_a_worker_that_closes_its_connection(make: Make) -> None:
    assert ask(make(), 1, b"close_all").reason == "closed the connection by which it answers, and was stopped"


def test_work_that_cannot_be_imported(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="cannot be imported"):
        make(lambda task, tell: task)
    (tmp_path / "processes_fleeting.py").write_text("def work(task, tell): return task\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import processes_fleeting  # type: ignore[import-not-found]

    executor = make(processes_fleeting.work)
    (tmp_path / "processes_fleeting.py").unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert "ModuleNotFoundError" in ask(executor, 1, b"").reason
    assert "ModuleNotFoundError" in ask(executor, 2, b"").reason


def test_an_idle_worker_that_died_is_replaced(make: Make) -> None:
    executor = make()
    for ticket in range(1, 30):
        pid = int(ask(executor, ticket, b"pid").body)
        os.kill(pid, signal.SIGKILL)
        # Whether or not its death shows by now.
        report = ask(executor, 100 + ticket, b"pid")
        assert report.kind == "done"
        assert int(report.body) != pid


def test_a_nursery_that_is_killed(make: Make, tmp_path: Path) -> None:
    executor = make()
    before = offspring()
    executor.submit(1, b"family " + bytes(tmp_path), ONE)
    told(executor, 1)
    executor.submit(2, b"sleep 600", ONE)
    told(executor, 2)
    (nursery,) = (child for child in psutil.Process().children() if child.pid not in before)
    near = pids_in(tmp_path / "near")
    assert len(near) == 2
    workers = {child.pid for child in nursery.children()}
    nursery.kill()
    lost = ends(executor, 1, 2)
    assert {report.reason for report in lost.values()} == {
        "ended with the process that starts workers, which was killed by signal 9 (SIGKILL)"
    }
    until(lambda: not any(map(alive, workers | near)), "workers or their children outlive the nursery")
    for pid in pids_in(tmp_path / "far"):
        os.kill(pid, signal.SIGKILL)
    assert ask(executor, 3, b"echo again").body == b"again"
    (nursery,) = (child for child in psutil.Process().children() if child.pid not in before)
    nursery.kill()
    nursery.wait()
    assert ask(executor, 4, b"echo and again").body == b"and again"


# Stops.


def test_stop_ends_the_whole_family(make: Make, tmp_path: Path) -> None:
    executor = make()
    executor.submit(1, b"family " + bytes(tmp_path), ONE)
    family = {int(told(executor, 1)), *pids_in(tmp_path)}
    assert len(family) == 5
    assert all(map(alive, family))
    executor.stop(1)
    until(lambda: not any(map(alive, family)), "a process of a stopped task is still there")
    assert executor.reports(0) == []
    assert ask(executor, 2, b"echo on").body == b"on"


def test_stop_lets_a_body_clean_up_and_is_silent(make: Make, tmp_path: Path) -> None:
    executor = make()
    executor.submit(1, b"clean_up " + bytes(tmp_path / "note"), ONE)
    told(executor, 1)
    executor.stop(1)
    until((tmp_path / "note").exists, "no clean-up")
    executor.stop(1)
    executor.stop(99)
    assert ends(executor) == {}
    assert ask(executor, 2, b"echo on").body == b"on"


def test_stop_of_what_is_lost_already_leaves_no_report(make: Make) -> None:
    executor = make()
    before = offspring()
    executor.submit(1, b"sleep 600", ONE)
    executor.submit(2, b"sleep 600", ONE)
    told(executor, 1)
    (nursery,) = (child for child in psutil.Process().children() if child.pid not in before)
    nursery.kill()
    nursery.wait()
    # By this, the executor knows; nobody was told yet.
    executor.submit(3, b"echo 3", ONE)
    executor.stop(1)
    assert set(ends(executor, 2, 3)) == {2, 3}
    assert executor.reports(0) == []


def test_stop_before_the_nursery_has_even_started(make: Make) -> None:
    executor = make()
    executor.submit(1, b"sleep 600", ONE)
    executor.stop(1)
    assert ask(executor, 2, b"echo on").body == b"on"


def test_close_leaves_no_process(make: Make, tmp_path: Path) -> None:
    executor = make()
    before = offspring()
    for ticket, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        executor.submit(ticket, b"family " + bytes(tmp_path / name), ONE)
        told(executor, ticket)
    executor.submit(3, b"deaf", ONE)
    told(executor, 3)
    executor.submit(4, b"echo idle", ONE)
    ends(executor, 4)
    executor.submit(5, b"length " + b"x" * 20_000_000, ONE)
    family = (offspring() - before) | pids_in(tmp_path)
    assert len(family) >= 8 + 5
    executor.close()
    assert not any(map(alive, family))
    assert offspring() == before
    executor.close()
    with pytest.raises(Conflict, match="closed"):
        executor.submit(6, b"echo", ONE)


def test_what_a_body_leaves_behind_ends_with_its_worker(make: Make, tmp_path: Path) -> None:
    executor = make()
    worker = int(ask(executor, 1, b"leave_behind " + bytes(tmp_path)).body)
    left = pids_in(tmp_path)
    assert len(left) == 1
    assert int(ask(executor, 2, b"pid").body) != worker
    until(lambda: not any(map(alive, left)), "left behind")


def test_a_coordinator_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    coordinator = subprocess.Popen([sys.executable, str(HERE / "processes_coordinator.py"), str(tmp_path)], stdout=subprocess.PIPE)
    assert coordinator.stdout is not None
    with coordinator, coordinator.stdout:
        assert coordinator.stdout.readline() == b"ready\n"
        family = {child.pid for child in psutil.Process(coordinator.pid).children(recursive=True)} | pids_in(tmp_path)
        assert len(family) == 1 + 2 + 8
        assert all(map(alive, family))
        coordinator.kill()
        coordinator.wait()
    until(lambda: not any(map(alive, family)), "a process outlives its coordinator")


def test_workers_end_with_the_nursery_when_nobody_else_can_see_to_it(tmp_path: Path) -> None:
    coordinator = subprocess.Popen([sys.executable, str(HERE / "processes_coordinator.py"), str(tmp_path)], stdout=subprocess.PIPE)
    assert coordinator.stdout is not None
    with coordinator, coordinator.stdout:
        assert coordinator.stdout.readline() == b"ready\n"
        (nursery,) = psutil.Process(coordinator.pid).children()
        workers = [child.pid for child in nursery.children()]
        coordinator.send_signal(signal.SIGSTOP)
        try:
            nursery.kill()
            until(lambda: not any(map(alive, workers)), "a worker outlives the nursery")
        finally:
            coordinator.kill()
            # This is what nobody can do for a coordinator that is dead together with its nursery.
            for pid in pids_in(tmp_path):
                os.kill(pid, signal.SIGKILL)


def test_hang_up_ends_the_group_where_the_kernel_does_not(tmp_path: Path) -> None:
    code = (
        "import sys, threading, time, processes_work; from everloop.engine.executors.worker import end_at_hang_up;"
        "threading.Thread(target=end_at_hang_up, args=(int(sys.argv[1]),), daemon=True).start();"
        "processes_work.start_stubborn(sys.argv[2], session=False); print('ready', flush=True); time.sleep(600)"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno()), str(tmp_path)],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )
    # Both of our ends are closed: nobody has `ours` now.
    assert process.stdout is not None
    with process, process.stdout:
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    until(lambda: not any(map(alive, pids_in(tmp_path))), "the group outlives its leader")


# Surroundings.

SCRIPT = """
import sys
from pathlib import Path
import processes_work
from everloop.core.work import Resources
from everloop.engine.executors.processes import Processes

print("started", flush=True)
mine = 1
executor = Processes(processes_work.work, workers=1, folder=Path())
executor.submit(1, b"main", Resources())
reports = executor.reports(60)
executor.close()
print(reports[0].body.decode() if reports else "nothing")
"""


@pytest.mark.parametrize(
    ("command", "label"),
    [(["script.py", "a", "b"], "script"), (["-m", "pack.script"], "pack.script"), (["-m", "pack"], "pack"), (["-c", SCRIPT], "__main__")],
)
def test_a_script_without_a_guard_runs_once(tmp_path: Path, command: list[str], label: str) -> None:
    (tmp_path / "pack").mkdir()
    for name in ("script.py", "pack/script.py", "pack/__main__.py", "pack/__init__.py"):
        (tmp_path / name).write_text(SCRIPT if "init" not in name else "")
    result = subprocess.run(
        [sys.executable, "-O", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    started, answer = result.stdout.splitlines()
    assert started == "started"
    found = json.loads(answer)
    assert found["label"] == label
    assert found["origin"] == "project"
    assert all(name.startswith("__") for name in found["names"])
    assert found["argv"][1:] == command[1:][command[0] != "script.py" :]
    assert found["folder"] == str(tmp_path)
    assert str(HERE) in found["path"]


def test_threads_are_shared_out_where_the_user_has_not(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    found = json.loads(ask(make(workers=1), 1, b"environment").body)
    assert found["OMP_NUM_THREADS"] == "7"
    assert found["POLARS_MAX_THREADS"] == str(usable_cores())
    assert found["session"] == found["pid"]
    assert "POLARS_MAX_THREADS" not in os.environ


def test_threads_for_each_worker() -> None:
    assert set(thread_settings({}, cores=16, workers=4).values()) == {"4"}
    assert set(thread_settings({}, cores=2, workers=8).values()) == {"1"}
    assert "MKL_NUM_THREADS" not in thread_settings({"MKL_NUM_THREADS": ""}, cores=2, workers=1)


def test_capacity(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    capacity = make(workers=3).capacity
    assert capacity[:2] == (3.0, 2.0)
    assert 100 < capacity.memory_mb <= psutil.virtual_memory().total / 1e6 + 1
    assert make(workers=None).capacity.cpus == usable_cores()
    with pytest.raises(BadInput, match="workers=0"):
        make(workers=0)


def test_devices_are_set_before_a_body_runs(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    executor = make()

    def pair(gpus: float) -> list[tuple[str, int]]:
        """The devices, and the process, of two tasks that run at once."""
        place = tmp_path / f"{gpus}"
        place.mkdir()
        for ticket in (1, 2):
            executor.submit(ticket, b"meet_environment " + bytes(place), Resources(1, gpus))
        found = [json.loads(report.body) for report in ends(executor, 1, 2).values()]
        return [(one["CUDA_VISIBLE_DEVICES"], one["pid"]) for one in found]

    whole = pair(1.0)
    assert {devices for devices, _ in whole} == {"4", "5"}
    halves = pair(0.5)
    assert {devices for devices, _ in halves} == {"4"}
    # One of the two was the worker that had this device before.
    assert set(whole) & set(halves)
    both = json.loads(ask(executor, 3, b"environment", Resources(1, 2)).body)
    assert both["CUDA_VISIBLE_DEVICES"] == "4,5"
    # What had used one of them is gone, and with it what it held there.
    until(lambda: not any(alive(pid) for _, pid in whole + halves), "workers on devices that belong to another now")
    assert json.loads(ask(executor, 4, b"environment").body)["pid"] != both["pid"]


# Rules.


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys; import everloop.engine.executors.processes;"
        "heavy = {'numpy', 'polars', 'pyarrow', 'scipy', 'sqlalchemy', 'cloudpickle', 'asyncio', 'multiprocessing', 'psutil'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@given(st.lists(st.tuples(st.sampled_from([frames.TOLD, frames.DONE]), st.binary(max_size=300))), st.integers(1, 64))
def test_frames_come_out_as_they_went_in(sent: list[tuple[bytes, bytes]], piece: int) -> None:
    stream = b"".join(frames.pack(kind, body) for kind, body in sent)
    inbox = frames.Inbox()
    assert [frame for start in range(0, len(stream), piece) for frame in inbox.feed(stream[start : start + piece])] == sent


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from([0.25, 0.3, 0.5, 1.0, 1.5, 2.0]), st.booleans())))
def test_devices_are_never_overfull_while_a_fit_exists(count: int, asked: list[tuple[float, bool]]) -> None:
    devices = Devices([str(index) for index in range(count)])
    taken: list[dict[str, float]] = []
    for gpus, give_back in asked:
        before = devices._taken.copy()
        shares = devices.take(gpus)
        assert sum(shares.values()) == pytest.approx(min(gpus, count))
        assert all(0 < share <= 1 for share in shares.values())
        free = [name for name, load in before.items() if not load]
        if gpus >= 1 and len(free) >= len(shares):
            assert set(shares) <= set(free)
        if gpus < 1 and min(before.values()) + gpus <= 1:
            assert all(devices._taken[name] <= 1 + 1e-6 for name in shares)
        taken.append(shares)
        if give_back:
            devices.give(taken.pop(0))
    for shares in taken:
        devices.give(shares)
    assert set(devices._taken.values()) == {0.0}


def test_which_devices_are_visible(tmp_path: Path) -> None:
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert visible({}, tmp_path) == ["0", "1"]
    assert visible({}, tmp_path / "none") == []
    assert visible({"CUDA_VISIBLE_DEVICES": "GPU-1b, 3"}, tmp_path) == ["GPU-1b", "3"]
    assert visible({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert visible({"CUDA_VISIBLE_DEVICES": "1,-1,2"}, tmp_path) == ["1"]


def planted_memory(folder: Path, *, limit: int | None = None, group_kills: int = 0, kills: int = 0) -> Memory:
    """In the kernel's format, as it would be in a container with a limit."""
    group = folder / "cgroup" / "box"
    (folder / "proc" / "self").mkdir(parents=True, exist_ok=True)
    group.mkdir(parents=True, exist_ok=True)
    (folder / "proc" / "self" / "cgroup").write_text("4:memory:/other\n0::/box\n")
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text(f"{'max' if limit is None else limit}\n")
    plant_kills(folder, group_kills, kills)
    return Memory(folder / "cgroup", folder / "proc")


def plant_kills(folder: Path, group_kills: int, kills: int) -> None:
    (folder / "cgroup" / "box" / "memory.events").write_text(f"low 0\noom 9\noom_kill {group_kills}\noom_group_kill 0\n")
    (folder / "proc" / "vmstat").write_text(f"nr_free_pages 3\noom_kill {kills}\n")


def test_memory_has_the_least_limit_and_counts_what_the_kernel_killed(tmp_path: Path) -> None:
    assert planted_memory(tmp_path).total_mb == Memory().total_mb
    memory = planted_memory(tmp_path, limit=1_000_000_000)
    assert memory.total_mb == 1000
    assert not memory.was_short(90)
    assert memory.was_short(600)
    plant_kills(tmp_path, 1, 1)
    assert memory.was_short(1)
    assert not memory.was_short(1)
    plant_kills(tmp_path, 1, 2)
    assert not memory.was_short(90)
    plant_kills(tmp_path, 1, 3)
    assert memory.was_short(110)


def test_endings_are_parts_of_a_sentence() -> None:
    assert ending(9, starved_mb=3100.4) == "was killed by signal 9 (SIGKILL), probably for want of memory: it had used up to 3,100 MB"
    assert ending(11, starved_mb=3100.4) == "was killed by signal 11 (SIGSEGV)"
    assert ending(signal.SIGRTMIN + 3) == f"was killed by signal {signal.SIGRTMIN + 3}"
    assert ending(3 << 8) == "exited with code 3"


# At random.


def fuzz(executor: Processes, seed: int, actions: int) -> dict[str, int]:
    """Every ticket that was not stopped ends once; of a stopped one nothing is heard; answers are right. How many ended in which way."""
    chance = random.Random(seed)
    before = offspring()
    running: dict[int, bytes] = {}
    ended: dict[int, Report] = {}
    stopped: set[int] = set()
    fates = {"done": 0, "lost": 0}

    def listen(timeout_s: float) -> None:
        for report in executor.reports(timeout_s):
            assert report.ticket not in stopped
            assert report.ticket not in ended
            if report.kind != "told":
                ended[report.ticket] = report
                fates[report.kind] += 1
                task = running.pop(report.ticket)
                if report.kind == "done" and task.startswith(b"echo "):
                    assert report.body == task[5:]

    tasks = [b"sleep 0.02", b"tell 300", b"exit 3", b"kill 9", b"kill 15", b"large 600000", b"raise boo", b"fork", b"deaf", b"sleep 5"]
    for ticket in range(actions):
        match chance.choice(["submit", "submit", "submit", "listen", "listen", "stop", "kill", "nursery"]):
            case "submit" if len(running) < 4:
                task = chance.choice([b"echo %d" % ticket, b"echo " + b"x" * 500_000, *tasks])
                running[ticket] = task
                executor.submit(ticket, task, ONE)
            case "stop" if running:
                victim = chance.choice(sorted(running))
                executor.stop(victim)
                stopped.add(victim)
                del running[victim]
            case "kill" | "nursery" as what:
                # Who dies meanwhile need not be killed.
                with suppress(psutil.NoSuchProcess):
                    nurseries = [child for child in psutil.Process().children() if child.pid not in before]
                    workers = [child for nursery in nurseries for child in nursery.children()]
                    victims = workers if what == "kill" else nurseries if chance.random() < 0.2 else []
                    if victims:
                        chance.choice(victims).send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
            case _:
                listen(chance.choice([0, 0.001, 0.03]))
    for ticket in [ticket for ticket, task in running.items() if task in (b"deaf", b"sleep 5")]:
        executor.stop(ticket)
        stopped.add(ticket)
        del running[ticket]
    until(lambda: listen(0.05) or not running, "some tickets never end")
    assert ask(executor, actions, b"echo fine").body == b"fine"
    executor.close()
    assert offspring() <= before
    return fates


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_anything_at_random(make: Make) -> None:
    fates = [fuzz(make(), seed, 150) for seed in range(3)]
    # On a slow machine one of them may see only deaths.
    assert min(sum(fate[kind] for fate in fates) for kind in ("done", "lost")) > 0, "too short a run to tell anything"


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 130))
def test_anything_at_random_for_long(make: Make, seed: int) -> None:
    assert min(fuzz(make(), seed, 600).values()) > 0, "too short a run to tell anything"
