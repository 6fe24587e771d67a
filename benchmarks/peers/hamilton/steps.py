"""Hamilton functions in a chain; with its cache only where results must be kept. The cache reads their source, so they lie in a file."""

import os
import sys
from importlib import import_module

from hamilton import driver
from trivial import report, task

FUNCTION = """

def value_{number}(value_{before}: int) -> int:
    return add_one(value_{before})
"""

if __name__ == "__main__":
    steps, folder, keep = task()
    with open(os.path.join(folder, "chain.py"), "w") as file:
        file.write("from trivial import add_one\n")
        file.writelines(FUNCTION.format(number=number, before=number - 1) for number in range(1, steps + 1))
    sys.path.insert(0, folder)
    builder = driver.Builder().with_modules(import_module("chain"))
    if keep:
        builder = builder.with_cache(path=os.path.join(folder, "cache"))
    result = builder.build().execute([f"value_{steps}"], inputs={"value_0": 0})
    report(result[f"value_{steps}"])
