"""Build the Python environment of one stage from its hash-locked requirements, or find it built by an earlier step."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from slipway.runner import environments, outputs, stage


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Build the environment of one stage."""

    group: str


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where it is."""

    python: str


def main(given: Inputs) -> None:
    """Build it once per lock and job."""
    outputs.publish(Outputs(python=str(environments.for_group(given.group))))


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
