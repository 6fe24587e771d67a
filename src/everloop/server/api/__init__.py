"""The pages' JSON twins: queries in, records out."""

from everloop.server.api.routes import install

__all__ = ["install"]
