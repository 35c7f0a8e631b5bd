"""Evidence from two counts a look: events of the canary and of the baseline.

Of all events in a look a canary whose rate is `margin` times the baseline's has the part

    q = share * margin / (1 - share + share * margin)

where share is its part of the requests. An alternative theta has p in the same way, and a look's factor is
(p/q)^x ((1-p)/(1-q))^y. It needs no rate of its own, so the rate may drift, and the share may change from look to look.

It is an e-process for any rates, also large and unequal ones. With n and m requests, null rates margin*r and r, and
log(1+u) <= u, a look's mean factor is at most exp(n*margin*r*(p/q - 1) + m*r*((1-p)/(1-q) - 1)), whose exponent is 0
because n*margin/m = q/(1-q); further inside of the null hypothesis it is negative. Lindon and Malek 2022,
Anytime-valid inference for multinomial count data, have the exact case of rare events.
"""

from __future__ import annotations

from math import log

from slipway.canary.evidence import Floats, grid

GROWTH = grid(1.05, 20, 25)
"""Alternatives of harm: so many times the null hypothesis's rate."""

FEWER = 8


def better_than(margin: float) -> Floats:
    """Alternatives of no harm: so many times below the margin, to a rate that is two thirds of the baseline's. They
    are few and near, since a canary that is hardly worse is expected, and none that has a twentieth of the errors."""
    return grid(1.05, 1.5 * margin, FEWER)


def part_of(share: float, ratio: float) -> float:
    """The canary's part of all events if its rate is `ratio` times the baseline's."""
    return share * ratio / (1 - share + share * ratio)


def factors(
    canary: int, baseline: int, *, share: float, margin: float, up: bool, growth: Floats, cluster: int = 1
) -> Floats:
    """A look's log factor for each alternative: that the rate is above the margin (`up`), or below it.

    canary, baseline: events. share: the canary's part of the requests, between 0 and 1; known before the events are.
    growth: the alternatives, as multiples of the margin's rate (`up`) or divisors of it.
    cluster: at most so many events come together in one arm; the factors' roots are then valid, by concavity.
    """
    q = part_of(share, margin)
    found = []
    for step in growth:
        p = part_of(share, margin * step if up else margin / step)
        found.append((canary * log(p / q) + baseline * log((1 - p) / (1 - q))) / cluster)
    return tuple(found)


def events_needed(share: float, margin: float, ratio: float, evidence: float) -> float:
    """Events of both arms after which a test of `margin` has so much evidence on average, if the ratio is `ratio`.

    evidence: its logarithm, with what the mixture costs. It is divided by the divergence of one event.
    """
    q, p = part_of(share, margin), part_of(share, ratio)
    gained = p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
    return evidence / gained
