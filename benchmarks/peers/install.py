"""Each peer into a virtual environment of its own, `.peers/<name>`: `python benchmarks/peers/install.py [NAME ...]`, or `make bench-peers`.

A peer that cannot be installed is named with the reason, here and by each benchmark that looks for it; the others go on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent.parent / ".peers"
TIMEOUT_S = 1800


def known() -> list[str]:
    return sorted(path.parent.name for path in HERE.glob("*/requirements.txt"))


def python_of(peer: str) -> Path:
    return ENVIRONMENTS / peer / "bin" / "python"


def why_not(peer: str) -> str:
    """Why a peer cannot be measured; empty when it can."""
    wanted = (HERE / peer / "requirements.txt").read_text()
    failed = ENVIRONMENTS / f"{peer}.failed"
    if failed.exists():
        return f"could not be installed: {failed.read_text()}"
    if not python_of(peer).exists():
        return "not installed: run `make bench-peers`"
    stamp = ENVIRONMENTS / peer / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        return "installed in another version, or not to the end: run `make bench-peers`"
    return ""


def install(peer: str) -> str:
    """Install one peer with the interpreter that runs this; why it failed, or an empty text."""
    if not why_not(peer):
        return ""
    failed = ENVIRONMENTS / f"{peer}.failed"
    failed.unlink(missing_ok=True)
    folder = ENVIRONMENTS / peer
    shutil.rmtree(folder, ignore_errors=True)
    requirements = HERE / peer / "requirements.txt"
    for command in _commands(folder, requirements):
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
            reason = "" if result.returncode == 0 else _last_line(result.stderr) or f"exit code {result.returncode}"
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
        if reason:
            shutil.rmtree(folder, ignore_errors=True)
            failed.write_text(reason)
            return reason
    (folder / "installed.txt").write_text(requirements.read_text())
    return ""


def _commands(folder: Path, requirements: Path) -> list[list[str]]:
    beside = Path(sys.executable).with_name("uv")
    uv = shutil.which("uv") or (str(beside) if beside.exists() else "")
    python = str(folder / "bin" / "python")
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-r", str(requirements)],
        ]
    return [[sys.executable, "-m", "venv", str(folder)], [python, "-m", "pip", "install", "--quiet", "-r", str(requirements)]]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def main() -> int:
    wanted = sys.argv[1:] or known()
    unknown = [peer for peer in wanted if peer not in known()]
    if unknown:
        print(f"There is no peer {unknown[0]!r}. Known: {', '.join(known())}.", file=sys.stderr)
        return 2
    ENVIRONMENTS.mkdir(exist_ok=True)
    for peer in wanted:
        print(f"{peer}: ", end="", flush=True)
        reason = install(peer)
        print(f"skipped: {reason}" if reason else "installed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
