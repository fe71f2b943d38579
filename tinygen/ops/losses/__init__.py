"""Losses, distances and likelihoods."""
