"""Times -> parts of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from everloop.adapters.sklearn.recipe.flow import Array, Flow
from everloop.adapters.sklearn.recipe.step import FittedStep

_DAY_US = 86_400_000_000


class Dates(FittedStep):
    """`parts` are (part, how many steps until it comes round; 0 for a plain number)."""

    parts: Any
    since: Any

    def fit(self, flow: Flow) -> None:
        self.from_us: dict[str, int] = {}
        for name in self.names:
            times = flow.times(name)
            there = times[~np.isnat(times)]
            if self.since is None:
                self.from_us[name] = int(there.min().astype(np.int64)) if len(there) else 0
            else:
                moment = datetime.fromisoformat(self.since)
                moment = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
                self.from_us[name] = int(np.datetime64(moment, "us").astype(np.int64))
            for part, cycle in self.parts:
                for end in (f"{part}.sin", f"{part}.cos") if cycle else (part,):
                    self.labels[f"{name}.{end}"] = [f"{name}.{end}"]

    def run(self, flow: Flow) -> None:
        for name in self.names:
            times = flow.times(name)
            missing = np.isnat(times)
            gaps = bool(missing.any())
            for part, cycle in self.parts:
                values = _part(times, part, self.from_us[name])
                if gaps:
                    values[missing] = np.nan
                if not cycle:
                    flow.made[f"{name}.{part}"] = values
                    continue
                # Month and day count from 1, the others from 0: a shift of the circle only.
                angle = values * (2 * np.pi / cycle)
                flow.made[f"{name}.{part}.sin"] = np.sin(angle)
                flow.made[f"{name}.{part}.cos"] = np.cos(angle)


def _part(times: Array, part: str, from_us: int) -> Array:
    """Float64. Hours and minutes with their fraction, so that 23:59 and 0:01 are two minutes apart on the circle."""
    us = times.astype(np.int64)
    match part:
        case "year":
            found: Any = times.astype("datetime64[Y]").astype(np.int64) + 1970
        case "month":
            found = times.astype("datetime64[M]").astype(np.int64) % 12 + 1
        case "day":
            found = (times.astype("datetime64[D]") - times.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
        case "day_of_year":
            found = (times.astype("datetime64[D]") - times.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
        case "weekday":
            # 1 January 1970 was a Thursday; Monday is 0.
            found = (us // _DAY_US + 3) % 7
        case "hour":
            found = us % _DAY_US / 3_600_000_000
        case "minute":
            found = us % 3_600_000_000 / 60_000_000
        case _:
            found = (us - from_us) / _DAY_US
    return found.astype(np.float64)
