"""Runs the user's training command and records all that a rebuild needs."""
