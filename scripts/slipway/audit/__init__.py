"""Answers from the ledger and the registry: what happened, what was live, what is known of a version."""
