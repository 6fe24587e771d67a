"""What a user declares, and how it is found: `Loop`, and the `loop.py` that holds it."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from everloop.core.errors import BadInput, BadProject, EverloopError, unknown

if TYPE_CHECKING:
    from everloop.core.ports import Source
    from everloop.data.growth import Growth
    from everloop.data.prepare import Split
    from everloop.evaluate.gates import Gate
    from everloop.release.rollout import Rollout
    from everloop.trigger.triggers import Trigger

FILE = "loop.py"
_MODULE = "loop"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Loop:
    """One model's whole life, declared.

    - `source`: where rows come from, such as `Files("data/*.csv")`; `+ Feedback()` adds captured predictions with their labels.
    - `ingest`: how what the source has now joins what was taken before: "full" (it is all there is), "append", or `Upsert("id")`.
    - `target`: the column to predict. `drop` names columns that are no features.
    - `model`: an unfitted scikit-learn estimator, or a training function `(train, valid, params, run) -> fitted model`.
    - `metrics`: names; the first one decides the task and is the one that is watched.
    - `gates`: what a candidate must hold to become a version; by default better than a dummy and no worse than the champion.
    - `triggers`: when to run again by itself. `rollout`: how a version comes to answer.
    - `params`: passed to the model; `everloop run --set name=value` overrides them for one run.
    - `transform`: a `Recipe` or a scikit-learn transformer in place of the default preparation, or "unscaled" to leave numbers as they are. `split`: how rows become train, valid and test.
    - `schema`: the contract of the data, where it is not in `schemas/<name>.json`: a path, a `Schema`, or a Pandera schema.
    - `allow_leakage`: features that may tell all of the target, since they are known before it; others that do stop the run.
    - `slices`: columns whose values are evaluated one by one. `window_rows`: how many predictions make a monitoring window.
    - `approval`: a question that a person answers (`everloop approve`) before a version is released; None asks nobody.
    - `sinks`: where pages to a person go.
    """

    name: str
    source: Source
    target: str
    model: object
    metrics: Sequence[str]
    gates: Sequence[Gate] | None = None
    triggers: Sequence[Trigger] = ()
    rollout: Rollout | None = None
    ingest: Growth = "full"
    drop: Sequence[str] = ()
    params: Mapping[str, object] = field(default_factory=dict)
    transform: object | None = None
    split: Split | None = None
    schema: object | None = None
    allow_leakage: Sequence[str] = ()
    slices: Sequence[str] = ()
    seed: int = 0
    window_rows: int = 500
    approval: str | None = None
    sinks: Sequence[str] = ("console", "file")

    def __post_init__(self) -> None:
        from everloop.data.growth import checked

        if not _NAME.fullmatch(self.name):
            raise BadInput(
                f"Loop name {self.name!r} cannot be used in paths and URLs. Use small letters, digits, '.', '_' and '-', at most 63."
            )
        if isinstance(self.metrics, str) or not self.metrics:
            raise BadInput(f"Loop {self.name!r}: metrics must be a list of at least one name, such as ['accuracy'], not {self.metrics!r}.")
        for what in ("drop", "allow_leakage", "slices", "sinks"):
            if isinstance(getattr(self, what), str):
                raise BadInput(f"Loop {self.name!r}: {what} must be a list of names, not the text {getattr(self, what)!r}.")
        if self.target in self.drop:
            raise BadInput(f"Loop {self.name!r}: the target {self.target!r} is also in drop. Take it out of one of them.")
        checked(self.ingest)
        if self.window_rows < 1:
            raise BadInput(f"Loop {self.name!r}: window_rows must be at least 1, not {self.window_rows}.")

    def with_params(self, changes: Mapping[str, object]) -> Loop:
        """The same loop with some parameters changed."""
        return replace(self, params={**self.params, **changes})


def load(folder: Path | str = ".") -> dict[str, Loop]:
    """The loops that `loop.py` in `folder` declares, by name.

    Raises BadProject when the file is missing, declares no loop, or does not import; then the message is the user's own traceback.
    """
    path = must_exist(folder)
    found: dict[str, Loop] = {}
    for value in vars(_execute(path)).values():
        if isinstance(value, Loop):
            if found.get(value.name, value) is not value:
                raise BadProject(f"{path} declares two loops named {value.name!r}. Give each its own name.")
            found[value.name] = value
    if not found:
        raise BadProject(
            f"{path} declares no loop. It needs a line such as: loop = Loop('name', source=..., target=..., model=..., metrics=[...])."
        )
    return found


def must_exist(folder: Path | str) -> Path:
    """The path of `loop.py` in `folder`. BadProject when there is none."""
    path = Path(folder).absolute() / FILE
    if not path.is_file():
        raise BadProject(f"There is no {FILE} in {path.parent}. Write one with 'everloop init', or go to the folder that has it.")
    return path


def choose(loops: Mapping[str, Loop], name: str | None) -> Loop:
    """The loop named, or the only one there is."""
    if name is not None:
        if name not in loops:
            raise unknown("Loop", name, loops)
        return loops[name]
    if len(loops) > 1:
        raise BadInput(f"{FILE} declares several loops: {', '.join(sorted(loops))}. Say which one with --loop.")
    return next(iter(loops.values()))


def _execute(path: Path) -> ModuleType:
    """Import `loop.py` under the name `loop`, its folder first on the path: the project's own modules are found, and pickled code too."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    previous = sys.modules.get(_MODULE)
    sys.modules[_MODULE] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if previous is not None:
            sys.modules[_MODULE] = previous
        else:
            del sys.modules[_MODULE]
        if isinstance(error, EverloopError):
            raise
        if isinstance(error, (Exception, SystemExit)):
            raise BadProject(f"{path} does not import:\n\n{_users_traceback(error, path.parent)}") from None
        raise
    return module


def _users_traceback(error: BaseException, folder: Path) -> str:
    """The traceback from the user's first line on; ours and the import system's come before it and say nothing."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and not Path(trace.tb_frame.f_code.co_filename).is_relative_to(folder):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
