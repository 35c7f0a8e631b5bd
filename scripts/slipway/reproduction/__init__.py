"""Rebuilds a registered model from what is recorded of it, says how well the two match, and why they do not."""
