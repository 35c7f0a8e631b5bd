"""The target that the policy names."""

from __future__ import annotations

from slipway.policy.deployment import TargetRule
from slipway.targets import remote
from slipway.targets.protocol import Target


def find(rules: TargetRule, *, model: str, ready_seconds: float) -> Target:
    """The target of an environment, for the versions of a model. ready_seconds: how long a version may take to answer.

    Raises InputError where it cannot be used from here.
    """
    if rules.local is not None:
        from slipway.targets import local

        return local.target(rules.local, model=model, ready_seconds=ready_seconds)
    if (beyond := rules.kserve or rules.vertex or rules.huggingface or rules.mlflow) is not None:
        return remote.target(beyond, model=model, ready_seconds=ready_seconds)
    assert rules.container is not None, "the policy has exactly one"
    from slipway.targets import containers

    return containers.target(rules.container, model=model, ready_seconds=ready_seconds)
