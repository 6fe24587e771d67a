"""Predictions and late labels -> window -> findings."""
