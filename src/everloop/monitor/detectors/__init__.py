"""A window's evidence and its reference -> a finding. One detector a module, behind the protocol in `detector.py`."""
