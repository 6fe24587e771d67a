"""`python -m everloop`."""

from everloop.cli import main

main()
