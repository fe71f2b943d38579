"""Activations: one pass over memory, forward and gradient."""
