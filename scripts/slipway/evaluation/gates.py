"""Gates: a rule of the policy turns an interval into one of three verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

from scipy import special

from slipway.evaluation.formulas import Interval, normal_quantile
from slipway.evaluation.sampling import Sampling
from slipway.policy.rules import MetricRule
from slipway.report import Verdict

POWER = 0.8
"""Chance to settle a gate with the number of rows that is named, if the value stays what it is."""


@dataclass(frozen=True)
class Gate:
    """A limit that an interval must lie on the right side of.

    text: the rule in short. relative: whether it is about the difference to production, or about the candidate alone.
    limit: in the metric's own unit and direction. above: whether the right side is above it.
    strict: whether a value on the limit itself is on the wrong side.
    """

    text: str
    relative: bool
    limit: float
    above: bool
    strict: bool = False

    def decide(self, interval: Interval) -> Verdict:
        """Pass: all of the interval is on the right side. Fail: none of it is. Else inconclusive."""
        # Turned so that more is better: `worst` and `best` are the interval's ends as seen from the limit.
        worst = interval.low - self.limit if self.above else self.limit - interval.high
        best = interval.high - self.limit if self.above else self.limit - interval.low
        if worst > 0 or (worst == 0 and not self.strict):
            return Verdict.PASS
        if best < 0 or (best == 0 and self.strict):
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE

    def p_beyond(self, interval: Interval) -> float:
        """One-sided p-value of the rule being kept: small where the rows say that the value is on the wrong side."""
        under, up_to = interval.below(self.limit)
        if self.above:
            return 1 - (up_to if self.strict else under)
        return under if self.strict else up_to

    def p_clear(self, interval: Interval) -> float:
        """One-sided p-value of the rule being broken: small where the rows say that the value is on the right side."""
        return 1 - self.p_beyond(interval)


def gates_of(rule: MetricRule, *, greater_is_better: bool) -> list[Gate]:
    """The gates of a metric's rule, relative ones first."""
    sign = 1 if greater_is_better else -1
    gates = []
    if rule.margin is not None:
        gates.append(Gate(f"not worse by {rule.margin:.12g}", True, _plain(-sign * rule.margin), greater_is_better))
    if rule.better_by is not None:
        text = f"better by {rule.better_by:.12g}" if rule.better_by else "better"
        gates.append(Gate(text, True, _plain(sign * rule.better_by), greater_is_better, strict=True))
    if rule.min is not None:
        gates.append(Gate(f"at least {rule.min:.12g}", False, rule.min, above=True))
    if rule.max is not None:
        gates.append(Gate(f"at most {rule.max:.12g}", False, rule.max, above=False))
    return gates


def _plain(limit: float) -> float:
    return limit or 0.0  # people would read "-0"


def too_few(sampling: Sampling, min_rows: int) -> str:
    """Why no gate can judge so small a holdout; empty where it is large enough."""
    if sampling.rows >= min_rows:
        return ""
    return f"the holdout has {sampling.rows:,} rows, and the policy asks for {min_rows:,}"


def detectable(interval: Interval, *, confidence: float) -> float:
    """Minimum detectable effect: the smallest change that these rows show with 80 % power, in the metric's unit.

    (z_confidence + z_power) * standard error (Cohen 1988); with rows_to_settle solved for the distance.
    """
    return (normal_quantile(confidence) + float(special.ndtri(POWER))) * interval.standard_error


def rows_to_settle(interval: Interval, limit: float, *, rows: int, confidence: float) -> int | None:
    """Rows after which the interval would clear `limit` with 80 % power if the value stays where it is.

    rows ((z_confidence + z_power) * standard error / distance)^2, since the standard error falls with sqrt(rows).
    None where the value lies so near to the limit that no reasonable number would do.
    """
    distance = abs(interval.value - limit)
    z = normal_quantile(confidence) + float(special.ndtri(POWER))
    needed = rows * (z * interval.standard_error / distance) ** 2 if distance else inf
    return ceil(needed) if needed <= 1000 * rows else None
