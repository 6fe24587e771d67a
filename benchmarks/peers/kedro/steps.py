"""Kedro nodes in a chain, datasets in memory, sequential runner, without a project around them."""

import logging

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner
from trivial import add_one, report, task


def one(value: int) -> int:
    return add_one(value)


if __name__ == "__main__":
    steps, folder, _ = task()
    logging.getLogger("kedro").setLevel(logging.ERROR)
    nodes = pipeline([node(one, f"value_{i}", f"value_{i + 1}", name=f"one_{i + 1}") for i in range(steps)])
    result = SequentialRunner().run(nodes, DataCatalog({"value_0": MemoryDataset(0)}))
    report(result[f"value_{steps}"].load())
