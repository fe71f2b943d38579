"""The tape: Tensors, recorded operations, and the sweep that differentiates them."""
