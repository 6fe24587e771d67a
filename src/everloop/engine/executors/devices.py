"""Which GPUs a task gets: whole ones to itself, parts of one together with others."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_FIT = 1e-9


def visible(environment: Mapping[str, str] = os.environ, listed: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Names of the devices that CUDA would see, as CUDA_VISIBLE_DEVICES spells them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(index) for index, _ in enumerate(listed.glob("*"))]
    found: list[str] = []
    for name in (part.strip() for part in named.split(",")):
        # CUDA reads up to the first name that is none.
        if not name or name.startswith("-") or name in found:
            break
        found.append(name)
    return found


class Devices:
    """Keeps count of what is taken. Never refuses: when too much is asked, devices are shared by more than fit."""

    def __init__(self, names: Sequence[str]) -> None:
        self._taken = dict.fromkeys(names, 0.0)

    def take(self, gpus: float) -> dict[str, float]:
        """Device -> the part of it that is taken. A part goes where others already share, if it fits there."""
        if gpus <= 0 or not self._taken:
            return {}
        names = list(self._taken)
        if gpus < 1 - _FIT:
            fitting = [name for name in names if self._taken[name] + gpus <= 1 + _FIT]
            chosen = max(fitting, key=self._taken.__getitem__) if fitting else min(names, key=self._taken.__getitem__)
            shares = {chosen: gpus}
        else:
            count = min(math.ceil(gpus - _FIT), len(names))
            freest = sorted(names, key=self._taken.__getitem__)[:count]
            shares = {name: min(1.0, gpus - place) for place, name in enumerate(sorted(freest, key=names.index))}
        for name, share in shares.items():
            self._taken[name] += share
        return shares

    def give(self, shares: Mapping[str, float]) -> None:
        for name, share in shares.items():
            # Sums of parts are not exact; an empty device must be exactly empty.
            self._taken[name] = max(0.0, round(self._taken[name] - share, 9))
