"""Sums and means, and the dtype they are accumulated in."""
