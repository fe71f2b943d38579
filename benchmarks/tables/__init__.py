"""The tables of models, written from what their commands measured."""
