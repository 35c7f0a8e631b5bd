"""drift.yml, retrain.yml and reproduce.yml under act, by the example's own workflows, against the double of GitHub.

What act cannot show, and what is therefore not tested here:

- permissions: every job has the same token, so neither that the jobs which run the repository's code may not write, nor
  which rights a called workflow gets from its caller. The token of all of a run's jobs has what the callers grant;
- what starts a run (the schedule itself, a dispatch, the form), `run-name`, `concurrency` and `timeout-minutes`. The
  double plays the part of a run's title: it fills in the example's `run-name`;
- outputs of a called workflow that failed: act ends the caller there, and runs no later job of it, whatever its `if:`;
- two things that act does in another way than GitHub where a called workflow calls another, bridged by `Lab`: where it
  looks for `./.github/workflows/pipeline.yml`, and when it computes the outputs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from act.harness import ActRun
from act.site import MODEL, NAME, ROOT, Site, begin, create_store, damage, dvc, find_act, prepare_data, stage
from conftest import schedule
from github_double.server import GitHubDouble
from github_double.world import PullRequest
from slipway.ledger.entries import Entry
from slipway.report import Report
from slipway.report.comment import marker
from slipway.retraining import record

pytestmark = [pytest.mark.act, pytest.mark.xdist_group("act")]

DRIFT, RETRAIN, REPRODUCE = (f".github/workflows/{name}.yml" for name in ("drift", "retrain", "reproduce"))
DISPATCH = "actions/create-workflow-dispatch"

# What there is in the winter, what production sees later, and what has arrived by then. Few months, to be quick.
WINTER = {"train": ["2013-02"], "holdout": ["2013-03"], "live": ["2013-07"]}
ARCHIVE = ("2013-05", "2013-06", "2013-07")
NEXT = "2013-08"

NO_DRIFT = {
    "format": "slipway-drift-report",
    "schema_version": 1,
    "tool": "our own monitor",
    "model": MODEL,
    "columns": [{"column": "hour", "role": "feature", "statistic": "PSI", "value": 0.01, "drifted": False}],
}

# Jobs of the team's own, which read the outputs of the called workflows.
READER = """
  told:
    name: Told
    needs: {job}
    if: ${{{{ always() }}}}
    runs-on: ubuntu-latest
    steps:
      - run: printf '%s\\n' "$OUTPUTS"
        env:
          OUTPUTS: ${{{{ toJSON(needs.{job}.outputs) }}}}
"""


@dataclass(frozen=True)
class Retrained:
    """A run of retrain.yml, the newest pull request after it, and the ledger's entries of the run."""

    run: ActRun
    opened: PullRequest
    entries: list[Entry]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where months arrive."""
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All months of the example, once they are prepared."""
    return tmp_path_factory.mktemp("months")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, archive: Path, months: Path) -> Site:
    """The example with the loop, published, with a version in production."""
    folder = tmp_path_factory.mktemp("site")
    made = begin(folder, find_act(), environments_cache, credentials=f"FLIGHTS_ARCHIVE={archive}")
    with ThreadPoolExecutor(1) as aside:
        store = aside.submit(create_store, made)
        for file in prepare_data(made).glob("*/*.parquet"):
            file.rename(months / file.name)
        store.result()
    close_the_loop(made)
    for name, kept in WINTER.items():
        part = made.flights / "data" / name
        part.mkdir(exist_ok=True)
        for month in kept:
            shutil.copy(months / f"{month}.parquet", part)
    for month in ARCHIVE:
        shutil.copy(months / f"{month}.parquet", archive)
    dvc(made.flights, "add", *(f"data/{name}" for name in WINTER))
    dvc(made.flights, "push")
    made = replace(made, main=made.commit("Predict late arrivals"))
    stage(made, "train-model", "--tracking-uri", made.uri)
    made.promote("1")
    return made


@pytest.fixture(scope="module")
def github(site: Site) -> Iterator[GitHubDouble]:
    """GitHub, which knows the example's retrain.yml with its inputs and its `run-name`."""
    said = yaml.safe_load((site.flights / RETRAIN).read_text(encoding="utf-8"))
    inputs = tuple(said[True]["workflow_dispatch"]["inputs"])  # YAML 1.1 reads `on` as a truth value
    run_name = said["run-name"].replace("${{ inputs.key }}", "{key}")
    with GitHubDouble() as double:
        repository = double.world.repository(NAME)
        double.world.workflow(repository, Path(RETRAIN).name, inputs=inputs, run_name=run_name)
        double.world.set_clock(datetime.now(UTC).replace(microsecond=0))
        yield double


@pytest.fixture(scope="module")
def looked(site: Site, github: GitHubDouble) -> ActRun:
    """The morning's run: July is not what the model learned from."""
    return look(site, github, site.main)


@pytest.fixture(scope="module")
def looked_again(site: Site, github: GitHubDouble, looked: ActRun) -> ActRun:
    """The next one, on the same data."""
    return look(site, github, site.main)


@pytest.fixture(scope="module")
def sent(github: GitHubDouble, looked: ActRun) -> dict[str, str]:
    """The inputs of the dispatch, as GitHub received them."""
    assert looked.outputs("decide", "Decide")["dispatched"] == "true", str(looked)
    (request,) = github.requests(DISPATCH)
    inputs: dict[str, str] = request.json()["inputs"]
    return inputs


@pytest.fixture(scope="module")
def retrained(
    site: Site,
    github: GitHubDouble,
    looked_again: ActRun,
    sent: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Retrained:
    """The run that GitHub starts for that dispatch."""
    run = retrain(site, github, site.main, sent)
    assert github.world.pull_requests, str(run)
    *_, opened = github.world.pull_requests.values()
    return Retrained(run, opened, of_run(run, site.entries(tmp_path_factory.mktemp("ledger"))))


@pytest.fixture(scope="module")
def nothing_new(site: Site, github: GitHubDouble, retrained: Retrained) -> ActRun:
    """Once that is merged, a person starts another one before another month has arrived."""
    return retrain(site, github, tip(site, retrained.opened), {"reason": "The month is over"})


@pytest.fixture(scope="module")
def by_person(
    site: Site,
    github: GitHubDouble,
    nothing_new: ActRun,
    archive: Path,
    months: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Retrained:
    """The next month arrives damaged, and a person starts a retraining from the form, which sends empty inputs, too."""
    assert nothing_new.code == 1
    shutil.copy(months / f"{NEXT}.parquet", archive)
    damage(archive / f"{NEXT}.parquet")
    run = retrain(site, github, site.main, {"reason": "August has arrived", "key": "", "payload": ""})
    *_, opened = github.world.pull_requests.values()
    return Retrained(run, opened, of_run(run, site.entries(tmp_path_factory.mktemp("ledger"))))


def close_the_loop(site: Site) -> None:
    """What examples/loop.py makes of the example of the flights."""
    loop = ROOT / "examples" / "flights-loop"
    site.lab.git(site.flights, "apply", str(ROOT / "examples" / "flights-candidates" / "better.patch"))
    shutil.copytree(loop, site.flights, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md"))
    change(site.flights / "schema.yml", "max_age_days: 120", "max_age_days: 366")
    for workflow in (DRIFT, RETRAIN, REPRODUCE):
        site.pin(workflow, READER.format(job=Path(workflow).stem))


def look(
    site: Site, github: GitHubDouble, commit: str, event: str = "schedule", payload: dict[str, Any] | None = None
) -> ActRun:
    """A run of drift.yml, by its schedule where nothing else is said."""
    payload = payload or schedule("17 6 * * *")
    return site.start(github, event, payload, commit, workflow=DRIFT, contents="write", actions="write")


def retrain(site: Site, github: GitHubDouble, commit: str, inputs: dict[str, str]) -> ActRun:
    payload = {"ref": "refs/heads/main", "inputs": inputs, "repository": {"full_name": NAME}}
    return site.start(
        github, "workflow_dispatch", payload, commit, workflow=RETRAIN, contents="write", pull_requests="write"
    )


def tip(site: Site, opened: PullRequest) -> str:
    """The commit of a pull request's branch, in the repository."""
    return site.lab.git(site.remote, "rev-parse", f"refs/heads/{opened.head.ref}")


def branch(site: Site, name: str) -> None:
    site.lab.git(site.flights, "switch", "--quiet", "--create", name, site.main)


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def told(run: ActRun) -> dict[str, str]:
    """The called workflow's outputs, as another job of the caller sees them."""
    said: dict[str, str] = json.loads(run.printed("told"))
    return said


def of_run(run: ActRun, entries: list[Entry]) -> list[Entry]:
    """The ledger's entries of a run."""
    return [entry for entry in entries if entry.run.run_id == run.run_id]


def report(run: ActRun, artifact: str, stage_name: str) -> Report:
    return Report.model_validate_json(run.artifact(artifact)[f"{stage_name}.json"])


def test_drift__fails_the_run_and_decides_all_the_same(looked: ActRun) -> None:
    assert looked.code == 1, str(looked)
    assert (looked.jobs["look"], looked.jobs["decide"]) == ("failure", "success")
    assert looked.steps("look") == {
        **dict.fromkeys(("Check out the repository", "Check out Slipway", "Set up Python"), "success"),
        "Validate what production sees": "success",
        "Look for drift": "failure",
        "Keep the reports": "success",
    }
    assert list(looked.steps("decide")) == [
        *("Check out the policy", "Check out Slipway", "Set up Python", "Fetch the reports"),
        *("Record the reports", "Decide"),
    ]
    assert set(looked.artifact("slipway-drift-reports")) >= {"validate-data.json", "detect-drift.json"}


def test_drift__is_on_record_before_the_decision(site: Site, looked: ActRun, tmp_path: Path) -> None:
    assert looked.outputs("decide", "Record the reports")["recorded"] == "2"
    entries = of_run(looked, site.entries(tmp_path))
    assert [(each.event, each.verdict, each.details.get("step")) for each in entries] == [
        ("validation", "pass", None),
        ("drift", "fail", None),
        ("dispatch", "pass", "intent"),
        ("dispatch", "", "made"),
    ]
    assert (entries[1].trigger.event, entries[1].trigger.sha) == ("schedule", site.main)


def test_drift__starts_one_retraining_and_says_which(
    github: GitHubDouble, looked: ActRun, sent: dict[str, str]
) -> None:
    said = looked.outputs("decide", "Decide")
    started = github.world.runs[int(said["run-id"])]
    assert (said["decision"], said["verdict"], said["run-url"].rpartition("/")[2]) == (
        "dispatch",
        "pass",
        str(started.id),
    )
    assert (started.path, started.event, started.title) == (RETRAIN, "workflow_dispatch", f"Retrain {sent['key']}")
    headline = report(looked, "slipway-drift-reports", "detect-drift").headline
    assert headline.endswith("columns have drifted in 28,293 rows of `live`.")
    assert sent["reason"] == f"Drift was found: {headline}"
    cause = json.loads(sent["payload"])["cause"]
    assert (cause["entry"], cause["run"]) == (2, f"https://github.com/{NAME}/actions/runs/{looked.run_id}")


def test_same_drift__starts_no_other_retraining(
    site: Site, github: GitHubDouble, looked: ActRun, looked_again: ActRun, tmp_path: Path
) -> None:
    first, second = (run.outputs("decide", "Decide") for run in (looked, looked_again))
    assert (looked_again.code, looked_again.jobs["decide"]) == (1, "success"), str(looked_again)
    assert (second["decision"], second["rule"], second["dispatched"]) == ("hold", "duplicate", "false")
    assert second["run-url"] == first["run-url"]
    assert len(github.requests(DISPATCH)) == 1
    assert of_run(looked_again, site.entries(tmp_path))[-1].details["step"] == "held"


def test_retrain__runs_every_job_to_its_end(retrained: Retrained) -> None:
    run = retrained.run
    assert run.code == 0, str(run)
    jobs = ("refresh", "propose", "train", "evaluate", "report")
    assert {job: run.jobs[job] for job in jobs} == dict.fromkeys(jobs, "success")
    assert list(run.steps("refresh")) == [
        *("Check out the repository", "Check out Slipway", "Set up Python"),
        *("Refresh the data", "Keep the report and the patch"),
    ]
    assert list(run.steps("propose")) == [
        *("Check out what was refreshed", "Check out Slipway", "Set up Python", "Fetch the report and the patch"),
        *("Propose the retraining", "Record the reports"),
    ]
    assert set(run.artifact("slipway-refresh")) == {"refresh-data.json", "refresh.patch"}


def test_retrain__pushes_a_branch_with_the_new_data(site: Site, sent: dict[str, str], retrained: Retrained) -> None:
    assert retrained.opened.head.ref == f"slipway/retrain-{sent['key']}"
    commit = tip(site, retrained.opened)
    assert site.lab.git(site.remote, "rev-parse", f"{commit}^") == site.main
    changed = site.lab.git(site.remote, "diff", "--name-only", site.main, commit)
    assert changed.split() == ["data/holdout.dvc", "data/train.dvc"]


def test_retrain__opens_a_pull_request_that_shows_the_drift(
    looked: ActRun, sent: dict[str, str], retrained: Retrained
) -> None:
    opened = retrained.opened
    assert (opened.base.ref, opened.state, opened.author.login) == ("main", "open", "github-actions[bot]")
    assert opened.title == f"Retrain {MODEL} on new data"
    assert report(looked, "slipway-drift-reports", "detect-drift").headline in opened.body
    assert "`temperature` has drifted" in opened.body
    assert "entry 2 of the ledger" in opened.body
    assert f"https://github.com/{NAME}/actions/runs/{looked.run_id}" in opened.body


def test_retrain__judges_the_commit_of_that_branch(site: Site, retrained: Retrained, github: GitHubDouble) -> None:
    commit = tip(site, retrained.opened)
    trained = report(retrained.run, "slipway-train-reports", "train-model")
    evaluated = report(retrained.run, "slipway-evaluate-reports", "evaluate-model")
    assert (trained.provenance["commit"], trained.provenance["clean"]) == (commit, True)
    assert evaluated.headline == "Candidate version 2 against production version 1 on 28,293 rows."
    (comment,) = github.world.comments_of(retrained.opened)
    assert comment.body.startswith(f"### ✅ `{MODEL}`: may replace production\n")
    assert comment.body.endswith(f"{marker(MODEL)}run={retrained.run.run_id}.1 head={commit} -->")


def test_retrain__every_step_is_on_record_under_the_key(
    site: Site, sent: dict[str, str], retrained: Retrained, tmp_path: Path
) -> None:
    events = [entry.event for entry in retrained.entries]
    assert events == ["refresh", "proposal", "validation", "training", "evaluation", "comment"]
    assert {(entry.verdict, entry.details["retraining"]) for entry in retrained.entries} == {("pass", sent["key"])}
    # So the governor knows what came of it.
    (made,) = record.history(site.entries(tmp_path), MODEL).retrainings
    assert (made.key, made.helped) == (sent["key"], True)


def test_retrain__outputs_reach_the_caller_through_both_workflows(retrained: Retrained) -> None:
    said = told(retrained.run)
    assert said.pop("ledger-head").startswith(f"{retrained.entries[-1].sequence}:sha256:")
    assert said.pop("pull-request-url").endswith(f"/{NAME}/pull/{retrained.opened.number}")
    assert said == {"verdict": "pass", "model-version": "2", "releasable": "true"}


def test_no_new_data__nothing_is_proposed(
    site: Site, github: GitHubDouble, retrained: Retrained, nothing_new: ActRun, tmp_path: Path
) -> None:
    run = nothing_new
    assert (run.code, run.jobs["refresh"], run.jobs["propose"]) == (1, "failure", "success"), str(run)
    assert "The refresh changed nothing in the repository" in run.annotations("refresh")[0]
    assert "Propose the retraining" not in run.steps("propose")
    assert run.steps("train") == {}
    (entry,) = of_run(run, site.entries(tmp_path))
    assert (entry.event, entry.verdict, entry.justification.text) == ("refresh", "fail", "The month is over")
    assert run.artifact("slipway-refresh").keys() == {"refresh-data.json"}


def test_person__needs_neither_key_nor_payload(site: Site, retrained: Retrained, by_person: Retrained) -> None:
    run, opened = by_person.run, by_person.opened
    assert (run.jobs["propose"], opened.head.ref) == ("success", f"slipway/retrain-{run.run_id}"), str(run)
    assert opened.number == retrained.opened.number + 1
    assert "August has arrived" in opened.body
    assert [entry.event for entry in by_person.entries] == ["refresh", "proposal", "validation", "comment"]
    assert all("retraining" not in entry.details for entry in by_person.entries)
    assert {entry.justification.text for entry in by_person.entries} == {"August has arrived"}


def test_person__damaged_data_are_stopped_in_the_pull_request(
    site: Site, github: GitHubDouble, by_person: Retrained
) -> None:
    run = by_person.run
    assert (run.code, run.jobs["train"], run.jobs["report"]) == (1, "failure", "success"), str(run)
    assert "Train the model" not in run.steps("train")
    (comment,) = github.world.comments_of(by_person.opened)
    assert comment.body.startswith(f"### ❌ `{MODEL}`: stopped by validate\\-data\n")
    assert comment.body.endswith(f"head={tip(site, by_person.opened)} -->")


def test_damaged_delivery__sets_off_nothing(
    site: Site, github: GitHubDouble, looked_again: ActRun, tmp_path: Path
) -> None:
    branch(site, "delivery")
    damage(site.flights / "data" / "live" / f"{WINTER['live'][0]}.parquet")
    dvc(site.flights, "add", "data/live")
    dvc(site.flights, "push")

    run = look(site, github, site.commit("A new July"))

    assert (run.code, run.jobs["decide"]) == (1, "success"), str(run)
    assert run.steps("look")["Validate what production sees"] == "failure"
    # It says all the same what broke.
    assert run.steps("look")["Look for drift"] == "failure"
    said = run.outputs("decide", "Decide")
    assert (said["decision"], said["rule"], said["dispatched"]) == ("hold", "data quality", "false")
    assert len(github.requests(DISPATCH)) == 1
    entries = of_run(run, site.entries(tmp_path))
    assert [(each.event, each.verdict) for each in entries] == [
        *(("validation", "fail"), ("drift", "fail"), ("dispatch", "pass")),
    ]


def test_webhook__another_tools_report_is_recorded_and_decided(
    site: Site, github: GitHubDouble, looked: ActRun, tmp_path: Path
) -> None:
    """As docs/drift-loop.md says: a trigger, an input, and a policy that asks for no validation."""
    branch(site, "webhook")
    change(site.flights / DRIFT, "  schedule:", "  repository_dispatch: {types: [drift-report]}\n  schedule:")
    change(site.flights / DRIFT, "    with:\n", "    with:\n      drift-report: event\n")
    change(site.flights / "slipway.yml", "workflow: retrain.yml", "workflow: retrain.yml\n  data_quality: if_given")
    commit = site.commit("Listen to another tool")
    payload = {"action": "drift-report", "client_payload": {"report": NO_DRIFT, "reason": "The weekly report"}}

    run = look(site, github, commit, "repository_dispatch", payload)

    assert run.code == 0, str(run)
    assert "Validate what production sees" not in run.steps("look")
    assert run.outputs("decide", "Record the reports")["recorded"] == "1"
    (drift, decision) = of_run(run, site.entries(tmp_path))
    assert (drift.event, drift.verdict, drift.justification.text) == ("drift", "pass", "The weekly report")
    assert (decision.event, decision.details["step"]) == ("dispatch", "held")
    assert run.outputs("decide", "Decide")["rule"] == "drift"
    assert told(run) == {
        "verdict": "pass",
        "decision": "hold",
        "run-url": "",
        "ledger-head": run.outputs("decide", "Decide")["head"],
    }


def test_reproduce__what_is_in_production_is_rebuilt_and_recorded(
    site: Site, github: GitHubDouble, tmp_path: Path
) -> None:
    before = site.runs(), site.query("SELECT count(*) FROM model_versions")
    run = site.start(github, "schedule", schedule(), site.main, workflow=REPRODUCE, contents="write")
    assert (run.code, run.jobs["rebuild"], run.jobs["record"]) == (0, "success", "success"), str(run)
    said = told(run)
    assert (said["verdict"], said["version"], said["cause"]) == ("pass", "1", "")
    # A step sees no OPENBLAS_CORETYPE that this machine may have set, by which BLAS rounds otherwise.
    assert said["grade"] in ("bytes", "predictions")
    assert (site.runs(), site.query("SELECT count(*) FROM model_versions")) == before
    (entry,) = of_run(run, site.entries(tmp_path))
    assert (entry.event, entry.verdict, entry.model_version) == ("reproduction", "pass", "1")
    assert entry.model_digest in site.query("SELECT value FROM model_version_tags WHERE key = 'slipway.model_digest'")
    assert {each.name for each in entry.evidence} >= {"report.json", "reproduce-model.html"}
    assert said["ledger-head"].startswith(f"{entry.sequence}:")
