"""Time, data, findings, a person -> decision -> run."""
