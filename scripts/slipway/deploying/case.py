"""What a run needs to work on one environment: policy, ledger, registry and target, opened from a stage's inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from slipway.deploying.reconciling import Reconciler
from slipway.deploying.record import Releases
from slipway.deploying.rules import rules_of
from slipway.deploying.versions import Versions
from slipway.ledger import place
from slipway.ledger.reading import Reading
from slipway.ledger.store import Ledger
from slipway.policy.canary import Canary
from slipway.policy.deployment import DeploymentEnvironment
from slipway.policy.source import SourcedPolicy
from slipway.report import Check, Report, Subject, Verdict
from slipway.runner import commands
from slipway.runner.context import Run, require_default_branch
from slipway.runner.errors import InputError
from slipway.runner.inputs import Secret
from slipway.targets import finding
from slipway.targets.protocol import Target


@dataclass
class Case:
    """One environment of one model, as a run works on it. report: what is known so far, brought up to date."""

    run: Run
    sourced: SourcedPolicy
    environment: str
    rules: DeploymentEnvironment
    ledger: Ledger
    releases: Releases
    versions: Versions
    target: Target
    report: Report
    remarks: list[str] = field(default_factory=list)
    """What a reader must know beside the verdict."""

    reconciler: Reconciler = field(init=False)

    def __post_init__(self) -> None:
        """Make the reconciler, which tells the report as it stands."""
        deployment, packaging = self.sourced.policy.deployment, self.sourced.policy.packaging
        tolerance = deployment.tolerance if deployment else None
        self.reconciler = Reconciler(
            environment=self.environment,
            rules=self.rules,
            releases=self.releases,
            target=self.target,
            versions=self.versions,
            tolerance=tolerance if tolerance is not None else packaging.tolerance if packaging else 0.0,
            tell=lambda: self.report.model_copy(update={"checks": self.checks}),
        )

    def remark(self, *said: str) -> None:
        """Say what a reader must know beside the verdict, once."""
        for each in said:
            if each not in self.remarks:
                self.remarks.append(each)
                commands.warning(each, title="Deployment")

    @property
    def model(self) -> str:
        """The model's name."""
        return self.sourced.policy.model

    @property
    def canary(self) -> Canary | None:
        """How canaries are judged."""
        return self.sourced.policy.canary

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything that was verified and tried."""
        return (*self.versions.checks, *self.reconciler.checks)


def require_own_run(run: Run) -> None:
    """InputError in a run of a pull request or another branch: their policy, which nobody has reviewed, asks nobody."""
    if run.pull_request:
        raise InputError(
            "A pull request's run does not deploy.",
            why="It would let a change that nobody has reviewed decide what is served.",
            fix="Run it after the merge, on a schedule or by hand (`workflow_dispatch`).",
        )
    require_default_branch(run)


class Asked(Protocol):
    """The inputs that say where an environment's ledger, registry and target are."""

    @property
    def environment(self) -> str:
        """One of the policy's."""

    @property
    def tracking_uri(self) -> str:
        """Of MLflow."""

    @property
    def remote(self) -> str:
        """Of the ledger."""

    @property
    def github_token(self) -> Secret:
        """For the ledger."""

    @property
    def registry_token(self) -> Secret:
        """For the image's registry."""


def opened(run: Run, sourced: SourcedPolicy, given: Asked, report: Report, scratch: Path) -> Case:
    """Open ledger and target; the registry is opened where something of it is needed."""
    environment = given.environment
    rules = rules_of(sourced, environment)
    model = sourced.policy.model
    ledger = Ledger(place.find(run, remote=given.remote, token=given.github_token))
    canary = sourced.policy.canary
    shares = tuple(stage.share for stage in canary.stages) if canary else ()
    return Case(
        run=run,
        sourced=sourced,
        environment=environment,
        rules=rules,
        ledger=ledger,
        releases=Releases(Reading(ledger), run, model, environment, shares),
        versions=Versions(sourced, scratch, given.tracking_uri, run.actor or "slipway", given.registry_token),
        target=finding.find(rules.target, model=model, ready_seconds=rules.ready_seconds),
        report=report,
    )


def begun(stage: str, sourced: SourcedPolicy, environment: str) -> Report:
    """The report before anything was done."""
    return Report(
        stage=stage,
        model=sourced.policy.model,
        verdict=Verdict.INCONCLUSIVE,
        reasons=sourced.remarks,
        subjects=(Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),),
        provenance={**sourced.provenance, "environment": environment},
    )
