"""The loop closing on real images: a story whose every line is an assertion."""
