"""Pooling, and upsampling by repetition."""
