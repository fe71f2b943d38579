"""The networks of the steps as a user of PyTorch writes them, and their cases: `tinygen bench user-steps`."""
