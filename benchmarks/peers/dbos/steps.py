"""DBOS steps in one workflow, on its SQLite. The second run asks for the same workflow id, which answers with what was recorded."""

import os

from dbos import DBOS, SetWorkflowID
from trivial import add_one, report, task


@DBOS.step()
def one(value: int) -> int:
    return add_one(value)


@DBOS.workflow()
def chain(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = one(value)
    return value


if __name__ == "__main__":
    steps, folder, _ = task()
    url = f"sqlite:///{os.path.join(folder, 'dbos.sqlite')}"
    DBOS(config={"name": "chain", "system_database_url": url, "log_level": "ERROR", "application_version": "1"})
    DBOS.launch()
    with SetWorkflowID("chain"):
        value = chain(steps)
    report(value)
    DBOS.destroy()
