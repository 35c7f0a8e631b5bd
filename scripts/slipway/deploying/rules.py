"""What the policy says of one environment."""

from __future__ import annotations

from slipway.policy.deployment import DeploymentEnvironment
from slipway.policy.source import SourcedPolicy
from slipway.runner.errors import InputError, PolicyError


def rules_of(sourced: SourcedPolicy, environment: str) -> DeploymentEnvironment:
    """What the policy says of an environment. PolicyError where it has no deployments, InputError for another name."""
    deployment = sourced.policy.deployment
    if deployment is None:
        raise PolicyError(
            f"{sourced.path} has no section `deployment`, so nothing says what serves the model.",
            fix="Add it with an environment and its target (docs/deploy-model.md).",
            file=str(sourced.path),
        )
    if environment not in deployment.environments:
        known = ", ".join(f"`{name}`" for name in deployment.environments)
        raise InputError(
            f"The policy knows no environment `{environment[:100]}`.",
            fix=f"Give one of {known} as `environment`, or add it to the section `deployment`. One that was taken "
            "out goes on serving: docs/deploy-model.md says how to take it down.",
        )
    return deployment.environments[environment]
