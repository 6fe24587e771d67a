"""One of several processes that run the same pipeline in the same folder; they wait for each other before they begin."""

import os
import sys
import time

from trivial import add_one, report

from everloop import pipeline, step


@step
def slow(value: int) -> int:
    time.sleep(0.02)  # long enough for the others to ask for the same
    return add_one(value)


@pipeline
def chain(steps: int):
    value = 0
    for _ in range(steps):
        value = slow(value)
    return value


if __name__ == "__main__":
    steps, folder, go = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    os.chdir(folder)
    open(f"{go}.{os.getpid()}", "w").close()
    deadline = time.monotonic() + 60
    while not os.path.exists(go):
        if time.monotonic() > deadline:
            sys.exit("nobody said go")
        time.sleep(0.001)
    report(chain(steps))
