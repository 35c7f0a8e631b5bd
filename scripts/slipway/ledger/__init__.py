"""The audit trail: an append-only, hash-chained series of entries on a git branch of its own."""

from slipway.ledger.entries import Draft, Entry, Evidence, Justification, Subject
from slipway.ledger.store import Ledger, Receipt

__all__ = ["Draft", "Entry", "Evidence", "Justification", "Ledger", "Receipt", "Subject"]
