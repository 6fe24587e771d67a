"""Templates, and the few ways in which pages write times, ids and metrics. Everything that is put into a page is escaped."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from everloop.core.models import Metric
from everloop.data.labelling.values import text_of
from everloop.queries.figures import size, told

HERE = Path(__file__).parent
_RECORD = re.compile(r"[a-z]+-[0-9a-f]{24}")
_RUN = re.compile(r"run-[0-9a-f]{22}")
_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]*/[0-9]{1,9}")
_PREDICTION = re.compile(r"p-[0-9a-z]+-[0-9a-f]+")


def page(template: str, **content: object) -> str:
    return _environment.get_template(template).render(content)


def error_page(status: int, phrase: str, sentence: str) -> str:
    return page("error.html", status=status, phrase=phrase, sentence=sentence)


def moment(at: float | None) -> str:
    """`2026-11-20 03:12:08`, UTC: a page is sent to colleagues elsewhere."""
    return "" if not at else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(at: float | None, now: float) -> str:
    if not at:
        return ""
    seconds = round(now - at)
    return "just now" if seconds == 0 else f"{_units(seconds)} ago" if seconds > 0 else f"in {_units(-seconds)}"


def span(start: float | None, end: float | None) -> str:
    """A duration in at most two units: `8 ms`, `0.42 s`, `3 min 2 s`, `2 d 5 h`."""
    if start is None or end is None:
        return ""
    seconds = max(0.0, end - start)
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    return _units(round(seconds))


def _units(whole: int) -> str:
    for large, name, small, minor in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name}" + (f" {rest} {minor}" if rest else "")
    return f"{whole} s"


def short(id: str) -> str:
    """Enough of an id to tell it from others by eye."""
    kind, _, rest = id.rpartition("-")
    if kind and len(rest) >= 20 and kind != "run":
        return f"{kind}-{rest[:10]}"
    return id[:12] if re.fullmatch(r"[0-9a-f]{64}", id) else id


def number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def interval(metric: Metric) -> str:
    """`0.941 to 0.979`, empty when the metric has none."""
    return "" if metric.low is None or metric.high is None else f"{metric.low:.4g} to {metric.high:.4g}"


def pretty(value: object, limit: int = 20_000) -> str:
    """JSON to read; cut where it gets too long for a page."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
    return text if len(text) <= limit else text[:limit] + "\n… cut here; the JSON twin of this page has all of it"


def explainable(id: str) -> bool:
    """Whether /why can be asked about it: a record, decision, run, version or prediction, and no source or bare digest."""
    return any(shape.fullmatch(id) for shape in (_RECORD, _RUN, _VERSION, _PREDICTION))


_environment = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters |= {
    "moment": moment,
    "ago": ago,
    "short": short,
    "number": number,
    "interval": interval,
    "pretty": pretty,
    "label": text_of,
    "size": size,
    "told": told,
}
_environment.globals |= {"span": span}
_environment.tests["explainable"] = explainable
