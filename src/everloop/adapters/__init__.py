"""The only place where ML frameworks and trackers are imported; reached by name, through entry points."""
