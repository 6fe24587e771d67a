"""One way to keep a step's result a module."""
