"""Questions that are each answered by one command."""
