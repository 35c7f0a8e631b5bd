"""A repository whose policy says how a retraining comes by new data, and the steps of that retraining."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conftest import GitRepository
from governor_kit import MODEL, NOW
from runner_double import RunnerDouble, StepResult
from slipway.governor import payload
from slipway.governor.payload import Cause, Payload

ACTIONS = Path(__file__).resolve().parents[1] / "actions"
KEY = f"slipway-{'0' * 8}-{'a' * 16}"
REFRESH = "from pathlib import Path; Path('data').mkdir(exist_ok=True); Path('data/train.dvc').write_text('new')"


def dispatched(**said: Any) -> Payload:
    """What the governor sends."""
    made = {
        "model": MODEL,
        "key": KEY,
        "generation": 1,
        "reason": "`temperature` has drifted.",
        "cause": Cause(
            report=f"sha256:{'c' * 64}", window="dvc:july", run="https://github.test/octo/models/actions/runs/7"
        ),
        "decision": "d" * 32,
        "requested_at": NOW,
        **said,
    }
    return Payload.model_validate(made)


def event_of(sent: Payload) -> dict[str, Any]:
    """The event of the run that it starts."""
    return {"inputs": payload.as_inputs(sent)}


@dataclass
class Retraining:
    """The repository, its upstream, and the runner of one machine after the other."""

    repository: GitRepository
    upstream: Path
    temp: Path
    cache: Path
    event: dict[str, Any]
    api_url: str = "http://127.0.0.1:9"

    def policy(self, *, command: Any = ("python3", "-c", REFRESH), **rules: Any) -> str:
        """Commit a policy, and give the commit."""
        said = {"workflow": "retrain.yml", "refresh": {"command": command}, **rules}
        whole = {"version": 1, "model": MODEL, "data": {"train": {"path": "data/train"}}, "retraining": said}
        text = yaml.safe_dump(json.loads(json.dumps(whole)))
        made = self.repository.commit({"slipway.yml": text, "schema.yml": "columns: {}\n", "data/train.dvc": "old"})
        self.repository.git("push", "--quiet", "--force", "origin", "main")
        return made

    def step(self, action: str, inputs: dict[str, str], **env: str) -> StepResult:
        """Run one action in the repository, as the workflow does."""
        runner = RunnerDouble(
            self.repository.path,
            self.temp,
            event=self.event,
            event_name="workflow_dispatch",
            env={"SLIPWAY_CACHE": str(self.cache), **env},
            api_url=self.api_url,
        )
        return runner.run_action(ACTIONS / action, inputs)

    def refresh(self, **env: str) -> StepResult:
        """The first machine: the command runs, and the work tree is as a new checkout afterwards."""
        done = self.step("refresh-data", {}, **env)
        self.repository.git("reset", "--hard", "--quiet")
        self.repository.git("clean", "-fdqx")
        return done

    def branches(self) -> dict[str, str]:
        """Tips of the upstream's branches of retrainings."""
        said = GitRepository(self.upstream).git("for-each-ref", "--format=%(refname:short) %(objectname)")
        pairs = dict(line.split() for line in said.splitlines())
        return {name: tip for name, tip in pairs.items() if name.startswith("slipway/")}


def begin(repository: GitRepository, folder: Path, cache: Path) -> Retraining:
    """The repository with an upstream, and a dispatch for it."""
    upstream = folder / "up.git"
    repository.git("init", "--quiet", "--bare", str(upstream))
    repository.git("remote", "add", "origin", str(upstream))
    return Retraining(repository, upstream, folder / "temp", cache, event_of(dispatched()))
