"""Evidence from two rates that need not be small: block e-variables.

A look is a block of n requests of the canary and m of the baseline. The likelihood of an alternative (c, b), chosen
before the look, is divided by that of the null hypothesis which is nearest to it: the point (margin*t, t) with the
least n*KL(c, margin*t) + m*KL(b, t). That is an e-variable for the whole null hypothesis, since it is convex. Turner,
Ly and Grünwald 2024, Generic e-variables for exact sequential k-sample tests (arXiv 2106.02693), with margin 1, where t
is the mean rate (n*c + m*b)/(n + m).
"""

from __future__ import annotations

from math import log, sqrt

from pydantic import BaseModel, ConfigDict

PRIOR = 0.18
"""Added to errors, twice to requests: the paper's, by which early looks say little."""

MOST = 0.999
KEPT = 0.5
"""Part of what is known of the rate that is carried to the next look: rates drift, ratios hardly."""


class Learned(BaseModel):
    """What earlier looks say of the next: the ratio by the looks' own shares (Mantel and Haenszel), and the rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    canary: float = 0.0
    baseline: float = 0.0
    """Sums over looks of x*m/(n+m) and y*n/(n+m); their quotient is the ratio, whatever the rates did."""

    errors: float = 0.0
    requests: float = 0.0
    """Of the newest looks, as if all were the baseline's."""

    @property
    def ratio(self) -> float:
        """The canary's rate over the baseline's."""
        return (self.canary + 0.5) / (self.baseline + 0.5)

    @property
    def alternative(self) -> tuple[float, float]:
        """The rates of canary and baseline that are expected."""
        rate = (self.errors + PRIOR) / (self.requests + 2 * PRIOR)
        return min(self.ratio * rate, MOST), min(rate, MOST)

    def after(self, canary: tuple[int, int], baseline: tuple[int, int]) -> Learned:
        """With one more look: errors and requests of each arm."""
        (x, n), (y, m) = canary, baseline
        summed = self.model_copy(
            update={"canary": self.canary + x * m / (n + m), "baseline": self.baseline + y * n / (n + m)}
        )
        return summed.model_copy(
            update={
                "errors": KEPT * self.errors + x + y,
                "requests": KEPT * self.requests + m + n * summed.ratio,
            }
        )


def nearest(alternative: tuple[float, float], sizes: tuple[int, int], margin: float) -> tuple[float, float]:
    """The point (margin*t, t) that is nearest to the alternative, in the sense above. sizes: n and m."""
    (c, b), (n, m) = alternative, sizes
    if margin == 1:
        t = (n * c + m * b) / (n + m)
        return t, t
    # Where its derivative is zero: margin*(n+m)*t² - (n*(margin+c) + m*(1+margin*b))*t + n*c + m*b = 0.
    square, linear, constant = margin * (n + m), n * (margin + c) + m * (1 + margin * b), n * c + m * b
    t = 2 * constant / (linear + sqrt(max(0.0, linear**2 - 4 * square * constant)))
    return margin * t, t


def factor(
    canary: tuple[int, int],
    baseline: tuple[int, int],
    *,
    alternative: tuple[float, float],
    margin: float,
    up: bool,
    cluster: int = 1,
) -> float:
    """A look's log factor; 0 where the alternative that was expected is part of the null hypothesis.

    canary, baseline: errors and requests. cluster: as for `counts.factors`.
    """
    (x, n), (y, m), (c, b) = canary, baseline, alternative
    if (c <= margin * b) if up else (c >= margin * b):
        return 0.0
    c0, b0 = nearest(alternative, (n, m), margin)
    if not (0 < c0 < 1 and 0 < b0 < 1):
        return 0.0
    gained = x * log(c / c0) + (n - x) * log((1 - c) / (1 - c0)) + y * log(b / b0) + (m - y) * log((1 - b) / (1 - b0))
    return gained / cluster
