"""Nothing heavy until needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["numpy", "pandas", "polars", "mlflow", "sklearn", "torch", "ray", "fastapi", "sqlalchemy", "scipy", "pyarrow", "rich"]


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import everloop",
        "import everloop; everloop.step; everloop.pipeline; everloop.Loop",
        "import everloop.cli",
        "import everloop.cli\ntry:\n    everloop.cli.main(['--help'])\nexcept SystemExit: pass",
        "import everloop.cli\ntry:\n    everloop.cli.main(['run', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded_by(code) == set()


def test_the_check_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import polars, numpy")


def test_every_public_name_is_there() -> None:
    import everloop

    for name in everloop.__all__:
        assert getattr(everloop, name) is not None


def test_a_mistyped_name_gets_the_closest() -> None:
    import everloop

    with pytest.raises(AttributeError, match="Did you mean 'Files'"):
        everloop.Flies  # type: ignore[attr-defined]
    assert not hasattr(everloop, "Flies")
