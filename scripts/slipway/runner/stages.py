"""Runs another stage from inside of one: in its own environment, with its own inputs, and its outputs read back."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.runner import commands, environments, outputs
from slipway.runner.environments import REPOSITORY
from slipway.runner.inputs import variable

THIS_RUN = secrets.token_hex(8)


@dataclass(frozen=True)
class Ran:
    """A stage that ran: its exit code and its outputs."""

    name: str
    code: int
    said: dict[str, str]

    @property
    def report(self) -> str:
        """Its report; a name that no file has where it broke before it wrote one, so that this is seen."""
        return self.said.get("report") or f"{self.name}.json"


def run(
    name: str,
    inputs: Mapping[str, str],
    *,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    group: str = "",
) -> Ran:
    """Run one stage with `inputs` (by field name) in place of ours: no stage gets another's token.

    folder: where it works; ours by default. environ: variables that it sees in addition to the job's. group: the
    requirements of its environment, where they are not called as the stage is.
    """
    inherited = {key: value for key, value in environments.clean_environ().items() if not key.startswith("INPUT_")}
    if "GITHUB_RUN_ID" not in inherited:
        # On a person's machine this is the job, within which a dataset stays what it was found to be.
        inherited.setdefault("SLIPWAY_JOB", THIS_RUN)
    given = {variable(field): value for field, value in inputs.items()}
    with commands.group(name), tempfile.NamedTemporaryFile(prefix="slipway-outputs-") as written:
        python = environments.for_group(group or name)
        done = subprocess.run(
            [str(python), str(REPOSITORY / "scripts" / f"{name.replace('-', '_')}.py")],
            env={**inherited, **given, "GITHUB_OUTPUT": written.name, "PYTHONUNBUFFERED": "1", **(environ or {})},
            cwd=folder,
            check=False,
        )
        return Ran(name, done.returncode, outputs.read(Path(written.name)))
