"""The source of observations that the policy names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from slipway.canary.observations import Observation, Observations
from slipway.observations.files import FileSource
from slipway.observations.prometheus import PrometheusSource
from slipway.policy.canary import ObservationSource
from slipway.policy.model import Policy
from slipway.runner import commands
from slipway.runner.errors import InputError
from slipway.runner.inputs import Secret
from slipway.targets import finding
from slipway.targets.protocol import Target
from slipway.training import command, telling

TOKEN = "SLIPWAY_PROMETHEUS_TOKEN"  # noqa: S105 - the variable's name
"""Variable with the token of Prometheus. The policy's own command never sees it."""


@dataclass(frozen=True)
class CommandSource:
    """The user's command, which writes JSON lines. It is told the versions and since when nothing was looked at."""

    arguments: Sequence[str]
    minutes: float
    canary: str
    baseline: str

    def observe(self, since: datetime | None) -> tuple[Observation, ...]:
        """Run it and read what it wrote. InputError where it fails or writes nothing that can be read."""
        with tempfile.TemporaryDirectory(prefix="slipway-canary-") as scratch:
            written, log = Path(scratch) / "observations.jsonl", Path(scratch) / "log"
            told = {
                "SLIPWAY_OBSERVATIONS": str(written),
                "SLIPWAY_SINCE": since.isoformat() if since else "",
                "SLIPWAY_CANARY": self.canary,
                "SLIPWAY_BASELINE": self.baseline,
            }
            commands.say(f"Observing: {' '.join(self.arguments)}")
            ended = command.run(self.arguments, command.environ_for(told), timeout=self.minutes * 60, log=log)
            if not ended.succeeded:
                raise InputError(
                    f"The command of `canary.observations` {ended.in_words(self.minutes * 60)}.",
                    why=telling.last_lines(log),
                    fix="See the step's log. Nothing was looked at.",
                )
            if not written.is_file():
                raise InputError(
                    "The command of `canary.observations` wrote no observations.",
                    fix="Let it write JSON lines into the file that SLIPWAY_OBSERVATIONS names, or an empty file where "
                    "nothing is new.",
                )
            return FileSource(written).observe(since)


@dataclass(frozen=True)
class TargetSource:
    """What serves both versions, and counts what it serves."""

    target: Target
    canary: str
    baseline: str

    def observe(self, since: datetime | None) -> tuple[Observation, ...]:  # noqa: ARG002 - its counters say since when
        """Its counters as they stand. InputError where it has none."""
        seen = self.target.observe(self.canary, self.baseline)
        if seen is None:
            raise InputError(
                f"The target ({self.target.shown}) does not count what it serves.",
                fix="Let `canary.observations` of the policy name another source, such as `prometheus`.",
            )
        return (seen,)


def target_of(policy: Policy) -> Target | None:
    """The target that the policy's canaries are observed by; None where they have another source."""
    rules, deployment = policy.canary.observations if policy.canary else None, policy.deployment
    if rules is None or rules.target is None:
        return None
    assert deployment is not None, "the policy declares what it names"
    environment = deployment.environments[rules.target]
    return finding.find(environment.target, model=policy.model, ready_seconds=environment.ready_seconds)


def find(rules: ObservationSource, *, canary: str, baseline: str, target: Target | None = None) -> Observations:
    """The source that the policy names. target: of the environment that it names, if it does."""
    if rules.target is not None:
        assert target is not None, "whoever watches has opened it"
        return TargetSource(target, canary, baseline)
    if rules.prometheus is not None:
        return PrometheusSource(rules.prometheus, canary, baseline, Secret(os.environ.get(TOKEN, "")))
    if rules.command is not None:
        return CommandSource(command.split(rules.command), rules.timeout_minutes, canary, baseline)
    assert rules.file is not None, "the policy has exactly one"
    return FileSource(Path(rules.file))
