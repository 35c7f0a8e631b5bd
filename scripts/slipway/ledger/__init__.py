"""The audit trail: an append-only, hash-chained series of entries on a git branch of its own."""
