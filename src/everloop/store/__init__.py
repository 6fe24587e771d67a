"""Where things are kept: database tables and their migrations, content-addressed blobs, the ledger of decisions."""
