"""The root action as a job runs it: every stage in its own process, up to the comment on the double of GitHub."""

from __future__ import annotations

import functools
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import warm_stage
from conftest import pull_request as pull_request_event
from github_double.server import GitHubDouble
from github_double.world import PullRequest
from ledger_kit import ledger, served, subjects
from runner_double import RunnerDouble, StepResult, machine_environ
from slipway.ledger.verification import records
from slipway.registry.mlflow import CANDIDATE, PRODUCTION
from test_training_toy import MODEL, QUIET, ROOT, SCRIPTS, Toy, make_toy, save_toy, stage_python

pytestmark = [QUIET, pytest.mark.xdist_group("pipeline")]

STAGES = ("validate-data", "train-model", "evaluate-model")
DATA = {
    "train": {"path": "data/train.csv", "schema": "train-schema.yml"},
    "holdout": {"path": "data/holdout.parquet", "schema": "holdout-schema.yml"},
}
SCHEMA = "columns:\n  x1: {dtype: Float64, in_range: {min_value: -10, max_value: 10}}\n"
SPY = """
with open("build/seen.json", "w") as file:
    json.dump(dict(os.environ), file)
print("tokens here:", {name: value for name, value in os.environ.items() if "TOKEN" in name})
"""


@pytest.fixture
def toy(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Toy:
    """A repository whose data have schemas, on its way to a first release."""
    monkeypatch.chdir(tmp_path)  # the toy may change it
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    made = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    made.warm_models(requirements_of_models(tmp_path_factory.getbasetemp()))
    made.cache = warm_stages(environments_cache)
    made.write("train-schema.yml", SCHEMA)
    made.write("holdout-schema.yml", SCHEMA)
    made.policy({"data": DATA})
    return made


@functools.cache
def warm_stages(cache: Path) -> Path:
    """`cache`, in which the pipeline's stages do not import anew in every run what they need."""
    names = (*STAGES, "post-report", "record-reports")
    for other in ("profile-data",):
        stage_python(other, cache)
    return warm_stage.warm_cache(
        cache, {stage_python(name, cache): SCRIPTS / f"{name.replace('-', '_')}.py" for name in names}
    )


@functools.cache
def requirements_of_models(folder: Path) -> Path:
    """What a toy that its own command has made says it needs: it has no lock."""
    return save_toy(folder / "any model", {}) / "requirements.txt"


@pytest.fixture
def change(hub: GitHubDouble) -> PullRequest:
    """The pull request on GitHub."""
    return hub.world.pull_request(hub.world.repository("octo/models"))


def run(toy: Toy, hub: GitHubDouble | None = None, *, server_url: str = "", **inputs: str) -> StepResult:
    """Run the root action; what is on GitHub is reached where `hub` is given, and git where `server_url` is."""
    runner = (
        toy.runner()
        if hub is None
        else RunnerDouble(toy.folder, toy.temp, event=toy.event, env=toy.job, api_url=hub.base_url)
    )
    runner.server_url = server_url or runner.server_url
    given = {"tracking-uri": toy.uri, **{name.replace("_", "-"): value for name, value in inputs.items()}}
    done = runner.run_action(ROOT, given)
    assert done.code in (0, 1), done.log
    return done


def reports(done: StepResult) -> dict[str, dict[str, Any]]:
    """The stages' reports in their order."""
    found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in done.outputs["reports"].splitlines()]
    return {report["stage"]: report for report in found}


def comment(done: StepResult) -> str:
    """The rendered comment."""
    return Path(done.outputs["comment-file"]).read_text(encoding="utf-8")


def count(toy: Toy, table: str) -> int:
    """How many rows a table of the store has."""
    queries = {"runs": "select count(*) from runs", "versions": "select count(*) from model_versions"}
    connection = sqlite3.connect(toy.folder / "mlflow.db")
    try:
        return int(connection.execute(queries[table]).fetchone()[0])
    finally:
        connection.close()


def stopped_by(done: StepResult, stage: str) -> str:
    """The stage's own error; the pipeline's names the stage after it."""
    assert done.code == 1, done.log
    own, last = done.messages("error")
    assert last == f"The pipeline stopped: {stage} ended with exit code 1."
    return own


# From a change to its comment


def test_pipeline__a_first_release_is_commented_on_and_a_second_run_updates_the_comment(
    toy: Toy, hub: GitHubDouble, change: PullRequest
) -> None:
    toy.write("train.py", (toy.folder / "train.py").read_text() + SPY)
    base = toy.commit("The base branch")
    head = toy.commit("The change")
    toy.event = pull_request_event(change.number, base=base, head=head)
    token = hub.world.installation_token(contents="read", pull_requests="write")

    first = run(toy, hub, github_token=token)
    assert first.code == 0, first.log
    (only,) = hub.world.comments_of(change)
    assert first.outputs["verdict"] == "pass"
    assert first.outputs["model-version"] == "1"
    assert first.outputs["production-version"] == ""
    assert first.outputs["comment-url"].endswith(f"issuecomment-{only.id}")
    assert only.body.strip() == comment(first).strip()
    assert only.body.startswith("### ✅ `toy`: may go into production")
    assert head[:12] in only.body
    assert tuple(reports(first)) == STAGES
    assert {report["verdict"] for report in reports(first).values()} == {"pass"}
    assert reports(first)["evaluate-model"]["provenance"]["candidate"] == "1"
    assert first.summary.count("may go into production") == 1
    assert "evaluate\\-model" in first.summary
    assert first.messages("error") == []

    # The token is for the comment alone.
    seen = json.loads((toy.folder / "build" / "seen.json").read_text())
    assert "SLIPWAY_COMMIT" in seen
    assert token not in seen.values()
    assert not [name for name in seen if name.startswith("INPUT_")]
    assert "tokens here: {}" in first.log
    assert token in first.masked
    assert token not in first.log + first.summary + only.body + json.dumps(reports(first))

    judged = "0123456789abcdef" + 24 * "0"
    second = run(toy, hub, github_token=token, commit=judged)
    assert second.code == 0, second.log
    (updated,) = hub.world.comments_of(change)
    assert updated.id == only.id
    assert second.outputs["comment-url"] == first.outputs["comment-url"]
    assert second.outputs["model-version"] == "2"
    assert "version 2" in updated.body
    assert "version 1" not in updated.body
    assert f"commit `{judged[:12]}`" in updated.body
    assert f"head={judged}" in updated.body


def test_pipeline__a_candidate_that_fails_still_leaves_every_output(
    toy: Toy, hub: GitHubDouble, change: PullRequest
) -> None:
    toy.version({"x1": 2.0, "x2": 1.0}, alias=PRODUCTION)
    toy.event = pull_request_event(change.number, base=toy.git("rev-parse", "HEAD").strip())
    done = run(toy, hub, github_token=hub.world.installation_token())
    error = stopped_by(done, "evaluate-model")
    assert error.startswith("Candidate version 2 against production version 1 on 1,500 rows.")
    (posted,) = hub.world.comments_of(change)
    assert posted.body.startswith("### ❌ `toy`: must not replace production")
    assert posted.body.strip() == comment(done).strip()
    assert done.outputs["verdict"] == "fail"
    assert done.outputs["model-version"] == "2"
    assert done.outputs["production-version"] == "1"
    assert done.outputs["comment-url"].endswith(f"issuecomment-{posted.id}")
    assert [report["verdict"] for report in reports(done).values()] == ["pass", "pass", "fail"]
    assert all(value for name, value in done.outputs.items() if name != "ledger-head")
    production, candidate = (toy.registry().by_alias(MODEL, alias) for alias in (PRODUCTION, CANDIDATE))
    assert production is not None and candidate is not None
    assert (production.version, candidate.version) == ("1", "2")


def test_pipeline__records_every_stage_in_the_ledger(
    toy: Toy, hub: GitHubDouble, change: PullRequest, tmp_path: Path
) -> None:
    upstream = tmp_path / "served" / "octo" / "models"
    upstream.parent.mkdir(parents=True)
    toy.git("clone", "--quiet", "--bare", ".", str(upstream))
    toy.version({"x1": 2.0, "x2": 1.0}, alias=PRODUCTION)
    toy.event = pull_request_event(change.number, base=toy.git("rev-parse", "HEAD").strip())
    token = hub.world.installation_token()
    with served(tmp_path / "served", token=token) as address:
        done = run(toy, hub, server_url=address, github_token=token, record="true")
    stopped_by(done, "evaluate-model")
    said = subjects(upstream)
    assert [line.partition(" of ")[0] for line in said] == ["Begin the ledger", *STAGES, "post-report"]
    read = ledger(toy.folder, remote=str(upstream))
    found = [record.entry for record in records(read.git, read.commits())]
    assert done.outputs["ledger-head"] == found[-1].head
    trained, evaluated, commented = found[2:]
    assert (trained.model_version, trained.verdict) == ("2", "pass")
    assert (evaluated.model_version, evaluated.verdict) == ("2", "fail")
    assert trained.model_digest == evaluated.model_digest != ""
    evidence = {each.name for each in trained.evidence}
    assert evidence == {"report.json", "provenance.json", "provenance.intoto.json"}  # the toy has no lock
    assert {each.role for each in evaluated.subjects} == {"policy", "candidate", "production", "data", "schema"}
    assert commented.links["comment"] == done.outputs["comment-url"]
    assert token not in str(found)


# What stops it


def test_pipeline__what_is_no_commit_stops_it_before_any_work(toy: Toy) -> None:
    done = run(toy, commit="main")
    assert done.code == 1
    assert done.messages("error") == [
        "`commit` is `main`, which is no commit's id.\n"
        "What to do: Give the `commit` output of actions/checkout, or leave it empty."
    ]
    assert not any(done.outputs.values())
    assert count(toy, "runs") == 0


def test_pipeline__bad_data_stop_it_before_any_run_and_the_comment_says_why(
    toy: Toy, hub: GitHubDouble, change: PullRequest
) -> None:
    with (toy.folder / "data" / "train.csv").open("a") as file:
        file.write("99.5,1\n")
    head = toy.commit("Bad data")
    toy.event = pull_request_event(change.number, base=head, head=head)
    done = run(toy, hub, github_token=hub.world.installation_token())
    stopped_by(done, "validate-data")
    assert tuple(reports(done)) == STAGES[:1]
    assert done.outputs["verdict"] == "fail"
    assert (done.outputs["model-version"], done.outputs["production-version"]) == ("", "")
    (posted,) = hub.world.comments_of(change)
    assert posted.body.startswith("### ❌ `toy`: stopped by validate")
    assert "99.5" in posted.body
    assert posted.body.strip() == comment(done).strip()
    assert count(toy, "runs") == 0
    assert not (toy.folder / "build").exists(), "no compute was spent"


def test_pipeline__a_training_command_that_fails(toy: Toy) -> None:
    toy.write("train.py", "raise SystemExit('the learning rate is negative')")
    toy.commit()
    done = run(toy)
    error = stopped_by(done, "train-model")
    assert error.startswith("The training command ended with exit code 1")
    assert tuple(reports(done)) == STAGES[:2]
    assert done.outputs["verdict"] == "fail"
    assert (done.outputs["model-version"], done.outputs["comment-url"]) == ("", "")
    assert comment(done).startswith("### ❌ `toy`: stopped by train")
    assert "the learning rate is negative" in comment(done)
    assert "has no pull request" in done.messages("notice")[0]
    assert (count(toy, "runs"), count(toy, "versions")) == (1, 0)


def test_pipeline__a_policy_that_is_wrong(toy: Toy, hub: GitHubDouble, change: PullRequest) -> None:
    toy.policy({"data": DATA}, training={"comand": "python train.py"})
    head = toy.git("rev-parse", "HEAD").strip()
    toy.event = pull_request_event(change.number, base=head, head=head)
    done = run(toy, hub, github_token=hub.world.installation_token())
    error = stopped_by(done, "validate-data")
    assert error.startswith("slipway.yml is not valid: line ")
    assert "`command`" in error
    (annotation, _) = done.annotations
    assert (annotation.file, annotation.line > 0) == ("slipway.yml", True)
    assert done.outputs["verdict"] == "inconclusive"
    assert hub.world.comments_of(change) == []
    assert count(toy, "runs") == 0


# A person's own machine


def test_pipeline__a_person_runs_it(toy: Toy) -> None:
    command = [sys.executable, str(SCRIPTS / "run_pipeline.py"), "--tracking-uri", toy.uri]
    environ = {**machine_environ(), "PATH": toy.job["PATH"], "SLIPWAY_CACHE": str(toy.cache)}
    assert not [name for name in environ if name.startswith(("GITHUB_", "RUNNER_", "INPUT_"))]
    done = subprocess.run(
        command, cwd=toy.folder, env=environ, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)
    assert said["verdict"] == "pass"
    assert said["model-version"] == "1"
    assert Path(said["comment-file"]).read_text(encoding="utf-8").startswith("### ✅ `toy`: may go into production")
    assert "::" not in done.stdout, "no workflow command for a terminal"
    assert count(toy, "versions") == 1
    assert toy.git("status", "--porcelain") == ""


def test_pipeline__the_documented_command_works_twice(toy: Toy) -> None:
    toy.write(".gitignore", "build/\n__pycache__/\n")
    (toy.folder / "mlflow.db").unlink()
    toy.commit("Nothing of MLflow's is ignored")
    (documented,) = re.findall(r"run_pipeline.py (--tracking-uri \S+[^`.])", (ROOT / "README.md").read_text())
    environ = {**machine_environ(), "PATH": toy.job["PATH"], "SLIPWAY_CACHE": str(toy.cache)}
    for version in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / "run_pipeline.py"), *documented.split()],
            cwd=toy.folder,
            env=environ,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"model-version = {version}" in done.stdout
        assert toy.git("status", "--porcelain") == ""
    assert not [file for file in (toy.folder / "mlruns").glob("**/*") if file.is_file()]
