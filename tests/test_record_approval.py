"""The record-approval action as the approved job runs it: real MLflow, GitHub's approvals by its description."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from github_double.server import GitHubDouble
from github_double.world import Deployment, Repository, Review, Status
from slipway.policy.source import load
from slipway.registry.digests import digest
from slipway.registry.mlflow import CANDIDATE, PRODUCTION
from slipway.release.seal import Sealed
from slipway.report import Report, Verdict
from slipway.runner.context import Run
from slipway.runner.inputs import user_name
from test_training_toy import MODEL, QUIET, ROOT, Done, Toy, make_toy

pytestmark = QUIET
ACTION = ROOT / "actions" / "record-approval"
REPOSITORY = "octo/models"
RUN, COMMIT = 1000, "c" * 40
WAITED, WENT_ON = datetime(2026, 3, 1, 9, 0, tzinfo=UTC), datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
RELEASE: dict[str, Any] = {
    "environments": {
        "low": {"name": "production-low"},
        "medium": {"name": "production", "reviewers": ["lena", "mona"]},
        "high": {"name": "production-high", "reviewers": ["team/board"]},
    }
}


@pytest.fixture
def toy(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environments_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Toy:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    toy = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    toy.policy({"release": RELEASE})
    version = toy.version({"x1": 1.0}, alias=CANDIDATE)
    toy.registry().tag_version(version, {"slipway.model_digest": files_digest(toy)})
    return toy


@pytest.fixture
def repository(hub: GitHubDouble) -> Repository:
    """The repository with a commit by mona, merged by otto, and a job that waited for `production`."""
    found = hub.world.repository(REPOSITORY)
    mona, otto = hub.world.user("mona"), hub.world.user("otto")
    hub.world.authors[COMMIT] = (mona, otto)
    hub.world.environment(found, "production")
    moments = {"waiting": WAITED, "queued": WENT_ON, "in_progress": WENT_ON + timedelta(seconds=5)}
    statuses = [Status(*each) for each in moments.items()]
    for run in (RUN + 7, RUN):
        hub.world.deployments.append(Deployment(hub.world.new_id(), found, run, "0" * 40, "production", statuses))
    return found


def files_digest(toy: Toy) -> str:
    version = toy.registry().by_alias(MODEL, CANDIDATE)
    assert version is not None
    return digest(toy.registry().download(version, toy.temp / "files"))


def approve(hub: GitHubDouble, login: str, state: str = "approved", *, run: int = RUN) -> None:
    there = hub.world.environments[REPOSITORY, "production"]
    said = Review(hub.world.new_id(), hub.world.user(login), state, "Looks *good*.", WENT_ON, environment=there)
    hub.world.approvals.setdefault(run, []).append(said)


def seal(toy: Toy, **change: Any) -> Sealed:
    """What assess-risk sealed, with some of it otherwise."""
    report = toy.temp / "evaluate-model.json"
    if not report.is_file():
        Report(stage="evaluate-model", model=MODEL, verdict=Verdict.PASS).finished().write(report)
    made = Sealed(
        model=MODEL,
        version="1",
        model_digest=files_digest(toy),
        commit="",
        image="",
        data={},
        evaluation=digest_of(report),
        policy=load(Path("slipway.yml"), Run()).policy.digest,
        tier="medium",
        environment="production",
        replaces="",
    )
    return replace(made, **change)


def digest_of(file: Path) -> str:
    from slipway.policy.source import file_digest

    return file_digest(file)


def record(toy: Toy, hub: GitHubDouble, sealed: Sealed, **inputs: str) -> Done:
    file = sealed.write(toy.temp / "seal.json")
    rights = dict.fromkeys(("actions", "deployments", "contents", "pull_requests", "metadata"), "read")
    runner = toy.runner()
    runner.api_url = hub.base_url
    given = {
        "sealed": str(file),
        "seal": sealed.digest,
        "evaluation_report": str(toy.temp / "evaluate-model.json"),
        "tracking_uri": toy.uri,
        "github_token": hub.world.installation_token(**rights),
        **inputs,
    }
    done = runner.run_action(ACTION, {user_name(name): value for name, value in given.items() if value})
    assert done.code in (0, 1), done.log
    return Done(done.code, done.outputs, done.annotations, done.summary, done.log)


def with_commit(toy: Toy) -> None:
    """The version's provenance says that mona's commit made it."""
    from test_training_statement import MADE

    version = toy.registry().by_alias(MODEL, CANDIDATE)
    assert version is not None
    made = dataclasses.replace(MADE, commit=COMMIT, datasets={})
    toy.registry().log_file(version.run_id, made.write(toy.temp / "provenance.json"), "slipway")


def test_record__who_approved_and_when(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    with_commit(toy)
    approve(hub, "nobody-of-this-run", run=RUN + 7)
    approve(hub, "lena")
    sealed = seal(toy, commit=COMMIT)
    done = record(toy, hub, sealed, environment="Production")
    assert done.code == 0, done.log
    assert (done.outputs["verdict"], done.outputs["approvers"]) == ("pass", "lena")
    assert done.outputs["model-version"] == "1"
    lena = str(hub.world.users["lena"].id)
    (row,) = done.report["tables"][0]["rows"]
    assert row == [
        "lena",
        lena,
        "approved",
        "Looks *good*.",
        "2026-03-01 09:00:00 UTC to 2026-03-01 09:30:00 UTC",
        "deployment status `waiting` / the deployment status after it",
    ]
    assert {"role": "seal", "name": "production", "id": sealed.digest} in done.report["subjects"]
    kept = Path(done.outputs["report"]).with_name("seal.json")
    assert done.report["attachments"]["seal.json"] == digest_of(kept) == sealed.digest
    assert "*good*" not in done.summary, "a comment is text, not Markdown"


def test_record__a_deployment_that_deploy_model_shows_is_not_the_job_that_waited(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    """The job is run again, after an earlier try of the same run has deployed."""
    with_commit(toy)
    approve(hub, "lena")
    log = f"{hub.html_url}/{REPOSITORY}/actions/runs/{RUN}"
    shown = [Status("in_progress", WENT_ON + timedelta(hours=1), log_url=log)]
    ours = Deployment(hub.world.new_id(), repository, 0, "0" * 40, "production", shown, task="slipway")
    hub.world.deployments.append(ours)
    done = record(toy, hub, seal(toy, commit=COMMIT), environment="production")
    assert done.report["tables"][0]["rows"][0][4] == "2026-03-01 09:00:00 UTC to 2026-03-01 09:30:00 UTC"


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("mona", "mona is author of cccccccccccc"),
        (None, "Nobody approved, and the job runs"),
        ("anna", "anna: no reviewer by the policy"),
    ],
)
def test_record__not_everybody_may(
    toy: Toy, hub: GitHubDouble, repository: Repository, login: str | None, said: str
) -> None:
    with_commit(toy)
    if login:
        approve(hub, login)
    done = record(toy, hub, seal(toy, commit=COMMIT))
    assert done.code == 1
    assert said in done.error
    assert (done.outputs["verdict"], done.outputs["approvers"], done.outputs["model-version"]) == ("fail", "", "")


def test_record__the_second_environment_needs_another_person(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    with_commit(toy)
    approve(hub, "lena")
    sealed = seal(toy, commit=COMMIT)
    assert "another person must" in record(toy, hub, sealed, earlier_approvers="lena").error
    assert record(toy, hub, sealed, earlier_approvers="paul").outputs["approvers"] == "paul\nlena"


def test_record__what_has_changed_since_stops_it(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    sealed = seal(toy)
    changes: dict[str, Any] = {"policy": "sha256:1", "image": "r@sha256:1", "evaluation": "sha256:2", "replaces": "7"}
    for name, was in changes.items():
        done = record(toy, hub, replace(sealed, **{name: was}))
        assert "What was approved is not what would be released." in done.error
        assert f"{name} was `{was}`" in done.error
    (file,) = toy.folder.rglob("weights.json")  # of version 1, before there is another
    toy.registry().set_alias(MODEL, PRODUCTION, toy.version({"x1": 2.0}).version)
    assert "replaces was `none`, and is `2`" in record(toy, hub, sealed).error
    file.write_text(json.dumps({"weights": {"x1": 9.0}, "link": "logit", "misdeed": ""}))
    assert "are not those that were registered" in record(toy, hub, sealed).error


def test_record__an_exchanged_seal_or_environment(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    sealed = seal(toy)
    assert "is not what is here" in record(toy, hub, sealed, seal=f"sha256:{'0' * 64}").error
    assert "needs `production`" in record(toy, hub, sealed, environment="production-low").error
    lower = replace(sealed, environment="production-low")
    assert "needs `production`" in record(toy, hub, lower, environment="production-low").error
    missing = record(toy, hub, sealed, github_token="")
    assert missing.code == 1
    assert "Approvals cannot be read" in missing.error


def test_record__a_low_tier_asks_nobody_and_says_so(toy: Toy, hub: GitHubDouble) -> None:
    done = record(toy, hub, seal(toy, tier="low", environment="production-low"), github_token="")
    assert done.code == 0, done.log
    assert "wants nobody's approval" in json.dumps(done.report["checks"])
    assert done.outputs["approvers"] == ""


def test_record__a_review_of_the_pull_request(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    toy.policy({"release": {**RELEASE, "approval": "pull_request_review"}})
    with_commit(toy)
    opened = hub.world.pull_request(repository, author="mona")
    sealed = seal(toy, commit=COMMIT)
    said = hub.world.reviews.setdefault((REPOSITORY, opened.number), [])

    def review(login: str, state: str, commit: str = COMMIT) -> None:
        moment = WAITED + timedelta(minutes=len(said))
        said.append(Review(hub.world.new_id(), hub.world.user(login), state, "", moment, commit=commit))

    assert "needs the number of the pull request" in record(toy, hub, sealed).error
    number = str(opened.number)
    review("lena", "APPROVED", "b" * 40)
    assert "approved for another commit" in record(toy, hub, sealed, pull_request=number).error
    review("lena", "APPROVED")
    review("lena", "COMMENTED")
    done = record(toy, hub, sealed, pull_request=number)
    assert (done.code, done.outputs["approvers"]) == (0, "lena"), done.log
    assert done.report["tables"][0]["rows"][0][4] == "2026-03-01 09:01:00 UTC"
    review("mona", "CHANGES_REQUESTED")
    assert "mona requested changes" in record(toy, hub, sealed, pull_request=number).error
