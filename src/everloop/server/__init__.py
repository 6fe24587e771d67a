"""Control plane: the pages and the API over the same queries as the command line."""
