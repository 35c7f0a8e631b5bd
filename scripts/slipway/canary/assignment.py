"""Whether requests reach the two versions as the traffic was set: a sample-ratio mismatch makes a look worthless.

Requests are events whose part of the canary is known. Under the null hypothesis its odds are within `tolerance` of what
was set; evidence for more is one e-process, for less another, and their mean is evidence of either. Lindon and Malek
2022, Anytime-valid inference for multinomial count data, with a tolerance for routing that is not exactly random.
"""

from __future__ import annotations

from slipway.canary import counts
from slipway.canary.evidence import Floats, carried_on, grid, log_mean
from slipway.canary.metrics import State

GROWTH = grid(1.02, 20, 15)
NOTHING: Floats = (0.0,) * len(GROWTH)


class AssignmentState(State):
    """Evidence of too many requests of the canary, and of too few, within one stage."""

    more: Floats = NOTHING
    fewer: Floats = NOTHING
    canary: int = 0
    baseline: int = 0

    def after(self, canary: int, baseline: int, *, share: float, tolerance: float) -> AssignmentState:
        """With one more look's requests. share: of the canary, as the traffic was set."""
        more, fewer = (
            counts.factors(
                canary,
                baseline,
                share=share,
                margin=1 + tolerance if up else 1 / (1 + tolerance),
                up=up,
                growth=GROWTH,
            )
            for up in (True, False)
        )
        return AssignmentState(
            more=carried_on(self.more, more),
            fewer=carried_on(self.fewer, fewer),
            canary=self.canary + canary,
            baseline=self.baseline + baseline,
        )

    @property
    def evidence(self) -> float:
        """Logarithm of the evidence that the traffic is not as it was set."""
        return log_mean((*self.more, *self.fewer))

    @property
    def share(self) -> float:
        """The canary's share of the requests in this stage; 0 where there were none."""
        return self.canary / (self.canary + self.baseline) if self.canary + self.baseline else 0.0
