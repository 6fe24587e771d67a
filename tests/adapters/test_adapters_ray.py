"""The Ray executor on a cluster of three nodes on this machine: the conformance suite, a node that is killed, a cluster of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from everloop.core.work import Executor, Resources
from everloop.testing import executors
from everloop.testing.conformance import bodies, errands
from everloop.testing.conformance.under import Ran, notes, ran, until
from everloop.testing.executors import Under

ray = pytest.importorskip("ray")

# Each starts processes that join the cluster, with workers of their own: some seconds every time.
_LONG = {
    "steps_of_a_projects_module",
    "exceptions_of_a_script",
    "code_edited_after_import_keeps_nothing_wrong",
    "two_coordinators_at_once_run_each_body_once",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with two cpus and two nodes with one each. This process is connected by the first executor, and stays so."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Wherever its own files are, it leaves a note for the `ray` command in Ray's usual folder, which it expects to be there.
    Path("/tmp/ray").mkdir(exist_ok=True)
    # Names of sockets are short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, "temp_dir": folder})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = made.address
    try:
        keeper = Under("ray", Path()).open(errands.perform)
        yield made
        keeper.close()
    finally:
        del os.environ["RAY_ADDRESS"]
        ray.shutdown()
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("check", [pytest.param(name, marks=pytest.mark.full) if name in _LONG else name for name in executors.CHECKS])
@pytest.mark.usefixtures("cluster")
def test_conformance(check: str, tmp_path: Path) -> None:
    executors.CHECKS[check](Under("ray", tmp_path))


@pytest.fixture
def port(cluster: Any, tmp_path: Path) -> Iterator[Executor]:
    executor = Under("ray", tmp_path, workers=4).open(errands.perform)
    yield executor
    executor.close()


def test_capacity_is_the_whole_clusters_up_to_workers(cluster: Any, port: Executor, tmp_path: Path) -> None:
    assert port.capacity.cpus == 4
    assert port.capacity.memory_mb > 100
    few = Under("ray", tmp_path, workers=3).open(errands.perform)
    assert few.capacity.cpus == 3
    few.close()


def test_what_no_node_can_hold_is_lost_at_once(port: Executor) -> None:
    port.submit(1, errands.task("echo", value=1), Resources(cpus=3))
    (report,) = port.reports(30)
    assert (report.ticket, report.kind) == (1, "lost")
    assert "no machine of the cluster alone has 3 cpus" in report.reason
    port.submit(2, errands.task("echo", value=2), Resources(cpus=0.5, memory_mb=10))
    (report,) = port.reports(60)
    assert (report.ticket, report.kind, report.body) == (2, "done", b"2")


def test_a_killed_node_costs_what_it_was_doing_and_nothing_else(cluster: Any, tmp_path: Path) -> None:
    """Four bodies on three nodes; a node is killed under its body. The run ends well, the others ran once, results are in the store."""
    folder = str(tmp_path)
    victim = cluster.add_node(num_cpus=1)
    raylet = victim.all_processes["raylet"][0].process.pid
    under = Under("ray", tmp_path, workers=5)
    found: list[Ran] = []

    def pipeline() -> Any:
        first = bodies.number(folder, 1)
        return bodies.total(folder, [first, *(bodies.held(folder, value) for value in range(10, 15))])

    thread = threading.Thread(target=lambda: found.append(ran(under, pipeline)))
    thread.start()
    until(lambda: len(held(tmp_path)) == 5, "five bodies did not begin", within_s=60)
    before = held(tmp_path)
    on_victim = [value for value, pid in before if psutil.Process(pid).ppid() == raylet]
    assert len(on_victim) == 1
    cluster.remove_node(victim, allow_graceful=False)
    (tmp_path / "gate").touch()
    thread.join(120)
    (run,) = found
    assert run.good() == 1 + sum(range(10, 15))
    assert sorted(value for value, _ in held(tmp_path)) == sorted([*range(10, 15), *on_victim])
    assert {status for _, status in run.rows} == {"done"}
    again = ran(Under("inline", tmp_path), pipeline)
    assert again.good() == run.value
    assert {status for _, status in again.rows} == {"hit"}


def held(folder: Path) -> list[tuple[int, int]]:
    """(value, process) of each held body that began."""
    return [(int(line.split()[1]), int(line.split()[2])) for line in notes(folder) if line.startswith("held")]


_ALONE = """
import signal, sys
from pathlib import Path
from everloop.testing.conformance import bodies
from everloop.testing.conformance.under import Under, ran

handler = signal.getsignal(signal.SIGTERM)
found = ran(Under("ray", Path.cwd()), bodies.crowd, ".")
import ray
print(found.good(), ray.is_initialized(), signal.getsignal(signal.SIGTERM) is handler)
"""


def test_without_a_cluster_it_starts_one_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process of its own: nothing is printed but what the script prints, no process and no file of Ray's is left."""
    temp = tmp_path / "t"
    temp.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    ended = subprocess.run(
        [sys.executable, "-c", _ALONE],
        cwd=tmp_path,
        env={**environment, "MARK": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "42 False True\n", "")
    until(lambda: not _marked(str(tmp_path)), "processes of the local cluster are left", within_s=30)


def _marked(mark: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_cluster_out_of_reach_is_named(tmp_path: Path) -> None:
    """Ray itself would end the process."""
    script = (
        "from pathlib import Path\nfrom everloop.core.errors import Broken\nfrom everloop.adapters.ray import RayExecutor\n"
        "try:\n    RayExecutor(print, folder=Path())\nexcept Broken as error:\n    print(error)\n"
    )
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1"}
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.startswith("The Ray cluster at RAY_ADDRESS=127.0.0.1:1 cannot be reached: ")
    assert "unset RAY_ADDRESS" in ended.stdout
