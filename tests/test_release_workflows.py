"""release.yml, canary.yml and rollback.yml under act: from the seal to a canary, its look, live, and the way back.

The version that is replaced was released before, without act. Everything but GitHub is real: MLflow, the ledger, the
model's servers, the gateway that splits the requests. What act cannot show: that a job waits for its environment (the
double says who approved), that GitHub queues jobs of one `concurrency` group, and what each job's token may do. Below
the runs, the files are read for some of it.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from act.harness import SLIPWAY, ActRun, Lab
from act.site import find_act
from github_double.server import GitHubDouble
from github_double.world import Review
from runner_double import RunnerDouble
from slipway.ledger import drafting
from slipway.ledger.entries import Entry
from slipway.ledger.place import Place
from slipway.ledger.store import Ledger
from slipway.ledger.verification import records
from slipway.prediction import golden
from slipway.registry.digests import digest
from slipway.report import Report, Subject, Verdict
from slipway.runner.context import Run
from slipway.targets.processes import Daemon
from targets_kit import free_port
from test_training_statement import MADE
from test_training_toy import MODEL, QUIET, ROOT, Toy, make_toy, models_python

pytestmark = [QUIET, pytest.mark.act, pytest.mark.xdist_group("act")]

NAME = "acme/toy"
X1 = (1.0, -2.0)
ROWS = {"dataframe_split": {"columns": ["x1", "x2"], "data": [[x1, 0.0] for x1 in X1]}}

CALLER = """
name: {name}
on:
  workflow_dispatch:
    inputs:
      version: {{type: string}}
      reason: {{type: string}}
permissions: {{}}
jobs:
  called:
    uses: {slipway}/.github/workflows/{name}.yml@{commit}
    permissions: {{}} # under act every job has the same token
    with: {given}
  told:
    needs: called
    if: ${{{{ always() }}}}
    runs-on: ubuntu-latest
    steps:
      - run: printf '%s\\n' "$OUTPUTS"
        env:
          OUTPUTS: ${{{{ toJSON(needs.called.outputs) }}}}
"""


@dataclass(frozen=True)
class Stand:
    """A published repository with its policy and callers, a store with two versions, and what serves them."""

    lab: Lab
    github: GitHubDouble
    toy: Toy
    served: Path
    port: int
    commit: str

    @property
    def ledger(self) -> Ledger:
        return Ledger(Place((self.lab.folder / "remotes" / f"{NAME}.git").as_uri(), self.lab.folder / "ledger.git"))

    @property
    def entries(self) -> list[Entry]:
        ledger = self.ledger
        return [record.entry for record in records(ledger.git, ledger.commits())]

    def events(self, run: ActRun) -> list[str]:
        return [each.event for each in self.entries if each.run.run_id == run.run_id]

    def start(self, workflow: str, **inputs: str) -> ActRun:
        """Start a caller by hand. All that its jobs ask for is in the one token that act gives them."""
        rights = {"contents": "write", "actions": "read", "pull_requests": "read", "metadata": "read"}
        token = self.github.world.installation_token(**rights, deployments="write", issues="write")
        repository = {"full_name": NAME, "default_branch": "main"}
        return self.lab.run(
            NAME,
            f".github/workflows/{workflow}.yml",
            "workflow_dispatch",
            {"ref": "refs/heads/main", "inputs": inputs, "repository": repository},
            commit=self.commit,
            api_url=self.github.base_url,
            secrets={"GITHUB_TOKEN": token},
            variables={},
            environ={"SLIPWAY_CACHE": str(self.toy.cache), "GITHUB_REF": "refs/heads/main"},
        )

    def approve(self, run_id: int, login: str) -> None:
        """Let somebody approve what a run will ask for."""
        world = self.github.world
        there = world.environments[NAME, "production-high"]
        said = Review(world.new_id(), world.user(login), "approved", "Go.", datetime.now(UTC), environment=there)
        world.approvals.setdefault(run_id, []).append(said)

    def ask(self, environment: str = "production") -> str:
        """The version that answers to a client."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port + (environment == "dev"), timeout=30)
        connection.request("POST", "/invocations", json.dumps(ROWS), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, said
        return str(answer.headers["x-slipway-version"])


def told(run: ActRun) -> dict[str, str]:
    """The called workflow's outputs, as another job of the caller sees them."""
    said: dict[str, str] = json.loads(run.printed("told"))
    return said


def version(toy: Toy, weight: float, commit: str) -> str:
    """A registered version with its golden predictions and the record of its training."""
    registry = toy.registry()
    found = toy.version({"x1": weight})
    files = registry.download(found, toy.temp / f"files-{found.version}")
    registry.tag_version(found, {"slipway.model_digest": digest(files)})
    answers = [1 / (1 + math.exp(-weight * x1)) for x1 in X1]
    golden.keep(registry, found, json.dumps({"request": ROWS, "answer": {"predictions": answers}}).encode(), toy.temp)
    made = dataclasses.replace(MADE, commit=commit, datasets={}, parameters={"weight": str(weight)})
    registry.log_file(found.run_id, made.write(toy.temp / "provenance.json"), "slipway")
    return found.version


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Iterator[Stand]:
    act = find_act()
    folder = tmp_path_factory.mktemp("release")
    here = Path.cwd()
    models_python(environments_cache)
    toy = make_toy(tmp_path_factory.mktemp("toy"), tmp_path_factory.getbasetemp(), environments_cache)
    lab = Lab(folder, act, ROOT)
    served, port = tmp_path_factory.mktemp("served"), free_port()
    repository = folder / "toy"
    write_repository(repository, lab, toy, served, port)
    lab.git(repository, "init", "--quiet")
    commit = lab.commit_all(repository, "Policy and workflows")
    lab.publish(repository, NAME)
    with GitHubDouble() as github:
        world = github.world
        there = world.repository(NAME)
        world.authors[commit] = (world.user("mona"), world.user("mona"))
        for name, reviewers in (("production-low", ()), ("production-high", (world.user("lena"),))):
            made = world.environment(there, name)
            made.reviewers, made.prevents_self_review = reviewers, bool(reviewers)
            made.admins_bypass, made.branches = False, {1: "main"}
        stand = Stand(lab, github, toy, served, port, commit)
        for weight in (1.0, 2.0):
            evaluated(stand, version(toy, weight, commit))
        os.chdir(here)
        try:
            released_before(stand, served)
            yield stand
        finally:
            for record in served.glob("**/process.json"):
                Daemon(record.parent).end(0)


def write_repository(repository: Path, lab: Lab, toy: Toy, served: Path, port: int) -> None:
    policy: dict[str, Any] = {
        "version": 1,
        "model": MODEL,
        "release": {
            "environments": {
                "low": {"name": "production-low"},
                "medium": {"name": "production-high", "reviewers": ["lena"]},
                "high": {"name": "production-high", "reviewers": ["lena"]},
            },
        },
        "canary": {
            "stages": [{"share": 0.5, "minutes": 0.01, "requests": 10}],
            "metrics": {"errors": {"margin": 4}},
            "observations": {"file": str(served / "observations.jsonl")},
        },
        "deployment": {
            "environments": {
                "dev": {"target": {"local": {"folder": str(served / "dev"), "port": port + 1, "gateway": "builtin"}}},
                "production": {
                    "target": {"local": {"folder": str(served / "production"), "port": port, "gateway": "builtin"}},
                    "rollout": "canary",
                },
            },
            "tolerance": 1e-9,
        },
    }
    folder = repository / ".github" / "workflows"
    folder.mkdir(parents=True)
    (repository / "slipway.yml").write_text(yaml.safe_dump(policy, sort_keys=False))
    given = {
        "release": {"model-version": "${{ inputs.version }}"},
        "canary": {},
        "rollback": {"reason": "${{ inputs.reason }}"},
    }
    for name, inputs in given.items():
        said = json.dumps({"tracking-uri": toy.uri, **inputs})
        text = CALLER.format(name=name, slipway=SLIPWAY, commit=lab.commit, given=said)
        (folder / f"{name}.yml").write_text(text)


def evaluated(stand: Stand, number: str) -> None:
    """Put on record that a version was judged, as pipeline.yml does."""
    tags = stand.toy.registry().by_version(MODEL, number).tags
    subjects = [Subject(role="candidate", name=number, id=tags["slipway.model_digest"])]
    if number != "1":
        first = stand.toy.registry().by_version(MODEL, "1").tags
        subjects.append(Subject(role="production", name="1", id=first["slipway.model_digest"]))
    report = Report(stage="evaluate-model", model=MODEL, verdict=Verdict.PASS, subjects=tuple(subjects))
    file = stand.toy.temp / f"evaluation-{number}.json"
    report.model_copy(update={"started": datetime.now(UTC)}).finished().write(file)
    receipt = stand.ledger.append([drafting.of_report(file, Run(repository=NAME, run_id=1, ref="refs/heads/main"))])
    assert not receipt.waiting, receipt.why_not


def released_before(stand: Stand, served: Path) -> None:
    """Version 1 is live in production; its policy asked nobody, and knew no other environment."""
    clone = stand.lab.folder / "before"
    remote = stand.lab.folder / "remotes" / f"{NAME}.git"
    stand.lab.git(stand.lab.folder, "clone", "--quiet", remote.as_uri(), str(clone))
    policy = yaml.safe_load((clone / "slipway.yml").read_text())
    production = policy["deployment"]["environments"]["production"] | {"approval": "none"}
    policy["deployment"]["environments"] = {"production": production}
    (clone / "slipway.yml").write_text(yaml.safe_dump(policy))
    runner = RunnerDouble(clone, served / "before", event={"inputs": {}}, env={"SLIPWAY_CACHE": str(stand.toy.cache)})
    given = {"environment": "production", "model-version": "1", "tracking-uri": stand.toy.uri}
    done = runner.run_action(ROOT / "actions" / "deploy-model", {**given, "remote": remote.as_uri()})
    assert (done.code, done.outputs["state"]) == (0, "live"), done.log


@pytest.fixture(scope="module")
def released(stand: Stand) -> ActRun:
    """A second version, of which only a parameter differs; lena approves it."""
    stand.approve(4201, "lena")
    return stand.start("release", version="2")


@pytest.fixture(scope="module")
def looked(stand: Stand, released: ActRun) -> ActRun:
    """The morning's look, after as good a night as the other version's."""
    now = datetime.now(UTC)
    arm = {"since": (now - timedelta(minutes=10)).isoformat(), "requests": 40_000, "errors": 400}
    line = {
        "schema_version": 1,
        "at": now.isoformat(),
        "share": 0.5,
        "canary": {"version": "2", **arm},
        "baseline": {"version": "1", **arm},
    }
    (stand.served / "observations.jsonl").write_text(json.dumps(line) + "\n")
    return stand.start("canary")


@pytest.fixture(scope="module")
def back(stand: Stand, looked: ActRun) -> ActRun:
    return stand.start("rollback", reason="The phones are ringing.")


def test_release__is_sealed_approved_and_a_canary(stand: Stand, released: ActRun) -> None:
    assert released.code == 0, str(released)
    jobs = ("assess", "before", "approve", "production")
    assert {job: released.jobs.get(job) for job in jobs} == dict.fromkeys(jobs, "success")
    said = told(released)
    assert (said["tier"], said["environment"], said["approvers"]) == ("medium", "production-high", "lena")
    assert (said["state"], said["live"], said["canary"]) == ("canary", "1", "2")
    assert said["url"] == f"http://127.0.0.1:{stand.port}"
    assert stand.events(released) == ["risk", "deployment", "promotion", "approval", "deployment"]


def test_release__every_step_of_every_job_runs(released: ActRun) -> None:
    shared = ("Check out Slipway", "Set up Python")
    assert {job: list(released.steps(job)) for job in ("assess", "before", "approve", "production")} == {
        "assess": [
            *("Check out the repository", *shared, "Assess the risk"),
            *("Keep what is to be approved", "Record the reports"),
        ],
        "before": ["Check out the policy", *shared, "Deploy", "Keep the report"],
        "approve": [
            *("Check out the policy", *shared, "Fetch what was sealed"),
            *("Record the approval", "Record the report"),
        ],
        "production": ["Check out the policy", *shared, "Deploy", "Keep the report"],
    }
    assert set(released.artifact("slipway-sealed")) == {"assess-risk.json", "evaluation.json", "seal.json"}
    for environment in ("dev", "production"):
        kept = released.artifact(f"slipway-deployed-{environment}")
        assert set(kept) == {"deploy-model.json", "deploy-model.html", "deploy-model.md"}
        assert f"Serving {environment}" in kept["deploy-model.md"]


def test_release__what_was_approved_is_what_is_served(stand: Stand, released: ActRun) -> None:
    mine = [each for each in stand.entries if each.run.run_id == released.run_id]
    approval = next(each for each in mine if each.event == "approval")
    began = next(each for each in mine if "approval" in each.details)
    assert began.details["approval"] == approval.sequence
    assert (began.details["environment"], began.details["rollout"]) == ("production", "canary")
    seal = next(each.id for each in began.subjects if each.role == "seal")
    assert seal == released.outputs("assess", "Assess the risk")["seal"]


def test_canary__one_look_and_what_follows_from_it(stand: Stand, looked: ActRun) -> None:
    assert looked.code == 0, str(looked)
    assert list(looked.steps("look"))[3:] == [
        *("Bring it to what is on record", "Look at the canary", "Follow the look", "Keep the evidence"),
    ]
    said = told(looked)
    assert (said["decision"], said["state"], said["live"], said["canary"]) == ("promote", "live", "2", "")
    assert stand.events(looked) == ["look", "promotion"]


def test_rollback__by_the_button(stand: Stand, back: ActRun) -> None:
    assert back.code == 0, str(back)
    assert list(back.steps("back"))[3:] == ["Roll back", "Keep the report"]
    assert "The phones are ringing." in back.artifact("slipway-rollback")["rollback-model.md"]
    said = told(back)
    assert (said["verdict"], said["live"], said["taken-back"]) == ("pass", "1", "2")
    entry = next(each for each in stand.entries if each.run.run_id == back.run_id)
    assert (entry.event, entry.details["reason"]) == ("rollback", "The phones are ringing.")
    assert (stand.ask(), stand.ask("dev")) == ("1", "2")


def test_canary__where_none_runs_the_first_step_is_the_last(stand: Stand, back: ActRun) -> None:
    run = stand.start("canary")
    assert run.code == 0, str(run)
    assert list(run.steps("look"))[3:] == ["Bring it to what is on record"]
    said = told(run)
    assert (said["decision"], said["state"], said["live"], said["canary"]) == ("", "live", "1", "")
    assert stand.events(run) == []


# What act cannot show, read from the files.

FLOWS = ROOT / ".github" / "workflows"


@cache
def jobs_of(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FLOWS / f"{name}.yml").read_text(encoding="utf-8"))["jobs"])


def deploying() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Workflow, id and job of every job that deploys."""
    for file in FLOWS.glob("*.yml"):
        for name, job in jobs_of(file.stem).items():
            if any("/actions/deploy-model" in str(step.get("uses")) for step in job.get("steps", ())):
                yield file.stem, name, job


def test_deploying__jobs_of_one_environment_queue_and_none_is_cancelled() -> None:
    found = {(flow, name): job.get("concurrency", {}) for flow, name, job in deploying()}
    assert found.keys() == {("release", "before"), ("release", "production"), ("canary", "look")}
    groups = {}
    for key, said in found.items():
        assert (said["cancel-in-progress"], said["queue"]) == (False, "max"), key
        group = said["group"]
        for expression, value in (
            ("${{ inputs.policy }}", "slipway.yml"),
            ("${{ inputs.environment }}", "production"),
            ("${{ matrix.environment }}", "dev"),
        ):
            group = group.replace(expression, value)
        groups[key] = group
    assert groups == {
        ("release", "before"): "slipway-deploy-slipway.yml-dev",
        ("release", "production"): "slipway-deploy-slipway.yml-production",
        ("canary", "look"): "slipway-deploy-slipway.yml-production",
    }


def test_rollback__waits_for_nobody() -> None:
    said = yaml.safe_load((FLOWS / "rollback.yml").read_text(encoding="utf-8"))
    assert "concurrency" not in said
    assert all("concurrency" not in job and "needs" not in job for job in said["jobs"].values())


SUCCESS = {"package": "skipped", "assess": "success", "before": "success", "approve": "success"}
SEALED = {"assess.seal": "abc", "assess.before": '["dev"]', "approve.model-version": "2"}


@pytest.mark.parametrize(
    ("job", "results", "outputs", "package", "runs"),
    [
        *((job, {}, {}, False, True) for job in ("assess", "before", "approve", "production")),
        ("assess", {"package": "success"}, {}, True, True),
        *(("assess", {"package": result}, {}, True, False) for result in ("failure", "cancelled", "skipped")),
        # A job that runs into its time limit is cancelled; one whose last step fails has put out a seal already.
        *(("before", {"assess": result}, {}, False, False) for result in ("failure", "cancelled", "skipped")),
        ("before", {}, {"assess.seal": ""}, False, False),
        ("before", {}, {"assess.before": "[]"}, False, False),
        ("approve", {"before": "skipped"}, {"assess.before": "[]"}, False, True),
        *(("approve", {"before": result}, {}, False, False) for result in ("failure", "cancelled", "skipped")),
        *(("approve", {"assess": result}, {}, False, False) for result in ("failure", "cancelled", "skipped")),
        ("approve", {"before": "skipped"}, {"assess.seal": "", "assess.before": "[]"}, False, False),
        *(("production", {"approve": result}, {}, False, False) for result in ("failure", "cancelled", "skipped")),
        ("production", {}, {"approve.model-version": ""}, False, False),
    ],
)
def test_release__goes_on_only_after_what_it_needs(
    job: str, results: dict[str, str], outputs: dict[str, str], package: bool, runs: bool
) -> None:
    said = jobs_of("release")[job]["if"].removeprefix("${{").removesuffix("}}").strip()
    results, outputs = SUCCESS | results, SEALED | outputs
    said = re.sub(r"needs\.(\w+)\.result", lambda found: repr(results[found[1]]), said)
    said = re.sub(r"needs\.(\w+)\.outputs\.([\w-]+)", lambda found: repr(outputs[f"{found[1]}.{found[2]}"]), said)
    said = said.replace("cancelled()", "False").replace("inputs.package", str(package))
    said = re.sub(r"!(?!=)", " not ", said.replace("&&", " and ").replace("||", " or "))
    assert bool(eval(said)) == runs, said  # noqa: S307 - our own file


def test_deploying__a_job_whose_token_reads_images_may() -> None:
    asking = [
        (flow, name, job["permissions"].get("packages"))
        for flow in ("release", "canary", "rollback")
        for name, job in jobs_of(flow).items()
        if any("github.token" in str(step.get("with", {}).get("registry-token")) for step in job["steps"])
    ]
    assert asking == [
        *(("release", "package", "write"), ("release", "before", "read"), ("release", "production", "read")),
        *(("canary", "look", "read"), ("rollback", "back", "read")),
    ]


def test_release__asks_for_approval_in_one_job_before_production() -> None:
    jobs = jobs_of("release")
    asking = [name for name, job in jobs.items() if "needs.assess.outputs.environment" in str(job.get("environment"))]
    assert asking == ["approve"]
    assert jobs["production"]["needs"] == "approve"
    (deploy,) = (step for step in jobs["production"]["steps"] if step.get("id") == "deploy")
    assert deploy["with"]["model-version"] == "${{ needs.approve.outputs.model-version }}"
    assert deploy["with"]["environment"] == "production"


def test_workflows__run_nothing_of_the_repository() -> None:
    for flow in ("release", "canary", "rollback"):
        for job in jobs_of(flow).values():
            for step in job["steps"]:
                assert "run" not in step
                assert step["uses"].startswith(("actions/", "./.slipway-actions/actions/"))
                assert "ref" not in step.get("with", {}) or step["with"]["path"] == ".slipway-actions"
