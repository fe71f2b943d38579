"""Losses in one pass over logits, and log-likelihoods."""
