"""How many cores and how much memory there are, and whether the kernel had to kill for want of memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MB = 1e6


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Memory:
    """Of the machine, or of the control group (cgroup v2) where that allows less. `root` and `proc` are the kernel's own folders."""

    def __init__(self, root: Path = _CGROUPS, proc: Path = Path("/proc")) -> None:
        self._groups = _groups(root, proc)
        self._vmstat = proc / "vmstat"
        limits = [float(text) for group in self._groups if (text := _read(group / "memory.max").strip()).isdigit()]
        self.total_mb = min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *limits]) / _MB
        self._kills = self._counted()

    def was_short(self, peak_mb: float) -> bool:
        """Whether a process that had used so much and was killed just now was killed for memory, probably."""
        before, self._kills = self._kills, self._counted()
        in_group, anywhere = (now > then for now, then in zip(self._kills, before, strict=True))
        return in_group or peak_mb >= 0.5 * self.total_mb or (anywhere and peak_mb >= 0.1 * self.total_mb)

    def _counted(self) -> tuple[int, int]:
        """Kills for memory in our control group, and on the whole machine, since they began to count."""
        return (_count(self._groups[0] / "memory.events") if self._groups else 0), _count(self._vmstat)


def _groups(root: Path, proc: Path) -> list[Path]:
    """Our control group and those around it, innermost first."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        if line.startswith("0::/"):
            inner = root / line.removeprefix("0::/")
            return [group for group in (inner, *inner.parents) if group.is_relative_to(root)]
    return []


def _count(path: Path) -> int:
    found = [line.split()[1] for line in _read(path).splitlines() if line.startswith("oom_kill ")]
    return int(found[0]) if found else 0


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""
