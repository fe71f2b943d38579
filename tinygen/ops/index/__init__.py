"""Picking, adding to and overwriting elements at places given by an index; sorting."""
