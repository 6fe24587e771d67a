"""A real predictor without any library: offered under the entry point `tiny`, so that servers start quickly.

`model.json` in its folder says how it behaves: {"bias": 0.0, "sleep_s": 0.0, "fail_above": null, "refuse_above": null, "fail_load": false, "chatty": false}.
It answers 1 when x0 + x1 + n + bias > 0 with the logistic function as probability.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.core.models import Candidate
from everloop.core.ports import Answers


class Tiny:
    def __init__(self, behaviour: dict[str, Any], candidate: Candidate) -> None:
        self.signature = candidate.signature
        self.behaviour = behaviour

    def predict(self, rows: pl.DataFrame) -> Answers:
        total = sum(rows[name].fill_null(0).to_numpy().astype(float) for name in ("x0", "x1", "n")) + self.behaviour.get("bias", 0.0)
        limit = self.behaviour.get("fail_above")
        if limit is not None and (total > limit).any():
            raise ArithmeticError("planted: this row is too much")
        refused = self.behaviour.get("refuse_above")
        if refused is not None and (total > refused).any():
            raise BadInput("planted: this row cannot be read")
        if self.behaviour.get("chatty"):
            print("x" * 100_000)
        time.sleep(self.behaviour.get("sleep_s", 0.0))
        high = 1 / (1 + np.exp(-np.clip(total, -50, 50)))
        return Answers((total > 0).astype(np.int64), np.stack([1 - high, high], axis=1))


def load(folder: Path, candidate: Candidate) -> Tiny:
    behaviour = json.loads((folder / "model.json").read_text())
    if behaviour.get("fail_load"):
        raise RuntimeError("planted: cannot be loaded")
    return Tiny(behaviour, candidate)
