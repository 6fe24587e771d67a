"""Schema -> what of it can be checked without a table: patterns, expressions over a row, the row check of a served model."""
