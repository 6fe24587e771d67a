"""PyTorch tensors, state dicts and modules <-> artifacts of steps."""
