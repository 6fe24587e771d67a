"""Prefect tasks in one flow, against the API that it starts for itself on loopback; with persisted results only where they must be kept."""

from prefect import flow
from prefect import task as prefect_task
from prefect.cache_policies import INPUTS, NO_CACHE
from trivial import add_one, report, task

steps, folder, keep = task()


@prefect_task(cache_policy=INPUTS if keep else NO_CACHE, persist_result=keep)
def one(value: int) -> int:
    return add_one(value)


@flow
def chain(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = one(value)
    return value


if __name__ == "__main__":
    report(chain(steps))
