"""Functions -> memoised steps, whose results are reused while nothing they depend on changed. Knows no ML."""
