"""`everloop up`: one tree of processes, kept alive: the data plane, the scheduler, the control plane.

A child that ends is started again, at once the first time and ever later when it keeps ending; one that no longer answers its health check
is killed first. Children end with this process, however it ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from everloop.serve.listen import url

# The exit code with which a child asks to be started anew at once: the user's code changed.
RELOAD = 75
# ... and with which it says that the user's code does not import, which ends `up` when it is so from the beginning.
BAD_PROJECT = 4
# Set for a child that was started before.
STARTED_BEFORE = "EVERLOOP_STARTED_BEFORE"

_PR_SET_PDEATHSIG = 1
_HEALTHY_AFTER_S = 30.0
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_HEALTH_EVERY_S = 5.0
_HEALTH_TIMEOUT_S = 5.0
_HEALTH_MISSES = 3
_GRACE_S = 15.0


@dataclass
class Child:
    """One supervised process. `health` is a URL that must answer 200 once it has done so the first time."""

    name: str
    command: Sequence[str]
    health: str = ""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_after: float = 0.0
    failures: int = 0
    starts: int = 0
    answered: bool = False
    misses: int = 0
    checked_at: float = field(default=0.0)


def supervise(children: Sequence[Child], *, say: Callable[[str], None], tick_s: float = 0.2) -> int:
    """Run the children until SIGINT or SIGTERM (0), or until one finds the project unusable at its first start (BAD_PROJECT).

    Must be called from the main thread.
    """
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    try:
        while not stopping:
            for child in children:
                if _tend(child, time.monotonic(), say) == BAD_PROJECT and child.starts == 1:
                    return BAD_PROJECT
            time.sleep(tick_s)
    finally:
        _stop(children, say)
    return 0


def _tend(child: Child, now: float, say: Callable[[str], None]) -> int | None:
    """Start, check or restart one child; its exit code if it has just ended."""
    if child.process is None:
        if now >= child.start_after:
            environment = {**os.environ, **({STARTED_BEFORE: "1"} if child.starts else {})}
            # The supervisor has one thread, so that code between fork and exec is safe.
            child.process = subprocess.Popen(child.command, preexec_fn=_die_with_parent, stdin=subprocess.DEVNULL, env=environment)  # noqa: PLW1509
            child.started_at, child.answered, child.misses = now, False, 0
            child.starts += 1
        return None
    code = child.process.poll()
    if code is not None:
        child.process = None
        if now - child.started_at > _HEALTHY_AFTER_S:
            child.failures = 0
        wait = 0.0 if code == RELOAD else _BACKOFF_S[min(child.failures, len(_BACKOFF_S) - 1)]
        if code == BAD_PROJECT and child.starts == 1:
            return code
        if code != RELOAD:
            child.failures += 1
            say(f"{child.name} ended with {_how(code)}; starting it again" + (f" in {wait:g} s" if wait else ""))
        child.start_after = now + wait
    elif child.health and now - child.checked_at > _HEALTH_EVERY_S:
        child.checked_at = now
        _check(child, say)
    return code


def _check(child: Child, say: Callable[[str], None]) -> None:
    """Kill a child that answered once and then failed several checks in a row; the next round starts it again."""
    try:
        headers = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("EVERLOOP_TOKEN")) else {}
        asked = urllib.request.Request(child.health, headers=headers)  # noqa: S310  # always http://, see tree
        with urllib.request.urlopen(asked, timeout=_HEALTH_TIMEOUT_S) as answer:  # noqa: S310
            healthy = answer.status == 200
    except (urllib.error.URLError, OSError):
        healthy = False
    if healthy:
        child.answered, child.misses = True, 0
        return
    child.misses += child.answered
    if child.misses >= _HEALTH_MISSES and child.process is not None:
        say(f"{child.name} did not answer {child.health} {child.misses} times; killing it")
        child.process.kill()


def _stop(children: Sequence[Child], say: Callable[[str], None]) -> None:
    running = [child for child in children if child.process is not None]
    for child in running:
        assert child.process is not None
        child.process.terminate()
    deadline = time.monotonic() + _GRACE_S
    for child in running:
        assert child.process is not None
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{child.name} did not end within {_GRACE_S:g} s; killing it")
            child.process.kill()
            child.process.wait()


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor is gone, even by `kill -9` (Linux; elsewhere the child outlives it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:
            os._exit(1)


def tree(
    project: str, *, host: str, port: int, workers: int, control_host: str, control_port: int, tick_s: float, runs: int | None = None
) -> list[Child]:
    """The processes of `everloop up`. `runs` is how many runs the scheduler may have going on at once, by default one a core."""
    everloop = [sys.executable, "-m", "everloop"]
    serve = [*everloop, "serve", "--project", project, "--host", host, "--port", str(port), "--workers", str(workers)]
    scheduler = [sys.executable, "-m", "everloop.server.scheduler", project, str(tick_s), *([str(runs)] if runs else [])]
    control = [sys.executable, "-m", "everloop.server.control", project, control_host, str(control_port)]
    return [
        Child("data plane", serve, health=f"{url(host, port)}/healthz"),
        Child("scheduler", scheduler),
        Child("control plane", control, health=f"{url(control_host, control_port)}/healthz"),
    ]
