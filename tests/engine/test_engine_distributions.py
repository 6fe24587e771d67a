"""Which distribution brought a module, and in which version, read off folder names; the same before and after it is imported."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from everloop.engine import distributions, origin
from everloop.engine.origin import Origin, distribution


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    # As of a process that begins later than what the test installs.
    monkeypatch.setattr(distributions, "_BEGAN", 1e12)
    yield folder
    for name in [name for name in sys.modules if name.startswith("planted")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    """As a new process would begin."""
    for known in (distributions.library, distributions._infos, origin._located, origin._of_file):
        known.cache_clear()
    importlib.invalidate_caches()


def install(site: Path, name: str, version: str, *files: str, direct: bool = False) -> Path:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text("VALUE = 1\n")
    (info / "RECORD").write_text("".join(f"{file},sha256=abc,10\n" for file in files))
    if direct:
        (info / "direct_url.json").write_text("{}")
    return info


def found(module: str) -> tuple[str, str]:
    where = origin.origin(module)
    assert where.kind == "library"
    return distribution(where)


def test_equal_to_what_the_installed_metadata_say() -> None:
    for module, name in {
        "numpy": "numpy",
        "sklearn": "scikit-learn",
        "polars": "polars",
        "_pytest": "pytest",
        "dateutil": "python-dateutil",
    }.items():
        assert found(module) == (name, metadata.version(name))


def test_packages_modules_and_namespaces(site: Path) -> None:
    install(site, "planted", "1.0", "planted/__init__.py", "planted/inner.py")
    install(site, "a_planted_thing", "2.0", "planted_other/__init__.py")
    install(site, "planted_single", "3.0", "planted_alone.py")
    install(site, "planted_space_one", "4.0", "planted_space/one/__init__.py")
    install(site, "planted_space_two", "5.0", "planted_space/two/__init__.py", "planted_space/two/deep.py")
    wanted = {
        "planted": ("planted", "1.0"),
        "planted.inner": ("planted", "1.0"),
        "planted_other": ("a-planted-thing", "2.0"),
        "planted_alone": ("planted-single", "3.0"),
        "planted_space.one": ("planted-space-one", "4.0"),
        "planted_space.two": ("planted-space-two", "5.0"),
        "planted_space.two.deep": ("planted-space-two", "5.0"),
    }
    assert {module: found(module) for module in wanted} == wanted
    forget()
    for module in wanted:
        importlib.import_module(module)
    assert {module: found(module) for module in wanted} == wanted


def test_what_was_installed_from_a_folder_counts_by_its_files(site: Path) -> None:
    info = install(site, "planted", "1.0", "planted/__init__.py", direct=True)
    before = found("planted")
    assert before[1].startswith("1.0 of ")
    (info / "RECORD").write_text("planted/__init__.py,sha256=def,10\n")
    forget()
    assert found("planted") != before


def test_files_that_no_distribution_claims_count_by_themselves(site: Path) -> None:
    (site / "planted_by_hand.py").write_text("VALUE = 1\n")
    before = found("planted_by_hand")
    assert before[1].startswith("files ")
    (site / "planted_by_hand.py").write_text("VALUE = 2000\n")
    forget()
    assert found("planted_by_hand") != before


def test_what_is_installed_while_a_process_runs_is_not_taken_for_what_it_has_loaded(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "planted", "1.0", "planted/__init__.py").rename(site / "planted-1.1.dist-info")
    importlib.import_module("planted")
    monkeypatch.setattr(distributions, "_BEGAN", 1.0)
    assert found("planted")[1].startswith(f"1.1 or what process {os.getpid()}")
    monkeypatch.setattr(sys.modules["planted"], "__version__", "1.1", raising=False)
    forget()
    assert found("planted") == ("planted", "1.1")


def test_everloop_counts_as_a_library_with_what_it_requires(monkeypatch: pytest.MonkeyPatch) -> None:
    before = found("everloop.engine.keys")
    assert before[0] == "everloop"
    assert before[1].startswith(f"{metadata.version('everloop')}+")
    assert {"numpy", "scikit-learn"} <= set(distributions.requirements("everloop"))
    assert "apprise" not in set(distributions.requirements("everloop"))
    real: Callable[[str], str] = distributions.version_anywhere
    monkeypatch.setattr(origin, "version_anywhere", lambda name: "0.0" if name == "numpy" else real(name))
    origin._own_version.cache_clear()
    assert found("everloop.engine.keys") != before
    monkeypatch.undo()
    origin._own_version.cache_clear()


def test_keys_are_made_without_importing_metadata_readers() -> None:
    program = (
        "import sys; import numpy; before = set(sys.modules)\n"
        "from everloop.engine.code import code_digest\n"
        "def f(): return numpy.ones(1)\n"
        "assert code_digest(f).libraries['numpy'] == numpy.__version__\n"
        "print({'importlib.metadata', 'email', 'sqlalchemy'} & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_python_itself_and_the_project() -> None:
    assert origin.origin("json").kind == origin.origin("sys").kind == origin.origin("os.path").kind == "python"
    assert origin.origin(__name__) == Origin("project")
    assert origin.origin("nobody_has_this").kind == "project"
    assert sysconfig.get_path("stdlib")
