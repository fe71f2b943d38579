"""On a machine with a GPU: the card, a session of minutes, loss curves."""
