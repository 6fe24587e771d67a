"""A table taken, and taken again with some rows more: `append` as a new file of a glob, `full` in the one file, which grew."""

import os
import shutil
import sys
from pathlib import Path

from meter import metered, report

from everloop import Files
from everloop.core.ports import Place
from everloop.data.ingest import take
from everloop.store import datasets, records
from everloop.store.workspace import Workspace, using


def taken(workspace, mode):
    """As the ring does it: read, kept, and entered as what the dataset is now."""
    with workspace.read() as tx:
        before = datasets.newest(tx, "orders")
    place = Place("orders", workspace.project, workspace.home)
    snapshot = take(Files("data/*.csv"), dataset="orders", place=place, growth=mode, before=before)
    with workspace.write() as tx:
        records.keep(tx, snapshot)
        datasets.note(tx, snapshot, mode=mode, by="benchmark", project=str(workspace.project))
    return snapshot


def stored(workspace):
    return sum(path.stat().st_size for path in workspace.blobs.folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    mode, first, more = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    os.makedirs("data")
    shutil.copy(first, "data/1.csv")
    with Workspace(".") as workspace, using(workspace):
        with metered():
            before = taken(workspace, mode)
        size = stored(workspace)
        if mode == "append":
            shutil.copy(more, "data/2.csv")
        else:
            with open("data/1.csv", "ab") as file:
                file.write(more.read_bytes().split(b"\n", 1)[1])
        with metered("then_"):
            after = taken(workspace, mode)
        report(rows=before.rows, rows_then=after.rows, bytes=size, new_bytes=stored(workspace) - size)
