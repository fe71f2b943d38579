"""Convolution and its two transposes."""
