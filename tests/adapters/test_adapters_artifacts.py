"""Estimators and tensors as results of steps."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everloop.adapters.sklearn import archive
from everloop.core.errors import Broken, Missing
from everloop.engine import artifacts
from everloop.engine.artifacts import format_of
from everloop.store.blobs import Blobs
from everloop.testing.formats import FormatSuite


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs"), cache=tmp_path / "cache")


def back(blobs: Blobs, value: object) -> tuple[str, Any]:
    artifact, _ = artifacts.save(blobs, value)
    return artifact.type, artifacts.load(None, blobs, artifact)  # type: ignore[arg-type]


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3))
    return features, (features[:, 0] > 0).astype(int)


class TestEstimator(FormatSuite):
    form = format_of("sklearn")

    def examples(self) -> list[Any]:
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features, target = data()
        models = [
            LogisticRegression(),
            LogisticRegression(C=0.1),
            make_pipeline(StandardScaler(), LogisticRegression()),
            HistGradientBoostingClassifier(max_iter=3, random_state=0),
            RandomForestClassifier(n_estimators=3, random_state=0),
        ]
        return [LogisticRegression(), *(model.fit(features, target) for model in models)]

    def same(self, one: Any, other: Any) -> bool:
        """By the bytes that it is kept as, and by what it says."""
        features, _ = data()
        answers = [model.predict(features).tolist() if hasattr(model, "n_features_in_") else None for model in (one, other)]
        return type(one) is type(other) and archive.dump(one) == archive.dump(other) and answers[0] == answers[1]


def test_an_estimator_with_code_of_the_project_is_a_pickle(blobs: Blobs) -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.preprocessing import FunctionTransformer

    assert back(blobs, LinearRegression())[0] == "sklearn"
    kind, loaded = back(blobs, FunctionTransformer(twice))
    assert kind == "pickle"
    assert loaded.func is twice
    kind, loaded = back(blobs, Doubling())
    assert (kind, type(loaded)) == ("pickle", Doubling)


def twice(value: Any) -> Any:
    return value * 2


def __getattr__(name: str) -> Any:
    if name != "Doubling":
        raise AttributeError(name)
    from sklearn.base import BaseEstimator

    globals()[name] = type(name, (BaseEstimator,), {"__module__": __name__})
    return globals()[name]


Doubling = __getattr__("Doubling")


def test_an_estimator_from_a_file_with_foreign_types_is_not_loaded(blobs: Blobs) -> None:
    """Whatever a file says is trusted: only our own list counts."""
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    blob = blobs.put(skops.io.dumps(FunctionTransformer(twice)))
    with pytest.raises(Broken, match="not trusted"):
        artifacts.load(None, blobs, artifacts.Artifact("sklearn", blob, blob))  # type: ignore[arg-type]


ONE_LIBRARY = """
import sys
from pathlib import Path
from everloop.engine import artifacts
from everloop.store.blobs import Blobs
import numpy, polars
blobs = Blobs(sys.argv[1], cache=Path(sys.argv[1]))
class Own: pass
for value in (1, [1], numpy.arange(2), polars.DataFrame({"a": [1]}), Own(), [Own(), polars.DataFrame({"a": [1]})], {"a": Own()}):
    artifacts.save(blobs, value)
print([name for name in sys.modules if name.startswith("everloop.adapters")])
"""


def test_values_of_other_libraries_load_no_adapter(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ONE_LIBRARY, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# PyTorch is an extra.


@pytest.fixture(scope="module")
def torch() -> Any:
    pytest.importorskip("safetensors")
    return pytest.importorskip("torch")


class Tensors(FormatSuite):
    @pytest.fixture(autouse=True)
    def _torch(self, torch: Any) -> None: ...

    def same(self, one: Any, other: Any) -> bool:
        import torch

        if isinstance(one, torch.nn.Module):
            alike = type(one) is type(other) and repr(one) == repr(other) and one.training == other.training
            return alike and self.same(one.state_dict(), other.state_dict())
        if isinstance(one, dict):
            versions = [getattr(state, "_metadata", None) for state in (one, other)]
            alike = type(one) is type(other) and list(one) == list(other) and versions[0] == versions[1]
            return alike and all(self.same(one[name], other[name]) for name in one)
        alike = type(one) is type(other) and one.dtype == other.dtype and one.requires_grad == other.requires_grad
        return alike and one.shape == other.shape and torch.equal(one, other)


class TestTensor(Tensors):
    form = format_of("torch")

    def examples(self) -> list[Any]:
        import torch

        grid = torch.arange(6.0).reshape(2, 3)
        kinds = [
            torch.tensor([1, 0], dtype=dtype)
            for dtype in (torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.complex64)
        ]
        shapes = [grid.clone(), grid.T, grid[:, ::2], grid[0].expand(3, 3), torch.tensor(1.5), torch.empty(0, 3), torch.empty(3, 0)]
        return [*kinds, *shapes, torch.nn.Parameter(torch.ones(2)), torch.ones(2, requires_grad=True), torch.arange(300_000.0)]


class TestStateDict(Tensors):
    form = format_of("torch.state")

    def examples(self) -> list[Any]:
        import torch

        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
        one, two = torch.ones(2), torch.zeros(2)
        # A batch norm among the examples is 0-d; the order of names is kept, and counts.
        return [layers.state_dict(), {"a": one, "b": two}, {"b": two.clone(), "a": one.clone()}, OrderedDict(a=torch.ones(2))]


class TestModule(Tensors):
    form = format_of("torch.module")

    def examples(self) -> list[Any]:
        import torch

        torch.manual_seed(0)
        nn = torch.nn
        norm = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.1))
        return [nn.Linear(2, 2), norm, copy.deepcopy(norm).eval(), nn.LSTM(4, 2), nn.Linear(2, 2).bfloat16(), nn.ReLU()]

    def change(self, value: Any) -> None:
        import torch

        with torch.no_grad():
            for tensor in value.parameters():
                tensor.fill_(7)


def test_tensors_that_are_one_stay_one(blobs: Blobs, torch: Any) -> None:
    shared = torch.ones(3)
    kind, state = back(blobs, {"a": shared, "b": shared, "first": shared[:2], "last": shared[1:]})
    assert kind == "torch.state"
    assert state["a"] is state["b"]
    state["a"][1] = 5
    assert (state["first"].tolist(), state["last"].tolist()) == ([1, 1], [1, 1])
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    kind, loaded = back(blobs, tied)
    assert kind == "torch.module"
    assert loaded[1].weight is loaded[0].weight
    assert torch.equal(loaded(torch.ones(1, 3)), tied(torch.ones(1, 3)))
    loaded.zero_grad()
    loaded(torch.ones(1, 3)).sum().backward()
    assert loaded[0].weight.grad is not None


def test_a_file_of_tensors_is_plain_safetensors(blobs: Blobs, torch: Any) -> None:
    from safetensors.torch import load_file

    layer = torch.nn.Linear(2, 2)
    artifact, _ = artifacts.save(blobs, layer.state_dict())
    assert torch.equal(load_file(blobs.file(artifact.blob))["weight"], layer.weight)
    artifact, _ = artifacts.save(blobs, layer)
    assert torch.equal(load_file(blobs.tree(artifact.blob) / "tensors.safetensors")["weight"], layer.weight)


def test_what_safetensors_does_not_know_is_a_pickle(blobs: Blobs, torch: Any) -> None:
    for value in (torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex128), {"a": torch.eye(2).to_sparse()}):
        kind, loaded = back(blobs, value)
        assert kind in ("pickle", "bundle")
        assert str(loaded) == str(value)
    mixed = {"model": torch.nn.Linear(1, 1).state_dict(), "epoch": 3, "losses": [0.5]}
    kind, loaded = back(blobs, mixed)
    assert (kind, loaded["epoch"], loaded["losses"], list(loaded["model"])) == ("bundle", 3, [0.5], ["weight", "bias"])
    artifact, _ = artifacts.save(blobs, mixed)
    members = artifacts.members(blobs, artifact)
    assert isinstance(members, dict)
    assert [member.type for member in members.values()] == ["torch.state", "json", "json"]


def test_a_module_with_a_class_of_the_project(blobs: Blobs, torch: Any) -> None:
    """One that cannot be imported goes by value; other code of it is another result."""

    def forward(self: Any, x: Any) -> Any:
        return x * self.scale

    kind = type("Scaled", (torch.nn.Module,), {"forward": forward, "__module__": "models_of_a_notebook"})

    def made(scale: float) -> Any:
        module: Any = kind()
        module.scale, module.words = scale, {"red", "green", "blue"}
        module.register_buffer("hidden", torch.ones(2), persistent=False)
        return module

    artifact, _ = artifacts.save(blobs, made(2.0))
    loaded: Any = artifacts.load(None, blobs, artifact)  # type: ignore[arg-type]
    assert artifact.type == "torch.module"
    assert (loaded(3.0), loaded.words, loaded.hidden.tolist()) == (6.0, {"red", "green", "blue"}, [1.0, 1.0])
    assert artifacts.save(blobs, made(2.0))[0].output == artifact.output != artifacts.save(blobs, made(3.0))[0].output
    kind.forward = lambda self, x: x + self.scale
    assert artifacts.save(blobs, made(2.0))[0].output != artifact.output


def test_without_safetensors_tensors_are_pickled_and_stored_ones_say_what_to_install(
    blobs: Blobs, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, _ = artifacts.save(blobs, torch.ones(2))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "everloop.adapters.torch.tensors")
    assert back(blobs, torch.ones(2))[0] == "pickle"
    with pytest.raises(Missing, match=r"pip install 'everloop\[torch\]'"):
        artifacts.load(None, blobs, artifact)  # type: ignore[arg-type]


def test_a_forged_file_of_tensors_is_refused(blobs: Blobs, torch: Any) -> None:
    header = json.dumps({"__metadata__": {"everloop": "[[]]"}}).encode()
    for content in (b"", b"no tensors", len(header).to_bytes(8, "little") + header):
        blob = blobs.put(content)
        with pytest.raises(Broken, match="cannot be read"):
            artifacts.load(None, blobs, artifacts.Artifact("torch", blob, blob))  # type: ignore[arg-type]
