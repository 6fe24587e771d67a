"""Tensors, modules and optimizers of torch, and exotic values of pandas, as parameters."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.engine.keys import canonical


def of(value: object) -> str:
    return digest(canonical(value))


def tensors() -> list[object]:
    torch: Any = pytest.importorskip("torch")
    torch.manual_seed(0)
    line = torch.arange(6.0)
    square = line.reshape(2, 3)
    graded = line.clone().requires_grad_()
    graded.grad = torch.ones(6)
    net, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    frozen = torch.nn.Linear(2, 3).eval()
    used = torch.optim.Adam(net.parameters(), lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    used.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = [line.to_sparse(), square.to_sparse_csr(), square.to_sparse_csc()]
    return [
        line,
        square,
        line.int(),
        line.double(),
        line.bfloat16(),
        line > 2,
        torch.tensor(1.0),
        torch.tensor([]),
        torch.tensor([1 + 2j]),
        torch.tensor([1 + 2j]).conj(),
        line.clone().requires_grad_(),
        graded,
        torch.nn.Parameter(line),
        *sparse,
        net,
        other,
        frozen,
        torch.optim.Adam(other.parameters(), lr=0.1),
        torch.optim.Adam(other.parameters(), lr=0.2),
        used,
        torch.Generator().manual_seed(3),
        torch.Generator().manual_seed(4),
        torch.float32,
        torch.device("cpu"),
        torch.Size([1, 2]),
        torch.relu,
        torch.nn.ReLU(),
        torch.nn.CrossEntropyLoss(),
        torch.nn.CrossEntropyLoss(weight=line),
        net.state_dict(),
        torch.utils.data.TensorDataset(line),
    ]


def test_different_tensors_have_different_forms_and_equal_ones_equal() -> None:
    one, other = [of(value) for value in tensors()], [of(value) for value in tensors()]
    assert one == other
    assert len(set(one)) == len(one)


def test_where_values_lie_in_memory_does_not_count() -> None:
    torch: Any = pytest.importorskip("torch")
    square = torch.arange(12.0).reshape(3, 4)
    assert of(square.t().contiguous().t()) == of(square)
    assert of(square[:, ::2]) == of(square[:, ::2].clone())
    assert of(square[1]) == of(torch.arange(4.0, 8.0))


def test_a_tensor_without_values_is_refused() -> None:
    torch: Any = pytest.importorskip("torch")
    with pytest.raises(BadInput, match="meta"):
        canonical(torch.empty(3, device="meta"))


def test_nobody_imports_torch_for_that() -> None:
    program = "import sys; from everloop.engine.keys import canonical; canonical([1, {'a': (2, b'')}]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def frames() -> list[object]:
    pairs = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", "y"])
    return [
        pd.array([1, None], dtype="Int64"),
        pd.array([1, 2], dtype="Int64"),
        pd.array([1, 2], dtype="Int32"),
        pd.array(["a", None], dtype="string"),
        pd.array([True, None], dtype="boolean"),
        pd.Categorical(["a", "b"]),
        pd.Categorical(["a", "b"], ordered=True),
        pd.Categorical(["a", "b"], categories=["a", "b", "c"]),
        pd.Timestamp("2026-01-01"),
        pd.Timestamp("2026-01-01", tz="UTC"),
        pd.Timestamp("2026-01-01", tz="Europe/Berlin"),
        pd.Timedelta(1, "h"),
        pd.Period("2026-01"),
        pd.Interval(0, 1),
        pd.NaT,
        pd.NA,
        pairs,
        pairs.rename(["x", "z"]),
        pairs.set_levels(["a", "c"], level="y"),
        pd.DataFrame({"n": [1, 2]}, index=pairs),
        pd.Series(pd.Categorical(["a", "b"])),
        pd.Series(pd.Categorical(["a", "b"], categories=["b", "a"])),
        pd.Series([1.5, None], dtype="double[pyarrow]"),
        pd.Series(pd.arrays.SparseArray([0, 0, 1])),
        pd.Series([None, 1.0], dtype=object),
        pd.Series([np.nan, 1.0], dtype=object),
        pd.Series([pd.NA, 1.0], dtype=object),
        pd.interval_range(0, 3),
        pd.date_range("2026-01-01", periods=3),
        pd.DatetimeIndex(["2026-01-01", "2026-01-02", "2026-01-03"]),
        pa.array([1, 2]),
        pa.chunked_array([[1, 2]]),
        pa.scalar(1),
        pa.schema([("a", pa.int64())]),
        np.ma.array([1, 2], mask=[0, 1]),
        np.ma.array([1, 2], mask=[1, 0]),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        np.dtype("f4"),
    ]


def test_tables_and_arrays_of_unusual_kinds() -> None:
    one, other = [of(value) for value in frames()], [of(value) for value in frames()]
    assert one == other
    assert len(set(one)) == len(one)
