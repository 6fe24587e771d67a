"""Connectors: where rows come from, each behind the `Source` port."""
