"""The example's own workflow under act, from a push or a pull request to the comment, against the double of GitHub.

What act cannot show, and what is therefore not tested here: that the token of the jobs that train and evaluate may not
write (under act every job has the same token), and what starts a run (paths, branches, schedule).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from act.harness import ActRun
from act.site import MODEL, NAME, ROOT, SECRET, Site, begin, create_store, damage, dvc, find_act, prepare_data
from comment_fork import ENTRIES
from github_double import bodies
from github_double.server import GitHubDouble
from github_double.storage import Storage
from github_double.world import PullRequest
from slipway.report import Report, Verdict
from slipway.report.comment import marker

pytestmark = [pytest.mark.act, pytest.mark.xdist_group("act")]

WORKFLOW = ".github/workflows/model.yml"
COMMENT_FORK = ".github/workflows/comment-fork.yml"
JOBS = ("train", "evaluate", "report")

# One month to learn from and two to be judged on: enough for every verdict, and quick.
MONTHS = ("train/2013-09.parquet", "holdout/2013-10.parquet", "holdout/2013-12.parquet")

# A careless training script: it prints a credential. The digest proves that it had the right one.
CARELESS = """
    import hashlib
    import os

    print("TEAM_TOKEN is", os.environ["TEAM_TOKEN"])
    print("Its digest is", hashlib.sha256(os.environ["TEAM_TOKEN"].encode()).hexdigest())
    print("Tokens here:", sorted(name for name in os.environ if "TOKEN" in name))
"""

# A job of the team's own that reads the outputs of the gate.
READER = """
  told:
    name: Told
    needs: gate
    runs-on: ubuntu-latest
    steps:
      - run: echo "version $VERSION, $VERDICT, comment '$COMMENT'"
        env:
          VERSION: ${{ needs.gate.outputs.model-version }}
          VERDICT: ${{ needs.gate.outputs.verdict }}
          COMMENT: ${{ needs.gate.outputs.comment-url }}
"""


@dataclass(frozen=True)
class Judged:
    """A run on a pull request, and the pull request's comments after it: id, author and body of each."""

    run: ActRun
    head: str
    comments: list[tuple[int, str, str]]

    @property
    def body(self) -> str:
        return self.comments[0][2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Site:
    made = begin(tmp_path_factory.mktemp("site"), find_act(), environments_cache)
    made.pin(WORKFLOW, READER)
    made.pin(COMMENT_FORK)
    with (made.flights / "train.py").open("a") as script:
        script.write(CARELESS)
    with ThreadPoolExecutor(1) as aside:
        store = aside.submit(create_store, made)
        track_data(made)
        store.result()
    return replace(made, main=made.commit("Predict late arrivals"))


@pytest.fixture(scope="module")
def github() -> Iterator[GitHubDouble]:
    with GitHubDouble() as double:
        double.world.repository(NAME)
        yield double


@pytest.fixture(scope="module")
def first_release(site: Site, github: GitHubDouble) -> ActRun:
    """A push to main, before any version is in production."""
    payload = {"ref": "refs/heads/main", "before": "0" * 40, "after": site.main, "deleted": False}
    run = site.start(github, "push", payload, site.main, workflow=WORKFLOW)
    assert github.log == []
    return run


@pytest.fixture(scope="module")
def production(site: Site, first_release: ActRun) -> str:
    """A person makes the first version the one in production."""
    assert first_release.code == 0, str(first_release)
    version: str = str(site.query("SELECT version FROM model_versions")[0])
    site.promote(version)
    return version


@pytest.fixture(scope="module")
def pull_request(github: GitHubDouble) -> PullRequest:
    return github.world.pull_request(github.world.repositories[NAME])


@pytest.fixture(scope="module")
def worse(site: Site, github: GitHubDouble, pull_request: PullRequest, production: str) -> Judged:
    return judge(site, github, pull_request, propose(site, "candidate", "worse"))


@pytest.fixture(scope="module")
def better(site: Site, github: GitHubDouble, pull_request: PullRequest, worse: Judged) -> Judged:
    """A second push to the same pull request."""
    return judge(site, github, pull_request, propose(site, "candidate", "better"))


@pytest.fixture(scope="module")
def bad_delivery(site: Site) -> str:
    """Commit of a branch that brings a month of damaged data."""
    site.lab.git(site.flights, "switch", "--quiet", "--create", "delivery", site.main)
    damage(site.flights / "data" / MONTHS[0])
    dvc(site.flights, "add", "data/train")
    dvc(site.flights, "push")
    return site.commit("A new September")


def judge(
    site: Site, github: GitHubDouble, pull_request: PullRequest, head: str, *, kept: bool = True, **rights: str
) -> Judged:
    """The run that GitHub starts for a pull request whose head is now `head`."""
    pull_request.head.sha, pull_request.base.sha = head, site.main
    # GitHub starts it on a merge commit of its own.
    parents = ("-p", site.main, "-p", head)
    merge = site.lab.git(site.flights, "commit-tree", f"{head}^{{tree}}", *parents, "-m", "Merge")
    site.lab.git(site.flights, "update-ref", f"refs/pull/{pull_request.number}/merge", merge)
    site.lab.publish(site.flights, NAME)
    payload = {
        "action": "synchronize",
        "number": pull_request.number,
        "pull_request": bodies.pull_request(github.world, pull_request),
        "repository": bodies.repository(github.world, pull_request.repository),
    }
    run = site.start(github, "pull_request", payload, merge, workflow=WORKFLOW, kept=kept, **rights)
    comments = [(each.id, each.author.login, each.body) for each in github.world.comments_of(pull_request)]
    assert comments or rights, str(run)
    return Judged(run, head, comments)


def track_data(site: Site) -> None:
    """Track the few months that are kept."""
    data = prepare_data(site)
    for file in data.glob("*/*.parquet"):
        if file.relative_to(data).as_posix() not in MONTHS:
            file.unlink()
    dvc(site.flights, "add", "data/train", "data/holdout")
    dvc(site.flights, "push")


def propose(site: Site, branch: str, *changes: str) -> str:
    """Set `branch` to main and the given patches: what a force push does to a pull request."""
    site.lab.git(site.flights, "switch", "--quiet", "--force-create", branch, site.main)
    for change in changes:
        site.lab.git(site.flights, "apply", str(ROOT / "examples" / "flights-candidates" / f"{change}.patch"))
    return site.commit(f"Propose {', '.join(changes)}")


def reports(run: ActRun) -> dict[str, Report]:
    """The reports among the artifacts, by stage."""
    files = {**run.artifact("slipway-train-reports"), **run.artifact("slipway-evaluate-reports")}
    stages = ("validate-data", "train-model", "evaluate-model")
    return {name: Report.model_validate_json(files[f"{name}.json"]) for name in stages if f"{name}.json" in files}


def test_push__the_first_release_passes_without_a_comment(site: Site, first_release: ActRun) -> None:
    run = first_release
    assert run.code == 0, str(run)
    assert {job: run.jobs[job] for job in JOBS} == dict.fromkeys(JOBS, "success")
    assert {stage: str(report.verdict) for stage, report in reports(run).items()} == {
        "validate-data": "pass",
        "train-model": "pass",
        "evaluate-model": "pass",
    }
    assert "First release" in " ".join(reports(run)["evaluate-model"].reasons)
    assert run.outputs("report", "Post the report")["action"] == "written to a file"
    assert "version 1, pass, comment ''" in run.printed("told")


def test_push__every_step_of_the_pipeline_runs(first_release: ActRun) -> None:
    shared = ["Check out Slipway", "Set up Python"]
    assert {job: list(first_release.steps(job)) for job in JOBS} == {
        "train": [
            *("Check out the change", *shared, "Fetch the reports of earlier passes", "Validate the data"),
            *("Train the model", "Keep the reports of passes", "Keep the reports"),
        ],
        "evaluate": [
            *("Check out the change", *shared, "Fetch the reports of earlier passes", "Evaluate the model"),
            *("Keep the reports of passes", "Keep the report"),
        ],
        "report": [
            *shared,
            "Fetch the reports of validation and training",
            "Fetch the report of the evaluation",
            "Post the report",
            "Keep the full report",
            "Record the reports",
        ],
    }
    (page,) = first_release.artifact("slipway-full-report").values()
    assert f"<h1>{MODEL}: may go into production</h1>" in page


def test_push__every_stage_is_in_the_ledger(site: Site, first_release: ActRun, tmp_path: Path) -> None:
    entries = site.entries(tmp_path)
    first = [entry for entry in entries if entry.run.run_id == entries[1].run.run_id]
    assert [entry.event for entry in first] == ["validation", "training", "evaluation", "comment"]
    assert {(entry.model, entry.verdict) for entry in first} == {(MODEL, "pass")}
    assert first[1].model_version == first[2].model_version == "1"
    assert (first[0].trigger.event, first[0].trigger.actor, first[0].trigger.sha) == ("push", "mona", site.main)
    assert entries[0].event == "genesis"
    assert first_release.outputs("report", "Record the reports")["recorded"] == "4"


def test_push__slipways_own_checkout_leaves_the_tree_clean(site: Site, first_release: ActRun) -> None:
    provenance = reports(first_release)["train-model"].provenance
    assert (provenance["clean"], provenance["commit"]) == (True, site.main)


def test_push__each_stage_has_a_summary(first_release: ActRun) -> None:
    headings = {job: [text.splitlines()[0] for text in first_release.summaries(job)] for job in JOBS}
    assert headings["train"] == ["### ✅ validate\\-data: pass", "### ✅ train\\-model: pass"]
    assert headings["evaluate"] == ["### ✅ evaluate\\-model: pass"]
    assert headings["report"] == [f"### ✅ `{MODEL}`: may go into production"]


def test_credentials__reach_the_training_command_and_nobody_else(site: Site, first_release: ActRun) -> None:
    printed = first_release.printed("train")
    assert "TEAM_TOKEN is ***" in printed
    assert hashlib.sha256(SECRET.encode()).hexdigest() in printed
    # The token of the job is none of the command's business.
    assert "Tokens here: ['TEAM_TOKEN']" in printed
    assert SECRET not in repr(first_release.log) + first_release.errors
    assert all(SECRET not in report.model_dump_json() for report in reports(first_release).values())


def test_pull_request__a_worse_candidate_fails_the_run(worse: Judged) -> None:
    assert worse.run.code == 1, str(worse.run)
    assert {job: worse.run.jobs[job] for job in JOBS} == {
        "train": "success",
        "evaluate": "failure",
        "report": "success",
    }
    assert worse.run.steps("evaluate")["Evaluate the model"] == "failure"
    assert worse.run.steps("evaluate")["Keep the report"] == "success"
    assert worse.run.outputs("report", "Post the report")["verdict"] == "fail"
    assert any("roc_auc" in message for message in worse.run.annotations("evaluate"))


def test_pull_request__the_comment_says_that_it_must_not_replace_production(
    worse: Judged, pull_request: PullRequest
) -> None:
    assert [author for _, author, _ in worse.comments] == ["github-actions[bot]"]
    assert worse.body.startswith(f"### ❌ `{MODEL}`: must not replace production\n")
    assert "Candidate version 2 against production version 1 on 55,638 rows" in worse.body.replace("\\", "")
    assert worse.body.endswith(f"{marker(MODEL)}run=4202.1 head={worse.head} -->")
    assert worse.run.outputs("report", "Post the report")["comment-url"].endswith(
        f"/{NAME}/pull/{pull_request.number}#issuecomment-{worse.comments[0][0]}"
    )
    assert worse.run.summaries("report")[0].strip() == worse.body


def test_pull_request__the_head_is_trained_and_the_base_judges(site: Site, worse: Judged) -> None:
    found = reports(worse.run)
    # Not the merge commit that started the run.
    assert found["train-model"].provenance["commit"] == worse.head
    assert found["evaluate-model"].provenance["gates_from"] == site.main


def test_pull_request__the_comment_says_what_changed_and_draws_the_curves(worse: Judged) -> None:
    evaluated = reports(worse.run)["evaluate-model"]
    assert evaluated.changes, "the two trainings differ in a parameter"
    assert f"**Changed against production:** {evaluated.changes[0].name.replace('_', chr(92) + '_')}" in worse.body
    assert [chart.kind for chart in evaluated.charts] == ["reliability", "roc"]
    assert worse.body.count("```mermaid") == 3  # calibration of each model, and ROC


def test_second_push__a_better_candidate_passes(better: Judged) -> None:
    assert better.run.code == 0, str(better.run)
    assert "version 3, pass, comment 'http" in better.run.printed("told")


def test_second_push__updates_the_comment_in_place(worse: Judged, better: Judged) -> None:
    assert better.run.outputs("report", "Post the report")["action"] == "updated"
    assert [(number, author) for number, author, _ in better.comments] == [worse.comments[0][:2]]
    assert better.body.startswith(f"### ✅ `{MODEL}`: may replace production\n")
    assert better.body.endswith(f"{marker(MODEL)}run=4203.1 head={better.head} -->")


def test_bad_delivery__stops_before_training(
    site: Site, github: GitHubDouble, bad_delivery: str, production: str
) -> None:
    before = site.runs()
    pull_request = github.world.pull_request(github.world.repositories[NAME], branch="delivery")

    # Nothing is kept: every job builds its environments, as on a new machine of GitHub.
    judged = judge(site, github, pull_request, bad_delivery, kept=False)

    assert judged.run.code == 1, str(judged.run)
    assert site.runs() == before > 0
    assert judged.run.steps("train") == {
        "Check out the change": "success",
        "Check out Slipway": "success",
        "Set up Python": "success",
        "Fetch the reports of earlier passes": "success",
        "Validate the data": "failure",
        "Keep the reports": "success",
    }
    assert judged.run.steps("evaluate") == {}
    assert list(reports(judged.run)) == ["validate-data"]
    assert judged.run.steps("report")["Fetch the report of the evaluation"] == "failure"
    assert [author for _, author, _ in judged.comments] == ["github-actions[bot]"]
    assert judged.body.startswith(f"### ❌ `{MODEL}`: stopped by validate\\-data\n")
    for column in ("tailnum", "distance", "origin", r"wind\_speed"):
        assert column in judged.body


def test_workflow_dispatch__bad_data_fail_the_run_without_a_comment(
    site: Site, github: GitHubDouble, bad_delivery: str, production: str
) -> None:
    asked = len(github.log)

    run = site.start(github, "workflow_dispatch", {"ref": "refs/heads/delivery"}, bad_delivery, workflow=WORKFLOW)

    assert run.code == 1, str(run)
    assert run.outputs("report", "Post the report")["verdict"] == "fail"
    assert len(github.log) == asked


def test_push__the_same_commit_is_not_trained_again(site: Site, github: GitHubDouble, production: str) -> None:
    before = site.runs()
    payload = {"ref": "refs/heads/main", "before": site.main, "after": site.main, "deleted": False}
    run = site.start(github, "push", payload, site.main, workflow=WORKFLOW)
    assert run.code == 0, str(run)
    assert site.runs() == before
    assert run.outputs("train", "Train the model")["model-version"] == "1"
    found = reports(run)
    assert {found[stage].verdict for stage in ("validate-data", "train-model")} == {Verdict.PASS}
    assert found["train-model"].reused_from.startswith("https://github.com/acme/flights/actions/runs/42")
    assert found["validate-data"].reused_from == found["train-model"].reused_from
    # What was trained is what is in production: nothing is to be decided, and nothing fails.
    assert found["evaluate-model"].verdict is Verdict.INCONCLUSIVE
    assert "in production already" in found["evaluate-model"].headline


@pytest.fixture(scope="module")
def forked(site: Site, github: GitHubDouble, production: str) -> tuple[PullRequest, Judged]:
    """A pull request from a fork, and its own run, whose token may only read."""
    fork = github.world.repository("mona/flights", fork=True)
    pull_request = github.world.pull_request(github.world.repositories[NAME], fork=fork, branch="from-afar")
    head = propose(site, "from-afar", "worse")
    return pull_request, judge(site, github, pull_request, head, contents="read", pull_requests="read")


def test_fork__its_own_run_keeps_the_reports_and_writes_nothing(forked: tuple[PullRequest, Judged]) -> None:
    _, judged = forked
    assert judged.comments == []
    assert judged.run.steps("report")["Keep the reports of a fork's run"] == "success", str(judged.run)
    assert set(judged.run.artifact("slipway-fork-reports")) == set(ENTRIES)


def test_fork__the_second_workflow_comments(
    site: Site, github: GitHubDouble, forked: tuple[PullRequest, Judged]
) -> None:
    pull_request, judged = forked
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in judged.run.artifact("slipway-fork-reports").items():
            archive.writestr(name, text)
    world = github.world
    run = world.run(pull_request, path=WORKFLOW, conclusion="failure")
    world.artifact(run, "slipway-fork-reports", packed.getvalue())
    payload = {
        "action": "completed",
        "repository": bodies.repository(world, world.repositories[NAME]),
        "workflow_run": bodies.workflow_run(world, run),
    }
    with Storage(world):
        told = site.start(
            github,
            "workflow_run",
            payload,
            site.main,
            workflow=COMMENT_FORK,
            actions="read",
            contents="read",
            pull_requests="write",
        )

    assert told.code == 0, str(told)
    assert list(told.steps("comment")) == ["Check out Slipway", "Set up Python", "Comment"]
    (comment,) = world.comments_of(pull_request)
    assert comment.author.login == "github-actions[bot]"
    assert comment.body.startswith(f"### ❔ `{MODEL}`: reported by a fork's run, not judged")
    assert "> - evaluate\\-model reports *fail*" in comment.body
    assert comment.body.endswith(f"run={run.id}.1 head={judged.head} -->")
    assert told.outputs("comment", "Comment")["reported-verdict"] == "fail"


def test_fork__the_second_workflow_does_not_start_for_the_repositorys_own(
    site: Site, github: GitHubDouble, better: Judged, pull_request: PullRequest
) -> None:
    run = github.world.run(pull_request, path=WORKFLOW)
    payload = {
        "action": "completed",
        "repository": bodies.repository(github.world, github.world.repositories[NAME]),
        "workflow_run": bodies.workflow_run(github.world, run),
    }
    told = site.start(github, "workflow_run", payload, site.main, workflow=COMMENT_FORK)
    assert told.code == 0, str(told)
    assert told.steps("comment") == {}
