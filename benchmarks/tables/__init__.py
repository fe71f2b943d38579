"""The tables of models, written from measured runs."""
