"""A canary over many runs: where its observations come from, and its state in the ledger."""
