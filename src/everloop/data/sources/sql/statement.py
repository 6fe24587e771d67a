"""A query as it was written -> one that reads, and can be asked about."""

from __future__ import annotations

import re

from everloop.core.errors import BadInput

# Quoted texts and names, dollar quotes of PostgreSQL, comments; or any other character.
_TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]\n]*\]|(?P<tag>\$\w*\$).*?(?P=tag))"""
    r"""|(?P<comment>--[^\n]*|/\*.*?\*/|(?<!\S)\#[^\n]*)|(?P<other>.)""",
    re.DOTALL,
)
_READS = re.compile(r"(?:select|with|values|table)\b", re.IGNORECASE)
_WHOLE_TABLE = re.compile(r'select \* from (?P<name>"(?:[^"]|"")+"(?:\."(?:[^"]|"")+")*)')


def checked(query: str, *, of: str) -> str:
    """The query without a semicolon behind it. BadInput unless it is one statement that reads; what it calls cannot be seen from here, so whoever
    runs it does so in a transaction that may not write."""
    bare: list[str] = []
    cut = len(query)
    for token in _TOKEN.finditer(query):
        if token["other"] == ";":
            rest = "".join(later["other"] or later["quoted"] or "" for later in _TOKEN.finditer(query, token.end()))
            if rest.strip(" \t\r\n;"):
                raise BadInput(f"{of}: the query has more than one statement. Give one select; a source only reads.")
            cut = token.start()
            break
        bare.append(" " if token["comment"] else token[0])
    begins = "".join(bare).lstrip(" \t\r\n(")
    if not _READS.match(begins):
        first = begins.split(None, 1)[0] if begins.strip() else "nothing"
        raise BadInput(f"{of}: the query begins with {first[:30]!r}. A source only reads: begin with select or with.")
    return query[:cut].strip()


def of_table(name: str) -> str:
    """The query for all rows of a table, `name` or `schema.name`, with its letters as they are."""
    parts = name.split(".")
    if not all(part.strip() and "\0" not in part for part in parts):
        raise BadInput(f"{name!r} is no name of a table. Expected one such as 'rides' or 'public.rides'.")
    return f"select * from {'.'.join(map(quoted, parts))}"  # noqa: S608  # each name is quoted


def quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, mark * 2) + mark


def with_backticks(query: str) -> str:
    """What `of_table` wrote, as MySQL writes it; any other query as it is."""
    match = _WHOLE_TABLE.fullmatch(query)
    if match is None:
        return query
    names = re.findall(r'"((?:[^"]|"")+)"', match["name"])
    return f"select * from {'.'.join(quoted(name.replace(chr(34) * 2, chr(34)), '`') for name in names)}"  # noqa: S608  # each name is quoted


def around(query: str, *, select: str = "*", where: str = "", order: str = "") -> str:
    """A query about the rows of a query, which are called q. The line end is for a comment at its end."""
    behind = (f" where {where}" if where else "") + (f" order by {order}" if order else "")
    return f"select {select} from (\n{query}\n) q{behind}"  # noqa: S608  # names are quoted, values are bound


def newest(query: str, column: str, *, text: str = "") -> str:
    """The query for the largest value of a column and how many rows have it. `text` is put behind the value, to have it as text."""
    largest = around(query, select=f"max(q.{column}) as m")
    ties = around(query, select="count(*)", where=f"q.{column} = t.m")
    return f"select t.m{text}, ({ties}) from ({largest}) t"  # noqa: S608  # names are quoted
