"""For a machine with a GPU: the card, a session of measurements, loss curves."""
