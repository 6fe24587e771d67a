"""The pages: queries in, HTML out. Only the page for labelling has a script, for its keys, and works without it."""

from everloop.server.web.pages import install

__all__ = ["install"]
