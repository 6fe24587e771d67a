"""`everloop init`: write a working project: loop.py, its data and a test."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="make a folder of this name (default: write into the folder that --project names)")


def run(args: Namespace) -> int:
    from string import Template

    from everloop.core.errors import Broken, Conflict

    folder = Path(args.project) / (args.name or "")
    name = _loop_name(folder.absolute().name)
    template = Path(__file__).parent / "template"
    files = {path.relative_to(template): path.read_text() for path in sorted(template.rglob("*.py"))}
    taken = [str(path) for path in (*files, Path("data")) if (folder / path).exists()]
    if taken:
        raise Conflict(
            f"{folder.absolute()} has {', '.join(taken)} already; nothing was written. Choose another folder: everloop init NAME."
        )
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(Template(text).substitute(name=name))
        (folder / "data").mkdir()
        _write_data(folder / "data" / "cells.csv")
        if not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text(".everloop/\n__pycache__/\n")
    except OSError as error:
        raise Broken(f"{folder.absolute()} cannot be written ({error.strerror}). Make it writable, or choose another folder.") from error
    written = [str(path) for path in (*files, Path("data/cells.csv"))]
    if args.json:
        emit_json({"folder": str(folder.absolute()), "loop": name, "files": written})
        return 0
    print("\n".join(str(folder / path) for path in written))
    go = f"cd {folder} && " if args.name else ""
    say("", f"Next: {go}everloop run   (one cycle), then everloop up   (serve, watch and retrain)")
    return 0


def _loop_name(text: str) -> str:
    import re

    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:63] or "model"


def _write_data(path: Path) -> None:
    """569 real cell measurements (UCI breast cancer Wisconsin, diagnostic), which scikit-learn carries in its package: a table to begin with."""
    import csv

    from everloop.data.samples import sample

    with sample("breast_cancer.csv").open(newline="") as source, path.open("w", newline="") as target:
        rows = csv.reader(source)
        _count, _width, *classes = next(rows)
        writer = csv.writer(target)
        writer.writerow([*_FEATURES, "diagnosis"])
        writer.writerows([*row[:-1], classes[int(row[-1])]] for row in rows)


_MEASURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)
_FEATURES = [f"{kind}_{measure}" for kind in ("mean", "error", "worst") for measure in _MEASURES]
