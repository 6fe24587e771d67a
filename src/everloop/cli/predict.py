"""`everloop predict`: score a file with a registered version, by the same model and transform that answer online."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("loop", help="which loop's model")
    parser.add_argument("--input", required=True, metavar="FILE", help="CSV, JSON, Parquet, Arrow or Excel; a glob takes several files")
    parser.add_argument("--output", metavar="FILE", help="where to write (.csv, .parquet, .jsonl); default: CSV on stdout")
    parser.add_argument("--version", default="champion", help="champion (default), challenger, previous, or a number")


def run(args: Namespace) -> int:
    import sys
    from pathlib import Path

    from everloop.cli.workspace import existing
    from everloop.core.errors import BadInput
    from everloop.core.ports import Place
    from everloop.data.sources.files import Files
    from everloop.data.sources.union import collect
    from everloop.serve.batch import score_frame
    from everloop.store import registry

    with existing(args.project) as workspace:
        with workspace.read() as tx:
            entry = registry.by_alias(tx, args.loop, args.version)
        table = collect(Files(args.input).read(Place(args.loop, Path.cwd(), workspace.home)))
        scored = score_frame(workspace, entry, table)
    suffix = Path(args.output).suffix if args.output else ""
    match suffix:
        case "":
            if not args.json:
                sys.stdout.write(scored.write_csv())
        case ".csv":
            scored.write_csv(args.output)
        case ".parquet":
            scored.write_parquet(args.output)
        case ".jsonl" | ".ndjson":
            scored.write_ndjson(args.output)
        case _:
            raise BadInput(f"Cannot write {args.output!r}: its ending is none of .csv, .parquet, .jsonl.")
    if args.json:
        emit_json(
            {
                "version": entry.name,
                "rows": scored.height,
                "output": args.output,
                "predictions": scored.to_dicts() if not args.output else None,
            }
        )
    say(f"{scored.height} rows scored by {entry.name}")
    return 0
