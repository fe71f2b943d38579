"""Exploring a model's latent space: walks between images, and attributes added to them."""
