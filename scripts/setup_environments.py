"""Create and repair the GitHub Environments of the policy's `release` section; it only shows them without `--apply`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from slipway.github_api import client, environments
from slipway.policy.release import TIERS, Environment
from slipway.policy.source import load
from slipway.runner import commands, outputs, stage
from slipway.runner.context import Run
from slipway.runner.errors import GateError, InputError, PolicyError
from slipway.runner.inputs import NO_SECRET, Secret


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Hold the environments of a repository to the policy. github_token: of an administrator, to write.

    repository: `owner/name`; of the workflow by default.
    """

    github_token: Secret = NO_SECRET
    repository: str = ""
    policy: Path = Path("slipway.yml")
    apply: bool = False


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The environments that are not as the policy says, one a line."""

    wrong: str


def main(given: Inputs) -> None:
    """Every environment once, however many tiers need it; an environment that is as it should be is left alone."""
    run = Run.from_environ()
    repository = given.repository or run.repository
    if not (repository and given.github_token):
        raise InputError(
            "No repository, or no token.",
            fix="Set `--repository owner/name`, and INPUT_GITHUB_TOKEN to a token that may administrate it.",
        )
    wrong = []
    with client.connect(given.github_token, run) as hub:
        there = hub.get_repo(repository)
        for wanted in wanted_of(given.policy, run):
            found = environments.look(there, wanted.name)
            if given.apply and not right(wanted, found):
                found = environments.set_up(there, wanted)
            for each in environments.audit(wanted, found):
                commands.say(f"{wanted.name}: {'ok ' if each.holds else 'NOT'} {each.name}: {each.detail}")
            if not right(wanted, found):
                wrong.append(wanted)
    outputs.publish(Outputs(wrong="\n".join(each.name for each in wrong)))
    if wrong:
        raise GateError(
            f"{len(wrong)} environments are not as {given.policy} says: {', '.join(each.name for each in wrong)}.",
            fix="\n".join(environments.repair(repository, run.server_url, each) for each in wrong)
            if given.apply
            else "Run it again with `--apply true`, as an administrator of the repository.",
        )


def wanted_of(policy: Path, run: Run) -> list[Environment]:
    """The policy's environments, each once."""
    release = load(policy, run).policy.release
    if release is None:
        raise PolicyError(f"{policy} has no `release` section.", fix="docs/policy.md shows it.", file=str(policy))
    found = {each.name: each for each in (getattr(release.environments, tier) for tier in TIERS)}
    return list(found.values())


def right(wanted: Environment, found: environments.Protection) -> bool:
    """Whether everything holds."""
    return all(each.holds for each in environments.audit(wanted, found))


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
