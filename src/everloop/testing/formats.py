"""What a format must do, as tests: for people who add a type of result.

In a test file of the format's package:

    class TestMatrixFormat(FormatSuite):
        form = MatrixFormat()

        def examples(self):
            return [Matrix([[1.0]]), Matrix([[2.0]])]

pytest then runs each `test_…` below.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from everloop.core.artifacts import Artifact, Format
from everloop.core.digest import digest
from everloop.core.errors import Broken, NotFound
from everloop.engine import artifacts
from everloop.engine.keys import canonical
from everloop.store import records
from everloop.store.workspace import Workspace

_CHILD = """
import json, pathlib, sys
from importlib import import_module
sys.path[:] = json.loads(sys.argv[1])
suite = import_module(sys.argv[2])
for part in sys.argv[3].split("."):
    suite = getattr(suite, part)
print(json.dumps(suite().outputs(pathlib.Path(sys.argv[4]))))
"""


class FormatSuite:
    """`form` is the format. Each call of `examples` makes the same values anew, all different from each other, none in more than one place."""

    form: ClassVar[Format]

    def examples(self) -> Sequence[Any]:
        raise NotImplementedError

    def same(self, one: Any, other: Any) -> bool:
        """Whether a value is what another was, type and all. By the form that it has as a parameter of a step."""
        return type(one) is type(other) and digest(canonical(one)) == digest(canonical(other))

    def change(self, value: Any) -> None:
        """Change a value in place, as the body of a step might; what cannot be changed stays as it is."""
        change(value)

    def test_it_takes_its_examples_and_nothing_else(self) -> None:
        assert all(self.form.takes(example) for example in self.examples()), "the format does not take one of its own examples"
        assert not self.form.takes(_Stranger()), "the format takes an object of a class that it cannot know"

    def test_a_value_comes_back_as_it_was(self, tmp_path: Path) -> None:
        with self._kept(tmp_path) as (workspace, kept):
            for example, artifact in zip(self.examples(), kept, strict=True):
                loaded = self._load(workspace, artifact)
                assert self.same(loaded, example), f"{example!r:.200} came back as {loaded!r:.200} ({type(loaded).__qualname__})"

    def test_saving_leaves_the_value_as_it_was(self, tmp_path: Path) -> None:
        with self._store(tmp_path) as workspace:
            for example, again in zip(self.examples(), self.examples(), strict=True):
                artifacts.save_by(self.form, "examined", workspace.blobs, example)
                assert self.same(example, again), f"{again!r:.200} was changed by saving it"

    def test_a_loaded_value_is_its_own(self, tmp_path: Path) -> None:
        with self._kept(tmp_path) as (workspace, kept):
            for example, artifact in zip(self.examples(), kept, strict=True):
                self.change(self._load(workspace, artifact))
                assert self.same(self._load(workspace, artifact), example), (
                    f"what is kept of {example!r:.200} was changed through a loaded value"
                )

    def test_a_duplicate_can_be_changed(self, tmp_path: Path) -> None:
        for example, again in zip(self.examples(), self.examples(), strict=True):
            twin = self.form.duplicate(example)
            if twin is not None:
                assert self.same(twin, again), f"the duplicate of {again!r:.200} is {twin!r:.200}"
                self.change(twin)
                assert self.same(example, again), f"{again!r:.200} was changed through its duplicate"

    def test_equal_values_have_one_output_in_every_process(self, tmp_path: Path) -> None:
        here = self.outputs(tmp_path / "here")
        assert self.outputs(tmp_path / "again") == here, "equal values got different outputs"
        there = self._outputs_elsewhere(tmp_path / "there")
        assert there == here, f"equal values got different outputs in another process: {list(zip(here, there, strict=False))}"

    def test_different_values_have_different_outputs(self, tmp_path: Path) -> None:
        outputs = self.outputs(tmp_path)
        assert len(set(outputs)) == len(outputs), f"different values got one output: {outputs}"

    def test_it_is_present_as_long_as_all_of_it_is_there(self, tmp_path: Path) -> None:
        with self._kept(tmp_path) as (workspace, kept):
            for artifact in kept:
                assert self._present(workspace, artifact), f"{artifact} was just kept and is not present"
                for path in _places(workspace, self.form, artifact):
                    aside = path.with_name("aside")
                    os.rename(path, aside)
                    assert not self._present(workspace, artifact), f"{artifact} is said to be present without {path.name}"
                    os.rename(aside, path)

    def test_damage_is_noticed(self, tmp_path: Path) -> None:
        with self._kept(tmp_path) as (workspace, kept):
            for artifact in kept:
                for file in (file for path in _places(workspace, self.form, artifact) for file in _files(path)):
                    sound = file.read_bytes()
                    file.write_bytes(_flipped(sound))
                    try:
                        self._load(workspace, artifact)
                    except (Broken, NotFound):
                        continue
                    finally:
                        file.write_bytes(sound)
                    raise AssertionError(f"{artifact} is loaded although {file.name} was changed")

    def outputs(self, folder: Path) -> list[str]:
        """Of each example."""
        with self._kept(folder) as (_, kept):
            return [artifact.output for artifact in kept]

    def _outputs_elsewhere(self, folder: Path) -> list[str]:
        """In a process in which sets have another order."""
        kind = type(self)
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        command = [sys.executable, "-c", _CHILD, json.dumps(sys.path), kind.__module__, kind.__qualname__, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": seed})
        assert done.returncode == 0, f"{kind.__qualname__} cannot be run in another process: {done.stderr[-800:]}"
        return list(json.loads(done.stdout.splitlines()[-1]))

    @contextmanager
    def _store(self, folder: Path) -> Iterator[Workspace]:
        folder.mkdir(parents=True, exist_ok=True)
        with Workspace(folder, home=folder, database_url=f"sqlite:///{folder / 'everloop.db'}", blobs=str(folder / "blobs")) as workspace:
            yield workspace

    @contextmanager
    def _kept(self, folder: Path) -> Iterator[tuple[Workspace, list[Artifact]]]:
        with self._store(folder) as workspace:
            kept: list[Artifact] = []
            for example in self.examples():
                found = artifacts.save_by(self.form, "examined", workspace.blobs, example)
                assert found is not None, f"the format does not keep its example {example!r:.200}"
                with workspace.write() as tx:
                    records.keep(tx, *found[1])
                kept.append(found[0])
            yield workspace, kept

    def _load(self, workspace: Workspace, artifact: Artifact) -> Any:
        with workspace.read() as tx:
            return self.form.load(tx, workspace.blobs, artifact)

    def _present(self, workspace: Workspace, artifact: Artifact) -> bool:
        with workspace.read() as tx:
            return self.form.present(tx, workspace.blobs, artifact)


class _Stranger:
    """Of no library and without any special method."""


def change(value: Any) -> None:
    """Change a list, dict, set, array, tensor, table or object in place, if that is possible."""
    match f"{type(value).__module__}.{type(value).__qualname__}".split("."):
        case ["builtins", "list"]:
            value.append("changed")
        case ["builtins", "dict"]:
            value["changed"] = True
        case ["builtins", "set"]:
            value.add("changed")
        case ["numpy", "ndarray"] if value.size and value.flags.writeable:
            raw = value if value.flags.c_contiguous else value.T
            raw.reshape(-1).view("u1")[0] ^= 1
        case ["polars", *_, "DataFrame"]:
            value.insert_column(0, value.to_series(0).alias("changed"))
        case ["pandas", *_, "DataFrame"]:
            value.insert(0, "changed", 1)
        case ["pandas", *_, "Series"] if len(value):
            value.iloc[0] = value.iloc[-1]
        case ["torch", *_, "Tensor" | "Parameter"]:
            value.detach().fill_(7)
        case _ if hasattr(value, "__dict__") and not isinstance(value, Path | type) and not callable(value):
            value.changed = True
        case _:
            return


def _places(workspace: Workspace, form: Format, artifact: Artifact) -> list[Path]:
    """Where in the store's folder the parts of an artifact lie."""
    folder = workspace.home / "blobs"
    found = form.reached(workspace.blobs, artifact)
    return [folder / ("trees" if kind == "tree" else name[:2]) / name for kind, name in found if kind != "record"]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1]) if data else b"x"
