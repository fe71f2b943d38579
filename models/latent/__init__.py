"""Walks and attributes in the space of z."""
