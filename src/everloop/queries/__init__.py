"""The store -> answers that the command line and the pages show alike."""
