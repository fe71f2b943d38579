"""Parameter updates in place."""
