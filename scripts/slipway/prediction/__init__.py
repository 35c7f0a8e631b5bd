"""A model's predictions, made in a process and Python environment of its own: models are code."""
