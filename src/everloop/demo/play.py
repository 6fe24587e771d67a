"""A fresh project, its processes, and the chapters one after the other."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everloop.core.errors import Conflict
from everloop.demo.chapters import CHAPTERS, conclude
from everloop.demo.stage import Stage
from everloop.demo.story import Story
from everloop.store.workspace import Workspace

_PROJECT_FILES = ("loop.py",)
_MARK = ".everloop-demo"


def begin(folder: Path) -> None:
    """A fresh project in `folder`. A demo's own earlier folder is replaced; anything else is left alone."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise Conflict(f"{folder} is there already and is no earlier demo. Give another place with --folder.")
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "stream").mkdir(parents=True)
    (folder / _MARK).write_text("made by 'everloop demo', which replaces this folder when it is run again\n")
    source = Path(__file__).parent / "project"
    for name in _PROJECT_FILES:
        shutil.copy(source / name, folder / name)


def play(folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """The whole story in `folder`: its facts. Raises Unproven at the first line that does not hold."""
    started = time.monotonic()
    begin(folder)
    with (
        Stage(folder) as stage,
        Workspace(
            folder, home=folder / ".everloop", database_url=_database(folder), blobs=str(folder / ".everloop" / "blobs")
        ) as workspace,
    ):
        story = Story(stage, workspace, tell)
        try:
            for chapter in CHAPTERS:
                chapter(story)
            facts = conclude(story, started)
        finally:
            story.traffic.close()
    facts["memory_mb"] = round(stage.memory.peak_bytes / 1e6)
    return facts


def _database(folder: Path) -> str:
    return f"sqlite:///{folder / '.everloop' / 'everloop.db'}"
