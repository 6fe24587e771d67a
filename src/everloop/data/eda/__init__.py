"""Snapshot -> a page with plots, and the same in the terminal: exploratory data analysis."""
