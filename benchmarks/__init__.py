"""Benchmarks of kernels, training steps and models, and the tables written from them."""
