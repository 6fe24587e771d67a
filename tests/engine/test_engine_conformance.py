"""The shipped conformance suite, over the executors that need nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.testing import executors
from everloop.testing.executors import Under


@pytest.mark.parametrize("check", executors.CHECKS)
def test_processes(check: str, tmp_path: Path) -> None:
    executors.CHECKS[check](Under("processes", tmp_path))


@pytest.mark.parametrize("check", executors.ANYWHERE)
def test_inline(check: str, tmp_path: Path) -> None:
    executors.ANYWHERE[check](Under("inline", tmp_path))
