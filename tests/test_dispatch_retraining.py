"""The stage as its step runs it: inputs, outputs, report, summary and exit code; and as a process that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import dispatch_retraining
from conftest import GitRepository, pull_request
from github_double.server import GitHubDouble
from governor_kit import AT_ONCE, MODEL, drift, validation
from ledger_kit import clone, ledger
from runner_double import RunnerDouble
from slipway.github_api import dispatches
from slipway.governor import payload
from slipway.governor.rules import ORDER
from slipway.ledger import store
from slipway.report import Report
from slipway.retraining import protocol
from slipway.retraining.record import Reading
from step_kit import Ran, in_this_process, left, variables

SCRIPT = Path(dispatch_retraining.__file__)
REPOSITORY = "octo/models"
SEND = "actions/create-workflow-dispatch"
POLICY = {"version": 1, "model": MODEL, "retraining": {"workflow": "retrain.yml", "persistence": AT_ONCE}}


@dataclass
class Step:
    """A step of a scheduled run in a clone; a test changes what it needs before it calls it."""

    hub: GitHubDouble
    folder: Path
    clone: GitRepository
    environ: dict[str, str]
    execute: Callable[[dict[str, str]], tuple[int, str]]
    event: dict[str, Any] = field(default_factory=lambda: {"schedule": "17 5 * * *"})
    runs: int = 0

    def policy(self, **rules: Any) -> None:
        said = {**POLICY, "retraining": {"workflow": "retrain.yml", "persistence": AT_ONCE, **rules}}
        (self.clone.path / "slipway.yml").write_text(yaml.safe_dump(said), encoding="utf-8")

    def given(self, **inputs: str) -> dict[str, str]:
        """The variables of the next step."""
        self.runs += 1
        return {**self.environ, **variables(self.folder, self.runs, self.event, inputs)}

    def __call__(
        self, *, report: Report | None = None, valid: str = "pass", environ: dict[str, str] | None = None, **inputs: str
    ) -> Ran:
        report = report or drift(started=datetime.now(UTC))
        reports = {"drift_report": str(report.write(self.folder / "detect-drift.json"))}
        if valid:
            reports["validation_report"] = str(validation(valid).write(self.folder / "validate-data.json"))
        given = {**self.given(**{**reports, **inputs}), **(environ or {})}
        return left(given, *self.execute(given))

    def steps(self) -> list[str]:
        reader = ledger(self.folder, remote=str(self.folder / "up.git"))
        return [str(each.details["step"]) for each in Reading(reader).entries() if each.event == "dispatch"]


@pytest.fixture
def site(hub: GitHubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    where = hub.world.repository(REPOSITORY)
    hub.world.workflow(
        where, "retrain.yml", inputs=payload.INPUTS, event_type="slipway-retraining", run_name="Retrain ({key})"
    )
    hub.world.set_clock(datetime.now(UTC).replace(microsecond=0))
    environ = {
        "GITHUB_API_URL": hub.base_url,
        "GITHUB_SERVER_URL": "https://github.test",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_EVENT_NAME": "schedule",
        "GITHUB_RUN_ATTEMPT": "1",
        "INPUT_REMOTE": str(tmp_path / "up.git"),
        "INPUT_GITHUB_TOKEN": hub.world.installation_token(contents="write", actions="write"),
    }
    made = Step(hub, tmp_path, clone(tmp_path / "up.git", tmp_path / "clone"), environ, lambda _: (0, ""))
    made.policy()
    monkeypatch.setattr(dispatches, "PAUSES", (0.0,))
    return made


@pytest.fixture
def step(
    site: Step, signals_restored: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Step:
    """The stage in this process."""

    def execute(given: dict[str, str]) -> tuple[int, str]:
        return in_this_process(dispatch_retraining, given, monkeypatch, capfd, site.clone.path)

    site.execute = execute
    return site


def test_main__starts_a_retraining(step: Step) -> None:
    done = step()
    assert done.code == 0, done.log
    (run,) = step.hub.world.runs.values()
    page = f"{step.hub.html_url}/{REPOSITORY}/actions/runs/{run.id}"
    assert done.said == {
        "report": str(step.folder / "temp" / "slipway" / "reports" / MODEL / "dispatch-retraining.json"),
        "verdict": "pass",
        "decision": "dispatch",
        "rule": "",
        "dispatched": "true",
        "run-id": str(run.id),
        "run-url": page,
        "head": done.said["head"],
    }
    report = done.report
    assert report.headline.startswith(f"Retraining 1 was started as run {run.id}. Drift was found")
    assert report.links == {"retraining": page}
    assert [check.name for check in report.checks] == list(ORDER)
    assert [each.role for each in report.subjects] == ["policy", "drift report", "data"]
    assert "What each rule says" in done.summary
    assert step.environ["INPUT_GITHUB_TOKEN"] not in done.log.replace(
        f"::add-mask::{step.environ['INPUT_GITHUB_TOKEN']}", ""
    )


def test_main__a_hold_is_a_success(step: Step) -> None:
    assert step().code == 0
    again = step()
    assert (again.code, again.said["decision"], again.said["dispatched"]) == (0, "hold", "false")
    assert (again.said["verdict"], again.said["rule"]) == ("pass", "duplicate")
    assert again.said["run-id"] == str(next(iter(step.hub.world.runs)))
    assert len(step.hub.world.runs) == 1
    assert step.steps() == ["intent", "made", "held"]


@pytest.mark.parametrize(("rules", "code"), [({}, 0), ({"on_inconclusive": "fail"}, 1)])
def test_main__what_could_not_be_decided(step: Step, rules: dict[str, Any], code: int) -> None:
    step.policy(**rules)
    done = step(valid="")
    assert (done.code, done.said["verdict"], done.said["rule"]) == (code, "inconclusive", "data quality")
    assert "validation-report" in done.messages("error" if code else "warning")
    assert step.hub.world.runs == {}
    assert step.steps() == ["held"]


@pytest.mark.parametrize("how", ["input", "policy"])
def test_main__a_dry_run(step: Step, how: str) -> None:
    if how == "policy":
        step.policy(dry_run=True)
    done = step(dry_run="true" if how == "input" else "")
    assert (done.code, done.said["decision"], done.said["dispatched"]) == (0, "dispatch", "false")
    assert done.report.headline.startswith("Dry run, nothing was started. Retrain.")
    assert (step.hub.world.runs, step.steps()) == ({}, ["dry run"])


def test_main__without_a_token_nothing_is_started(step: Step) -> None:
    done = step(environ={"INPUT_GITHUB_TOKEN": ""})
    assert (done.code, done.said["verdict"], done.said["rule"]) == (0, "inconclusive", "in flight")
    assert "no `github-token` was given" in done.messages("warning")


def test_main__a_refusal_fails_and_says_the_permission(step: Step) -> None:
    done = step(environ={"INPUT_GITHUB_TOKEN": step.hub.world.installation_token(contents="write")})
    assert (done.code, done.said["verdict"], done.said["decision"]) == (1, "inconclusive", "hold")
    error = done.messages("error")
    assert "403" in error and "permissions:\n    actions: write" in error
    assert step.steps() == ["intent", "refused"]


def test_main__a_ledger_that_is_away(step: Step) -> None:
    (step.folder / "up.git").rename(step.folder / "away.git")
    done = step(remote=f"file://{step.folder}/up.git")
    assert (done.code, done.said["verdict"], done.said["decision"]) == (0, "inconclusive", "hold")
    assert "The ledger was not read" in done.messages("warning")
    assert step.hub.world.runs == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"INPUT_DRIFT_REPORT": "none.json"}, "cannot be read"),
        ({"INPUT_DRIFT_REPORT": "validate-data.json"}, "one of detect-drift on `flights` is expected"),
        ({"INPUT_DRIFT_REPORT": "delays.json"}, "one of detect-drift on `flights` is expected"),
        ({"INPUT_VALIDATION_REPORT": "detect-drift.json"}, "one of validate-data is expected"),
    ],
    ids=["no report", "another stage's", "another model's", "no validation"],
)
def test_main__another_report_is_refused(step: Step, change: dict[str, str], said: str) -> None:
    drift().model_copy(update={"model": "delays"}).write(step.folder / "delays.json")
    done = step(environ={name: str(step.folder / file) for name, file in change.items()})
    assert done.code == 1 and said in done.messages("error"), done.log
    assert step.hub.log == []


def test_main__a_policy_without_the_section(step: Step) -> None:
    (step.clone.path / "slipway.yml").write_text("version: 1\nmodel: flights\n", encoding="utf-8")
    done = step()
    assert done.code == 1 and "no section `retraining`" in done.messages("error")


def test_main__a_pull_request_starts_nothing(step: Step) -> None:
    commit = step.clone.commit({}, "Policy")
    step.event = pull_request(base=commit, head=commit)
    step.environ["GITHUB_EVENT_NAME"] = "pull_request"
    done = step()
    assert done.code == 1 and "A pull request's run starts no retraining" in done.messages("error")
    assert step(dry_run="true").code == 0
    assert step.hub.world.runs == {}


def test_main__a_retraining_that_sets_off_a_retraining(step: Step) -> None:
    assert step().code == 0
    inputs = step.hub.requests(SEND)[0].json()["inputs"]
    said = json.loads(inputs["payload"])
    step.event = {"inputs": {**inputs, "payload": json.dumps({**said, "generation": 3})}}
    step.environ["GITHUB_EVENT_NAME"] = "workflow_dispatch"
    done = step(report=drift(window="august", started=datetime.now(UTC)))
    generation = next(check for check in done.report.checks if check.name == "generation")
    assert generation.values == {"answer": "hold", "generation": 4, "generations": 3}
    step.event = {"inputs": {**inputs, "payload": json.dumps({**said, "generation": 0})}}
    spoilt = step(report=drift(window="august", started=datetime.now(UTC)))
    assert spoilt.code == 1 and "generation" in spoilt.messages("error")
    assert len(step.hub.world.runs) == 1


def test_main__says_why_github_was_not_asked_off_the_runner(step: Step) -> None:
    done = step(environ={"GITHUB_REPOSITORY": "", "GITHUB_ACTIONS": ""}, dry_run="true")
    assert (done.code, done.said["rule"]) == (0, "in flight"), done.log
    assert "not a run of GitHub Actions" in done.log
    assert step.steps() == ["dry run"]


@pytest.mark.parametrize("applied", [True, False], ids=["done", "not done"])
def test_process__killed_with_the_dispatch_on_its_way(
    site: Step, step: Step, applied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the one moment that no program can make safe by itself."""
    report = str(drift(started=datetime.now(UTC)).write(site.folder / "detect-drift.json"))
    valid = str(validation().write(site.folder / "validate-data.json"))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    running = subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        env={**kept, **site.given(drift_report=report, validation_report=valid)},
        cwd=site.clone.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )

    def kill() -> None:
        running.kill()
        running.wait(timeout=60)

    site.hub.before(SEND, kill)
    if not applied:
        site.hub.cut_next(operation=SEND)
    assert running.wait(timeout=60) < 0
    while applied and not site.hub.world.runs:  # the double does its work in a thread of its own
        time.sleep(0.01)
    assert site.steps() == ["intent"]
    again = step()
    assert (again.code, again.said["rule"]) == (0, "duplicate" if applied else "in flight"), again.log
    for module in (protocol, store):
        monkeypatch.setattr(module, "utc_now", lambda: datetime.now(UTC) + timedelta(minutes=16))
    last = step()
    assert last.said["dispatched"] == str(not applied).lower()
    assert len(site.hub.world.runs) == 1


def test_action__as_declared(site: Step, tmp_path: Path, environments_cache: Path) -> None:
    runner = RunnerDouble(
        workspace=site.clone.path,
        temp=tmp_path / "temp",
        event=site.event,
        env={"SLIPWAY_CACHE": str(environments_cache)},
        api_url=site.hub.base_url,
    )
    given = {
        "drift-report": str(drift(started=datetime.now(UTC)).write(tmp_path / "detect-drift.json")),
        "validation-report": str(validation().write(tmp_path / "validate-data.json")),
        "remote": site.environ["INPUT_REMOTE"],
        "github-token": site.environ["INPUT_GITHUB_TOKEN"],
    }
    done = runner.run_action(SCRIPT.parents[1] / "actions" / "dispatch-retraining", given)
    assert done.code == 0, done.log
    assert (done.outputs["dispatched"], done.outputs["decision"]) == ("true", "dispatch")
    assert done.outputs["run-id"] == str(next(iter(site.hub.world.runs)))
    assert given["github-token"] in done.masked and given["github-token"] not in done.log
