"""A call's body in the run's own process and thread, tried again as often as its step allows."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.engine import logs, retry, scope, work
from everloop.engine.handle import Handle, resolve

if TYPE_CHECKING:
    from everloop.engine.call import Call


def run_body(call: Call, *, log: Path, progress: Callable[[float, float | None], None]) -> object:
    """What the body returned; what it raised the last time comes out. `call.attempt` counts."""
    token = scope.progress.set(progress)
    try:
        call.attempt = 1
        while True:
            try:
                values = _values(call)
                with logs.captured(log):
                    return work.run_body(call.step, values)
            except Exception as error:
                if not retry.again(call.step.settings, attempt=call.attempt, error=error):
                    raise
                time.sleep(retry.delay_s(call.step.settings, attempt=call.attempt, chance=random.random()))  # noqa: S311
                call.attempt += 1
    finally:
        scope.progress.reset(token)


def _values(call: Call) -> dict[str, Any]:
    """Arguments of its own for a body, as it would have in a worker: what it changes in place, nobody else sees."""
    values = {name: resolve(value, Handle[Any].fresh) for name, value in call.arguments.items()}
    for name in call.key.watched.forms if call.key is not None else ():
        # Where there is no copy, the original is compared after the body.
        with suppress(Exception):
            values[name] = copy.deepcopy(values[name])
    return values
