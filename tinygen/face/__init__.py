"""What makes the engine PyTorch to its callers: checked arguments, explained errors, old names."""
