"""A project's loop, run once in a scratch workspace: what a project's own tests assert on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.models import Candidate, Evaluation
from everloop.core.runs import Run
from everloop.core.tables import Snapshot

if TYPE_CHECKING:
    from everloop.project import Loop
    from everloop.store.workspace import Workspace


@dataclass(frozen=True)
class Rehearsal:
    """One finished run. `executed` are the steps whose bodies ran, `candidate` and `evaluation` None when it did not come that far."""

    run: Run
    executed: tuple[str, ...]
    snapshot: Snapshot | None
    candidate: Candidate | None
    evaluation: Evaluation | None


def rehearse(project: Path | str, *, home: Path, loop: str | None = None, params: dict[str, object] | None = None) -> Rehearsal:
    """Run one cycle of the project's loop, keeping everything under `home` (a test's tmp_path) instead of the project's own workspace.

    An exception of the project's own code comes out as it is.
    """
    from everloop.runner import perform, request
    from everloop.store import records, runs

    with open_rehearsed(project, home=home, loop=loop) as (workspace, chosen):
        run = perform(workspace, chosen, request(workspace, chosen.name, options={"params": params or {}}, foreground=True))
        with workspace.read() as tx:
            steps = runs.steps_of(tx, run.id)

            def made(name: str) -> str:
                return str(run.result.get(name, ""))

            return Rehearsal(
                run=run,
                executed=tuple(step.name for step in steps if step.status == "done"),
                snapshot=records.load(tx, made("snapshot"), Snapshot) if made("snapshot") else None,
                candidate=records.load(tx, made("candidate"), Candidate) if made("candidate") else None,
                evaluation=records.load(tx, made("evaluation"), Evaluation) if made("evaluation") else None,
            )


@contextmanager
def open_rehearsed(project: Path | str, *, home: Path, loop: str | None = None) -> Iterator[tuple[Workspace, Loop]]:
    """The scratch workspace under `home`, and the project's loop."""
    from everloop.project import choose, load
    from everloop.store.workspace import Workspace

    chosen = choose(load(project), loop)
    with Workspace(
        project,
        home=home / "everloop",
        database_url=f"sqlite:///{home / 'everloop' / 'everloop.db'}",
        blobs=str(home / "everloop" / "blobs"),
    ) as workspace:
        yield workspace, chosen
