"""Fakes and conformance suites for people who write an adapter."""
