"""Credentials: named where a source is declared, taken from the environment when it reads, and cut out of whatever is said about it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from everloop.core.errors import BadInput, NotFound

_NAMED = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_TELLING = re.compile(
    r"(?i).*(token|secret|passw|pwd|passphrase|signature|credential|api[-_]?key|access[-_]?key|account[-_]?key|authori[sz]ation|cookie|bearer).*"
    r"|sig|key|pw|auth|code|sas|x-amz-.*|x-goog-.*"
)
# What is shorter says nothing by itself, and would black out half a sentence.
_SHORT = 3


def is_secret(name: str) -> bool:
    """Whether what goes by this name (of a parameter, a header, a setting) opens doors."""
    return _TELLING.fullmatch(name) is not None


def is_named(text: str) -> bool:
    return _NAMED.fullmatch(text) is not None


def resolved(text: str, *, of: str) -> str:
    """`text` with the environment's value for each `env:NAME`. `of` says whose it is, for the NotFound when there is none."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise NotFound(f"{of} takes {match[0]} from the environment, where {match[1]} is not set. Set it where everloop runs.")
        return found

    return _NAMED.sub(value, text)


def named_in(*texts: str) -> list[str]:
    """The environment variables that texts speak of."""
    return list(dict.fromkeys(name for text in texts for name in _NAMED.findall(text)))


def refuse_secret(url: str, *, of: str) -> None:
    """BadInput when a URL in a declaration holds a password or a token: declarations are kept, compared and shown. The message holds none."""
    if is_named(url):
        return
    try:
        parts = urlsplit(url)
        held = "a password" if parts.password else ""
    except ValueError:
        raise BadInput(
            f"{of}: this is no URL. Expected one such as https://host/table.csv, or 'env:NAME' for one in the environment."
        ) from None
    told = [name for name, value in parse_qsl(parts.query) if is_secret(name) and value]
    held = held or (f"the value of {told[0]}" if told else "")
    if held:
        raise BadInput(
            f"{of}: the URL for {parts.hostname or 'it'} holds {held}, and what a source is declared with is kept and shown. "
            "Put the whole URL into an environment variable, and name that: 'env:NAME'."
        )


def secrets_of(url: str) -> tuple[str, ...]:
    """The parts of a URL from the environment that nobody should read: all of it, its password, the values in its query."""
    try:
        parts = urlsplit(url)
        raw = parts.netloc.rpartition("@")[0].partition(":")[2]
    except ValueError:
        return (url,)
    values = [value for _, value in parse_qsl(parts.query, keep_blank_values=False)]
    return tuple(dict.fromkeys([url, parts.query, raw, unquote(raw), *values]))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """`text` with each of the secrets blacked out, the longest first."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) > _SHORT:
            text = text.replace(secret, "…")
    return text
