"""Brings an environment to what is on record: ledger, registry and target, step by step."""
