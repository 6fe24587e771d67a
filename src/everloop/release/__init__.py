"""Gate verdict -> version -> shadow, canary, champion; rollback."""
