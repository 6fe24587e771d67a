"""The pages: queries in, HTML out, no script anywhere."""

from everloop.server.web.pages import install

__all__ = ["install"]
