"""Metrics and limits of an evaluation that cannot be meant: unknown names, and limits outside of a metric's range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from slipway.policy.metrics import ANY, SHARE, Range, range_of

if TYPE_CHECKING:
    from slipway.policy.evaluation import Evaluation

VALUES = ("min", "max")
"""Limits of a metric's own value."""

DISTANCES = ("margin", "better_by", "max_gap", "max_drop")
"""Limits of how far two of its values are apart."""

Place = tuple[str, ...]


def problems(evaluation: Evaluation) -> Iterator[tuple[Place, str]]:
    """What is wrong, and at which key below `evaluation`."""
    yield from _of_rules(evaluation, evaluation.metrics, ("metrics",))
    if evaluation.slices:
        yield from _of_rules(evaluation, evaluation.slices.metrics, ("slices", "metrics"))
    if evaluation.fairness:
        yield from _of_rules(evaluation, evaluation.fairness.metrics, ("fairness", "metrics"), groups=True)
    for name, disturbance in evaluation.robustness.declared.items() if evaluation.robustness else ():
        place = ("robustness", name)
        yield from _of_rule(evaluation, disturbance.metric, disturbance, place, place_of_name=(*place, "metric"))


def _of_rules(
    evaluation: Evaluation, rules: Mapping[str, Any], place: Place, *, groups: bool = False
) -> Iterator[tuple[Place, str]]:
    for name, rule in rules.items():
        yield from _of_rule(evaluation, name, rule, (*place, name), groups=groups)


def _of_rule(
    evaluation: Evaluation, name: str, rule: Any, place: Place, *, place_of_name: Place = (), groups: bool = False
) -> Iterator[tuple[Place, str]]:
    try:
        low, high = _range(evaluation, name, groups=groups)
    except ValueError as unknown:
        yield place_of_name or place, str(unknown)
        return
    lies = f"{name} lies {_in_words((low, high))}"
    for key in VALUES:
        limit = getattr(rule, key, None)
        if limit is not None and not low <= limit <= high:
            yield (*place, key), f"is {limit:.12g}, and {lies}{_percent(limit, (low, high))}"
    for key in DISTANCES:
        limit = getattr(rule, key, None)
        if limit is not None and limit > high - low:
            apart = "so no two of its values are as far apart"
            yield (*place, key), f"is {limit:.12g}, and {lies}, {apart}{_percent(limit, (low, high))}"


def _range(evaluation: Evaluation, name: str, *, groups: bool) -> Range:
    if evaluation.task == "text":
        return ANY if name in evaluation.own_scorers else SHARE
    return range_of(name, evaluation.task, groups=groups)


def _in_words(limits: Range) -> str:
    low, high = limits
    if low == -inf:
        return f"at or below {high:g}"
    return f"at or above {low:g}" if high == inf else f"between {low:g} and {high:g}"


def _percent(limit: float, limits: Range) -> str:
    return f" (1 % is 0.01: {limit / 100:g}?)" if limits == SHARE and 1 < limit <= 100 else ""
