"""A query -> tables, a stretch of rows each."""
