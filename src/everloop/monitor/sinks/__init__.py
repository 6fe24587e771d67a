"""A page -> a person. One sink a module: `deliver(page, *, home)`, found by name in the entry-point group `everloop.sinks`."""
