"""MLflow: the model format (written and read without importing it), the tracker and the registry."""
