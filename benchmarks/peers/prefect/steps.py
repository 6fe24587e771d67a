"""Prefect tasks in one flow, against the API that it starts for itself on loopback; with persisted results only where they must be kept."""

import time

from prefect import flow
from prefect import task as prefect_task
from prefect.cache_policies import INPUTS, NO_CACHE
from trivial import add_one, report, task

steps, folder, keep = task()


@prefect_task(cache_policy=INPUTS if keep else NO_CACHE, persist_result=keep)
def one(value: int) -> int:
    return add_one(value)


took_s: list[float] = []


@flow
def chain(steps: int) -> int:
    value = one(0)
    begun = time.perf_counter()
    for _ in range(steps - 1):
        value = one(value)
    took_s.append(time.perf_counter() - begun)
    return value


if __name__ == "__main__":
    report(chain(steps), wall_s=took_s[0])
