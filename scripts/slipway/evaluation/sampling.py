"""How the rows that judge were sampled."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.evaluation.outcomes import Integers


@dataclass(frozen=True)
class Sampling:
    """How the rows were sampled, and the level of the intervals.

    clusters: (rows,) positions 0..n-1 of the group that each row belongs to, or None where rows are independent.
    seed: of what draws at random (the search for the worst slice, disturbances): the same inputs, the same report.
    """

    rows: int
    confidence: float = 0.95
    clusters: Integers | None = None
    seed: int = 0

    @property
    def units(self) -> int:
        """How many independent units there are."""
        return self.rows if self.clusters is None else int(self.clusters.max()) + 1
