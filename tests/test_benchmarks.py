"""The benchmarks' own promises: they answer `--help`, `--json` is one object, and what was measured wrongly is no figure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    )


@pytest.mark.parametrize("name", ["ring", "engine"])
def test_help(name: str) -> None:
    answered = python(str(BENCHMARKS / f"{name}.py"), "--help")
    assert answered.returncode == 0, answered.stderr
    assert "--quick" in answered.stdout
    assert "--json" in answered.stdout


def test_json_is_one_object_and_the_exit_code_says_whether_all_bars_hold() -> None:
    answered = python(str(BENCHMARKS / "engine.py"), "--quick", "--json", "--only", "partitions")
    said = json.loads(answered.stdout)
    assert list(said) == ["bars"]
    assert said["bars"]
    for one in said["bars"]:
        assert set(one) == {"name", "value", "limit", "holds"}
        assert one["holds"] == (one["value"] <= one["limit"])
    assert answered.returncode == (0 if all(one["holds"] for one in said["bars"]) else 1), answered.stderr


def test_a_peer_that_is_not_installed_is_named_with_the_reason(tmp_path: Path) -> None:
    answered = python(
        "-c",
        "import sys, pathlib, peers.install as install; install.ENVIRONMENTS = pathlib.Path(sys.argv[1]); print(install.why_not('luigi'))",
        str(tmp_path),
    )
    assert "make bench-peers" in answered.stdout, answered.stderr


def test_a_run_that_executed_too_much_or_too_little_is_no_figure(tmp_path: Path) -> None:
    program = """
import pathlib, sys
from measure import tools
folder = pathlib.Path(sys.argv[1])
tools.steps(tools.US, 3, folder, keep=True)
tools.steps(tools.US, 3, folder, keep=True, executed=0)
for planted in (folder, tools.fresh(folder)):  # all bodies expected of a cached run; none expected of a fresh one
    try:
        tools.steps(tools.US, 3, planted, keep=True, executed=3 if planted is folder else 0)
    except tools.Failed as error:
        print(error)
"""
    answered = python("-c", program, str(tmp_path))
    assert answered.returncode == 0, answered.stderr
    assert "0 bodies ran, not 3" in answered.stdout
    assert "3 bodies ran, not 0" in answered.stdout


def test_the_cost_of_a_process_includes_an_orphan_which_is_ended(tmp_path: Path) -> None:
    known = str(tmp_path / "pid")
    # A grandchild in a session of its own, whose parent ends as soon as it has used its share of the CPU.
    orphan = f"import os, time\nwhile time.process_time() < 0.3: pass\nopen({known!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    parent = (
        f"import os, subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {orphan!r}], start_new_session=True)\n"
        f"while not os.path.exists({known!r}): time.sleep(0.01)"
    )
    answered = python("-c", f"import sys; from measure import bars; print(bars.cost([sys.executable, '-c', {parent!r}]).cpu_s)")
    assert answered.returncode == 0, answered.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path(known).read_text()), 0)
    if sys.platform == "linux":
        assert float(answered.stdout) > 0.3, "the orphan's CPU seconds are missing"


def test_a_failing_program_says_its_last_line() -> None:
    program = """
import sys
from measure import bars
try:
    bars.cost([sys.executable, "-c", "raise SystemExit('no such luck')"])
except bars.Failed as error:
    print(error)
"""
    assert python("-c", program).stdout.strip() == "no such luck"
