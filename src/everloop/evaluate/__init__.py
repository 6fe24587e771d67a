"""Candidate -> evaluation -> gate verdict."""
