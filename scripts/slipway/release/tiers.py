"""From differences to a tier: each kind has one by the policy, the highest counts, a label may only raise it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from slipway.policy.deployment import PRODUCTION
from slipway.policy.model import Policy
from slipway.policy.release import TIERS, Environment, Release, Tier
from slipway.release.differences import Difference, matches
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Rated:
    """A difference and its tier."""

    difference: Difference
    tier: Tier


@dataclass(frozen=True)
class Assessment:
    """The tier of a release and why. rated: every difference, the highest tier first."""

    tier: Tier
    rated: tuple[Rated, ...]
    reasons: tuple[str, ...]


def assess(found: Sequence[Difference], rules: Release, labels: Sequence[str], *, inside_envelope: bool) -> Assessment:
    """The tier of what was found. Nothing at all is low: the same model again.

    inside_envelope: whether a declared envelope covers the retraining that brought the new data; it speaks of data
    alone, so anything else that differs keeps its own tier.
    """
    rated = [Rated(each, tier_of(each, rules, inside_envelope=inside_envelope)) for each in found]
    rated.sort(key=lambda each: -TIERS.index(each.tier))
    highest = highest_of(each.tier for each in rated)
    reasons = [_because(highest, rated)]
    if inside_envelope and any(each.difference.kind == "data" for each in rated):
        reasons.append("The new data came by a retraining inside of the declared envelope.")
    raised = {name: rules.labels[name] for name in labels if name in rules.labels}
    for name, tier in raised.items():
        if TIERS.index(tier) > TIERS.index(highest):
            reasons.append(f"The label `{name}` raises it to {tier}.")
    return Assessment(highest_of([highest, *raised.values()]), tuple(rated), tuple(reasons))


def highest_of(tiers: Iterable[Tier]) -> Tier:
    """The highest of some tiers; low where there is none."""
    return max(tiers, key=TIERS.index, default="low")


def tier_of(difference: Difference, rules: Release, *, inside_envelope: bool) -> Tier:
    """The tier of one difference by the policy."""
    if difference.kind == "data" and inside_envelope:
        return rules.tiers.envelope
    if difference.kind == "code":
        for pattern, tier in rules.paths.items():
            if matches(difference.name, [pattern]):
                return tier
    if difference.kind in ("parameters", "threshold"):
        for pattern, tier in rules.parameters.items():
            if fnmatchcase(difference.name, pattern):
                return tier
    own: Tier = getattr(rules.tiers, difference.kind)
    return own


def environment_of(tier: Tier, rules: Release) -> Environment:
    """The environment that a tier needs."""
    wanted: Environment = getattr(rules.environments, tier)
    return wanted


def _because(tier: Tier, rated: Sequence[Rated]) -> str:
    if not rated:
        return "Nothing differs from production that a release could be judged by."
    names: Mapping[str, None] = {each.difference.kind.replace("_", " "): None for each in rated if each.tier == tier}
    return f"The risk is {tier}: {', '.join(names)}."


def require_deployed_to(policy: Policy, environment: str) -> None:
    """InputError where the policy has no such environment; without `deployment` only production has a name."""
    known = tuple(policy.deployment.environments) if policy.deployment else (PRODUCTION,)
    if environment not in known and environment != PRODUCTION:
        raise InputError(
            f"The policy knows no environment `{environment[:100]}` to deploy to.",
            why=f"It knows {', '.join(f'`{name}`' for name in known)}.",
            fix="`deploys-to` is one of `deployment.environments`; which environment approves follows from the tier.",
        )
