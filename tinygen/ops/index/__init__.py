"""Reading, adding to and overwriting elements given by an index; sorting."""
