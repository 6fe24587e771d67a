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


@pytest.mark.parametrize("name", ["ring", "engine", "data"])
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


def test_the_made_table_breaks_exactly_the_rules_that_it_should_however_it_is_cut(tmp_path: Path) -> None:
    program = """
import pathlib, sys
import polars as pl
from measure import orders
from measure.rules import broken
rows = 250_000
whole = pl.concat(orders.batches(rows))
path = pathlib.Path(sys.argv[1]) / "orders.csv"
assert orders.csv(path, rows=orders.BATCH_ROWS) == orders.BATCH_ROWS
orders.grown(path, rows=rows - orders.BATCH_ROWS, first=orders.BATCH_ROWS)
assert pl.read_csv(path, try_parse_dates=True).equals(whole)
found = [whole.filter(pl.col("age") > 120).height, whole.filter(pl.col("country") == "??").height]
assert {"rules": sum(map(bool, found)), "rows": sum(found)} == broken(rows), found
assert whole.width == 20 and whole["id"].n_unique() == rows
print(orders.csv(path, least_bytes=1), path.stat().st_size > 1)
"""
    answered = python("-c", program, str(tmp_path))
    assert answered.stdout.split() == ["200000", "True"], answered.stderr


def test_a_program_that_found_something_else_is_no_figure(tmp_path: Path) -> None:
    program = """
import pathlib, sys
from measure import contest, findings, tools
root = pathlib.Path(sys.argv[1])
(root / "count.py").write_text("import meter\\nwith meter.metered():\\n    sum(range(1000))\\nmeter.report(rows=3)")
settings = findings.Settings(True, root, ())
sides = [contest.Side(tools.US, str(root / "count"))]
facts = contest.contest(sides, [], settings, findings.Findings(), rounds=2, wanted={"rows": 3})["everloop"]
assert facts["wall_s"] > 0 and facts["peak_mb"] > 1, facts
try:
    contest.contest(sides, [], settings, findings.Findings(), rounds=1, wanted={"rows": 4})
except tools.Failed as error:
    print(error)
"""
    answered = python("-c", program, str(tmp_path))
    assert "measured wrongly: rows is 3.0, not 4" in answered.stdout, answered.stderr


def test_peak_memory_is_that_of_the_program_alone() -> None:
    """Begun by a process that holds half a gigabyte, a small one is small."""
    meter = str(BENCHMARKS / "peers" / "meter")
    small = f"import sys; sys.path.insert(0, {meter!r}); import meter; print(meter.peak_mb())"
    answered = python(
        "-c", f"import subprocess, sys; held = b'x' * 500_000_000; subprocess.run([sys.executable, '-c', {small!r}], check=True)"
    )
    assert float(answered.stdout) < 100, answered.stderr


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(1, "a"), (2, None)], ""),
        ([(1, "a")], "1 rows, not 2"),
        ([(1, "a"), (3, None)], "row 2"),
        ([(1, "a"), (2, "b")], "row 2"),
        ([(1, "a", 0), (2, None, 0)], "row 1"),
    ],
)
def test_a_lost_or_changed_cell_of_a_dirty_file_is_seen(tmp_path: Path, rows: list[tuple[object, ...]], fault: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("n,t\n1,a\n\n2,\n")
    program = f"import pathlib, sys; from measure import dirty; print(dirty._unlike({rows!r}, pathlib.Path(sys.argv[1])))"
    answered = python("-c", program, str(path))
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.strip().startswith(fault)
    assert bool(answered.stdout.strip()) == bool(fault)
