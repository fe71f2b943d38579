"""Runs: their folder, checkpoints, flags, progress and pictures."""
