"""Conditions other than an idle machine and all its threads, and where results on this machine are kept."""
