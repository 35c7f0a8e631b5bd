"""Gates: a rule of the policy and an interval give one of three verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite

from scipy import special

from slipway.evaluation.intervals import Interval, normal_quantile
from slipway.report.model import Verdict

POWER = 0.8
"""Chance to settle a gate with the number of rows that is named, if the difference is what was measured."""


@dataclass(frozen=True)
class Decision:
    """A gate's verdict in words and numbers.

    boundary: what the interval must clear, in the metric's own unit and direction.
    rows_needed: how many rows of the same kind would probably settle it; None where it is settled, or no number would.
    """

    gate: str
    verdict: Verdict
    boundary: float
    reason: str
    rows_needed: int | None = None


def not_worse(difference: Interval, margin: float, *, greater_is_better: bool) -> tuple[Verdict, float]:
    """Non-inferiority. Pass: the whole interval is above a loss of `margin`; fail: all of it lies beyond."""
    low, high = _gain(difference, greater_is_better)
    verdict = _settle(passed=low >= -margin, failed=high < -margin)
    return verdict, -margin if greater_is_better else margin


def better(difference: Interval, by: float, *, greater_is_better: bool) -> tuple[Verdict, float]:
    """Superiority. Pass: the whole interval is above a gain of `by`; fail: none of it is."""
    low, high = _gain(difference, greater_is_better)
    verdict = _settle(passed=low > by, failed=high <= by)
    return verdict, by if greater_is_better else -by


def at_least(value: Interval, bound: float) -> Verdict:
    """Absolute floor on the candidate's own value."""
    return _settle(passed=value.low >= bound, failed=value.high < bound)


def at_most(value: Interval, bound: float) -> Verdict:
    """Absolute ceiling on the candidate's own value."""
    return _settle(passed=value.high <= bound, failed=value.low > bound)


def rows_to_settle(interval: Interval, boundary: float, rows: int, confidence: float) -> int | None:
    """Rows after which the interval would clear `boundary` with 80 % power if the value stays where it is.

    n' = n ((z_confidence + z_power) * standard error / distance)^2, since the standard error falls with sqrt(n).
    None where the value lies on the boundary, so that no number of rows would settle it.
    """
    distance = abs(interval.value - boundary)
    if distance == 0:
        return None
    factor = (normal_quantile(confidence) + float(special.ndtri(POWER))) * interval.standard_error / distance
    needed = rows * factor**2
    return ceil(needed) if isfinite(needed) and needed < 1e12 else None


def _gain(difference: Interval, greater_is_better: bool) -> tuple[float, float]:
    """The interval turned so that more is better."""
    if greater_is_better:
        return difference.low, difference.high
    return -difference.high, -difference.low


def _settle(*, passed: bool, failed: bool) -> Verdict:
    if passed:
        return Verdict.PASS
    return Verdict.FAIL if failed else Verdict.INCONCLUSIVE
