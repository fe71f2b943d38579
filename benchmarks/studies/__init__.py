"""Single questions, each answered by a command."""
