"""A Metaflow flow of a linear chain, local metadata and datastore. A second run is `resume`, which clones what is done.

Metaflow demands a first step `start` and a last one `end`; they are the first and the last of the chain, so that two are the least.
"""

import os
import runpy
import sys

from trivial import report, task

HEAD = """
from metaflow import FlowSpec, step
from trivial import add_one, report


class Chain(FlowSpec):
    @step
    def start(self):
        self.value = add_one(0)
        self.next(self.{second})
"""
STEP = """
    @step
    def one_{number}(self):
        self.value = add_one(self.value)
        self.next(self.{after})
"""
TAIL = """
    @step
    def end(self):
        self.value = add_one(self.value)


if __name__ == "__main__":
    Chain()
"""

if __name__ == "__main__":
    steps, folder, _ = task()
    names = [f"one_{number}" for number in range(2, steps)] + ["end"]
    path = os.path.join(folder, "flow.py")
    again = os.path.exists(path)
    if not again:
        middle = "".join(STEP.format(number=number, after=after) for number, after in zip(range(2, steps), names[1:], strict=True))
        with open(path, "w") as file:
            file.write(HEAD.format(second=names[0]) + middle + TAIL)
    os.chdir(folder)
    sys.argv = [path, "--quiet", "--no-pylint", "resume" if again else "run", "--max-workers", "1"]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise
    from metaflow import Flow, namespace

    namespace(None)
    report(Flow("Chain").latest_run["end"].task["value"].data)
