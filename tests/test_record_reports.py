"""The stage as its action declares it: real reports, real git, a real server that asks for the token."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import GitRepository, pull_request, push
from ledger_kit import clone, ledger, served, subjects
from runner_double import RunnerDouble, StepResult
from slipway.ledger.verification import records
from slipway.report import Report, Verdict

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "ghs_0123456789abcdef"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return tmp_path / "served" / "octo" / "models"


@pytest.fixture
def here(upstream: Path, tmp_path: Path) -> GitRepository:
    upstream.parent.mkdir(parents=True)
    return clone(upstream, tmp_path / "clone")


@pytest.fixture
def runner(here: GitRepository, tmp_path: Path, environments_cache: Path) -> RunnerDouble:
    event = pull_request()
    event["pull_request"] |= {"title": "Wider trees", "body": "Fixes #12", "html_url": "https://github.invalid/pull/7"}
    return RunnerDouble(here.path, tmp_path / "temp", event=event, env={"SLIPWAY_CACHE": str(environments_cache)})


def report(folder: Path, stage: str, verdict: Verdict = Verdict.PASS) -> str:
    return str(Report(stage=stage, model="flights", verdict=verdict, headline="Done.").write(folder / f"{stage}.json"))


def record(runner: RunnerDouble, *reports: str, **inputs: str) -> StepResult:
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    return runner.run_action(ROOT / "actions" / "record-reports", {"reports": "\n".join(reports), **given})


def test_action__records_over_http_with_the_token(runner: RunnerDouble, upstream: Path, tmp_path: Path) -> None:
    reports = [report(tmp_path, "validate-data"), report(tmp_path, "evaluate-model", Verdict.FAIL)]
    with served(tmp_path / "served", token=TOKEN) as address:
        runner.server_url = address
        done = record(runner, *reports, str(tmp_path / "train-model.json"), github_token=TOKEN)
        again = record(runner, *reports, github_token=TOKEN)
    assert done.code == 0, done.log
    assert subjects(upstream) == [
        "Begin the ledger",
        "validate-data of flights: pass. Done.",
        "evaluate-model of flights: fail. Done.",
    ]
    found = ledger(tmp_path, remote=str(upstream))
    entries = [each.entry for each in records(found.git, found.commits())]
    assert done.outputs == {"head": entries[-1].head, "recorded": "2", "waiting": "0"}
    # The job was run again by hand: nothing is told twice.
    assert again.outputs == {**done.outputs, "recorded": "0"}
    said = entries[-1]
    assert (said.justification.text, said.justification.issues) == ("Wider trees\n\nFixes #12", ("#12",))
    assert (said.run.repository, said.run.run_id, said.run.url) == (
        *("octo/models", 1000),
        f"{address}/octo/models/actions/runs/1000",
    )
    assert (said.trigger.actor, said.trigger.pull_request, said.trigger.sha) == ("mona", 7, "a" * 40)
    assert TOKEN in done.masked and TOKEN not in done.log


def test_action__without_the_right_to_push_fails_and_says_which(runner: RunnerDouble, tmp_path: Path) -> None:
    with served(tmp_path / "served", token=TOKEN) as address:
        runner.server_url = address
        done = record(runner, report(tmp_path, "train-model"), github_token="another")
    assert done.code == 1
    (error,) = done.messages("error")
    assert "2 entries could not be delivered" in error and "contents: write" in error and "403" in error
    assert done.outputs["waiting"] == "2"


def test_action__a_forks_token_may_only_read(runner: RunnerDouble, upstream: Path, tmp_path: Path) -> None:
    runner.event = pull_request(fork=True)
    with served(tmp_path / "served", token=TOKEN) as address:
        runner.server_url = address
        done = record(runner, report(tmp_path, "train-model"), github_token="read-only")
    assert done.code == 0, done.log
    assert "fork's pull request" in done.messages("notice")[0]
    assert done.outputs["head"] == ""  # what nobody else can see is nothing to remember
    assert not (upstream / "refs" / "heads" / "slipway-ledger").exists()


def test_action__a_rewritten_ledger_fails(
    runner: RunnerDouble, upstream: Path, here: GitRepository, tmp_path: Path
) -> None:
    assert record(runner, report(tmp_path, "train-model"), remote=str(upstream)).code == 0
    (upstream / "refs" / "heads" / "slipway-ledger").unlink()
    done = record(runner, report(tmp_path, "evaluate-model"), remote=str(upstream))
    assert done.code == 1
    (error,) = done.annotations[-1:]
    assert error.title == "Conflict" and "was rewritten" in error.message and "git --git-dir" in error.message


def test_action__no_report_at_all(runner: RunnerDouble, tmp_path: Path) -> None:
    done = record(runner, str(tmp_path / "none.json"))
    assert done.code == 1
    assert "None of the 1 reports exists" in done.messages("error")[0]


def test_action__a_report_that_is_none(runner: RunnerDouble, upstream: Path, tmp_path: Path) -> None:
    (tmp_path / "train-model.json").write_text("{}")
    done = record(runner, report(tmp_path, "validate-data"), str(tmp_path / "train-model.json"), remote=str(upstream))
    assert done.code == 1
    assert "is not a report of Slipway" in done.messages("error")[0]
    # Whoever can spoil one report cannot keep the others off the record.
    assert subjects(upstream) == ["Begin the ledger", "validate-data of flights: pass. Done."]


def test_action__says_all_that_went_wrong(runner: RunnerDouble, tmp_path: Path) -> None:
    """What a runner forgets must not be hidden behind a report that somebody spoilt."""
    spoilt = [tmp_path / "train-model.json", tmp_path / "evaluate-model.json"]
    for path in spoilt:
        path.write_text("{}")
    with served(tmp_path / "served", token=TOKEN) as address:
        runner.server_url = address
        done = record(runner, report(tmp_path, "validate-data"), *map(str, spoilt), github_token="another")
    assert done.code == 1
    said = "\n".join(done.messages("error"))
    assert all(f"{path.name} is not a report of Slipway" in said for path in spoilt)
    assert "2 entries could not be delivered" in said


def test_action__a_push_uses_the_clones_own_remote(
    here: GitRepository, upstream: Path, tmp_path: Path, environments_cache: Path
) -> None:
    runner = RunnerDouble(here.path, tmp_path / "temp", event=push(), env={"SLIPWAY_CACHE": str(environments_cache)})
    assert record(runner, report(tmp_path, "train-model")).code == 0
    assert subjects(upstream)[1:] == ["train-model of flights: pass. Done."]
    assert here.git("status", "--porcelain") == ""
