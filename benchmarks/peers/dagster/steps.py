"""Dagster ops in one job, executed in the process, on an instance in memory: without its event log on disk, which costs more."""

from dagster import DagsterInstance, job, mem_io_manager, op
from trivial import add_one, report, task


@op
def zero() -> int:
    return 0


@op
def one(value: int) -> int:
    return add_one(value)


if __name__ == "__main__":
    steps, folder, _ = task()

    @job(resource_defs={"io_manager": mem_io_manager})
    def chain():
        value = one.alias("one_1")(zero())
        for number in range(2, steps + 1):
            value = one.alias(f"one_{number}")(value)

    with DagsterInstance.ephemeral() as instance:
        result = chain.execute_in_process(instance=instance)
        report(result.output_for_node(f"one_{steps}"))
