"""Deployment -> predictions: online over HTTP with capture, in batches, and replayed."""
