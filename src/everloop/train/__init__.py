"""Prepared -> candidate."""
