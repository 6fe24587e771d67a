"""Deployment -> predictions."""
