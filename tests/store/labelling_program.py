"""What test_store_annotations.py runs in processes: a labeller who works until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everloop.data.labelling import desk
from everloop.store.workspace import Workspace


def label_all(say: Callable[[Any], None], url: str, home: Path, person: str, gate: Path) -> None:
    """Says (row, seq) of each label once it was committed. Every second answer is sent twice, as an impatient browser does."""
    with Workspace(home, home=home, database_url=url) as workspace:
        say("ready")
        while not gate.exists():
            time.sleep(0.002)
        number = 0
        while True:
            with workspace.write() as tx:
                lent = desk.lend(tx, "sms", person, now=time.time())
            if lent is None:
                return
            number += 1
            for _ in range(1 + number % 2):
                with workspace.write() as tx:
                    made = desk.answer(
                        tx, "sms", row=lent.row, person=person, action="label", value="spam", token=f"{person}-{number}", now=time.time()
                    )
            say((made.row, made.seq))
