"""Rows that nobody has labelled -> what people say of them -> labels to learn from."""
