"""propose-retraining as its step runs it: git for real, GitHub as the double that is held to its description."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from conftest import GitRepository
from github_double.server import GitHubDouble
from governor_kit import MODEL, NOW, drift, validation
from ledger_kit import ledger
from retraining_kit import KEY, Retraining, begin, dispatched, event_of
from runner_double import StepResult
from slipway.governor.payload import Cause
from slipway.ledger import drafting
from slipway.policy.source import file_digest
from slipway.report import Report, Verdict
from slipway.runner.context import Run

REPOSITORY = "octo/models"
BRANCH = f"slipway/retrain-{KEY}"


@pytest.fixture
def retraining(repository: GitRepository, tmp_path: Path, environments_cache: Path, hub: GitHubDouble) -> Retraining:
    hub.world.repository(REPOSITORY)
    made = begin(repository, tmp_path, environments_cache)
    made.api_url = hub.base_url
    return made


@pytest.fixture
def token(hub: GitHubDouble) -> str:
    return hub.world.installation_token(contents="write", pull_requests="write")


def propose(retraining: Retraining, report: str, token: str = "", **inputs: str) -> StepResult:
    given = {"refresh-report": report, "remote": str(retraining.upstream), "github-token": token, **inputs}
    return retraining.step("propose-retraining", given)


def refreshed(retraining: Retraining) -> str:
    done = retraining.refresh()
    assert done.code == 0, done.log
    return done.outputs["report"]


def test_propose_retraining__pushes_the_change_and_opens_a_pull_request(
    retraining: Retraining, hub: GitHubDouble, token: str
) -> None:
    base = retraining.policy(envelope={"paths": ["data/*.dvc"]})

    done = propose(retraining, refreshed(retraining), token)

    assert (done.code, done.outputs["verdict"], done.outputs["inside-envelope"]) == (0, "pass", "true"), done.log
    assert retraining.branches() == {BRANCH: done.outputs["commit"]}
    upstream = GitRepository(retraining.upstream)
    assert upstream.git("rev-parse", f"{BRANCH}^") == base
    assert upstream.git("show", f"{BRANCH}:data/train.dvc") == "new"
    message = upstream.git("log", "-1", "--format=%B", BRANCH)
    assert message.splitlines()[0] == f"Retrain {MODEL} on new data"
    assert f"Slipway-Retraining: {KEY}" in message
    (opened,) = hub.world.pull_requests.values()
    assert (str(opened.number), opened.head.ref) == (done.outputs["pull-request"], BRANCH)
    assert (opened.base.ref, opened.title) == ("main", f"Retrain {MODEL} on new data")
    assert opened.body == Path(done.outputs["body"]).read_text(encoding="utf-8")
    assert "`data/train.dvc`" in opened.body
    assert "Yes, where it passes" in opened.body
    # Nothing of it shows in the checkout.
    assert retraining.repository.git("status", "--porcelain") == ""
    assert retraining.repository.git("branch", "--list", "slipway/*") == ""


def test_propose_retraining__that_is_run_again_changes_nothing(
    retraining: Retraining, hub: GitHubDouble, token: str
) -> None:
    retraining.policy()
    report = refreshed(retraining)
    first = propose(retraining, report, token)

    again = propose(retraining, report, token)

    assert (again.code, again.outputs["commit"]) == (0, first.outputs["commit"])
    assert len(hub.world.pull_requests) == 1
    assert again.outputs["pull-request"] == first.outputs["pull-request"]


def test_propose_retraining__overwrites_no_other_proposal(retraining: Retraining, token: str) -> None:
    code = "from pathlib import Path; import uuid; Path('data/train.dvc').write_text(uuid.uuid4().hex)"
    retraining.policy(command=["python3", "-c", code])
    first = propose(retraining, refreshed(retraining), token)

    second = propose(retraining, refreshed(retraining), token)

    assert (first.code, second.code) == (0, 1)
    assert "holds another retraining" in second.messages("error")[0]
    assert retraining.branches() == {BRANCH: first.outputs["commit"]}


def test_propose_retraining__shows_the_drift_from_the_ledger(
    retraining: Retraining, hub: GitHubDouble, token: str, tmp_path: Path
) -> None:
    found = drift(headline="3 of 20 columns have drifted in 7,000 rows of `live`. @octo/team <img src=x>")
    file = found.write(tmp_path / "detect-drift.json")
    retraining.policy()
    retraining.repository.git("push", "--quiet", "origin", "main")
    ledger(tmp_path, remote=str(retraining.upstream)).append([drafting.of_report(file, Run())])
    cause = Cause(report=file_digest(file), window="dvc:july")
    retraining.event = event_of(dispatched(cause=cause, generation=2))

    done = propose(retraining, refreshed(retraining), token)

    (opened,) = hub.world.pull_requests.values()
    assert done.code == 0, done.log
    assert "3 of 20 columns have drifted" in opened.body
    assert "entry 1 of the ledger" in opened.body
    assert "It follows from 1 retrainings before" in opened.body
    assert "<img" not in opened.body
    assert "@octo/team" not in opened.body


def test_propose_retraining__shows_nothing_else_that_a_dispatch_names(
    retraining: Retraining, hub: GitHubDouble, token: str, tmp_path: Path
) -> None:
    """A dispatch may name any file of the ledger as its drift report."""
    other = validation(headline="Not for this pull request.").write(tmp_path / "validate-data.json")
    (tmp_path / "beside.txt").write_text("no report")
    attached = Report.read(other).model_copy(
        update={"attachments": {"beside.txt": file_digest(tmp_path / "beside.txt")}}
    )
    other = attached.write(tmp_path / "validate-data.json")
    retraining.policy()
    ledger(tmp_path, remote=str(retraining.upstream)).append([drafting.of_report(other, Run())])

    for number, file in enumerate((other, tmp_path / "beside.txt")):
        retraining.event = event_of(dispatched(cause=Cause(report=file_digest(file)), key=f"{KEY[:-1]}{number}"))
        done = propose(retraining, refreshed(retraining), token)

        assert done.code == 0, done.log
        assert "is no drift report" in " ".join(Report.read(Path(done.outputs["report"])).reasons)
    assert all("Not for this" not in each.body for each in hub.world.pull_requests.values())


def test_propose_retraining__says_where_the_drift_report_is_not_on_record(retraining: Retraining, token: str) -> None:
    retraining.policy()

    done = propose(retraining, refreshed(retraining), token)

    assert "is no drift report on `flights` in the ledger" in " ".join(
        Report.read(Path(done.outputs["report"])).reasons
    )


@pytest.mark.parametrize(
    ("envelope", "generation", "inside", "says"),
    [
        (None, 1, "false", "declares no `retraining.envelope`"),
        ({"paths": ["data/**"]}, 1, "true", ""),
        ({"paths": ["*.dvc"]}, 1, "false", "`data/train.dvc`, which no pattern"),
        ({"paths": ["data/*"]}, 2, "false", "number 2 of retrainings"),
        ({"paths": ["data/*"], "generations": 2}, 2, "true", ""),
    ],
    ids=["none", "a tree", "another folder", "too many in a row", "so many in a row"],
)
def test_propose_retraining__tells_what_is_inside_of_the_envelope(
    retraining: Retraining, token: str, envelope: dict[str, object] | None, generation: int, inside: str, says: str
) -> None:
    retraining.policy(**({"envelope": envelope} if envelope else {}))
    retraining.event = event_of(dispatched(generation=generation))

    done = propose(retraining, refreshed(retraining), token)

    report = Report.read(Path(done.outputs["report"]))
    assert (done.code, done.outputs["inside-envelope"]) == (0, inside), done.log
    assert says in " ".join(report.reasons)
    assert report.provenance["inside_envelope"] is (inside == "true")
    assert str(report.provenance["envelope"]).startswith("sha256:" if envelope else "none")


POLICY_WITH_ANOTHER_ADDRESS = "p.write_text(p.read_text().replace('path: data/train', 'path: data/newer'))"
POLICY_WITH_ANOTHER_RULE = "p.write_text(p.read_text() + 'pull_request: {gates_from: head}')"


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("p = Path('.github/workflows/x.yml'); p.parent.mkdir(parents=True); p.write_text('on: push')", ".github"),
        ("p = Path('schema.yml'); p.write_text('columns: {a: {}}')", "schema.yml"),
        (f"p = Path('slipway.yml'); {POLICY_WITH_ANOTHER_RULE}", "slipway.yml"),
        ("p = Path('slipway.yml'); p.unlink()", "slipway.yml"),
        (f"p = Path('slipway.yml'); {POLICY_WITH_ANOTHER_ADDRESS}", ""),
    ],
    ids=["a workflow", "a schema", "a rule", "no policy", "an address"],
)
def test_propose_retraining__lets_no_refresh_change_its_judges(
    retraining: Retraining, token: str, change: str, refused: str
) -> None:
    retraining.policy(command=["python3", "-c", f"from pathlib import Path; {change}"])
    said = yaml.safe_load((retraining.repository.path / "slipway.yml").read_text())
    said["data"]["train"]["schema"] = "schema.yml"
    retraining.repository.commit({"slipway.yml": yaml.safe_dump(said)})

    done = propose(retraining, refreshed(retraining), token)

    if refused:
        assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
        assert refused in done.messages("error")[0]
        assert retraining.branches() == {}
    else:
        assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log


JUDGED_BY_TEXTS = {
    "data": {"train": {"path": "data/train", "schema": "./schema.yml", "against": {"reference": "./profile.json"}}},
    "evaluation": {
        "task": "text",
        "holdout": "train",
        "target": "answer",
        "scorers": {"polite": {"use": "manners:polite"}},
        "scorer_requirements": "./scorers.txt",
        "metrics": {"polite": {}},
    },
}


@pytest.mark.parametrize("file", ["schema.yml", "profile.json", "manners.py", "scorers.txt"])
def test_propose_retraining__lets_no_refresh_change_a_judge_whatever_its_path_looks_like(
    retraining: Retraining, token: str, file: str
) -> None:
    retraining.policy(command=["python3", "-c", f"open({file!r}, 'w').write('other')"])
    said = yaml.safe_load((retraining.repository.path / "slipway.yml").read_text())
    retraining.repository.commit({"slipway.yml": yaml.safe_dump({**said, **JUDGED_BY_TEXTS}), file: "own"})

    done = propose(retraining, refreshed(retraining), token)

    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert f"`{file}`" in done.messages("error")[0]
    assert retraining.branches() == {}


def test_propose_retraining__refuses_links(retraining: Retraining, token: str) -> None:
    code = "import os; os.unlink('data/train.dvc'); os.symlink('/etc/passwd', 'data/train.dvc')"
    retraining.policy(command=["python3", "-c", code])

    done = propose(retraining, refreshed(retraining), token)

    assert done.code == 1
    assert "a link or a submodule" in done.messages("error")[0]
    assert retraining.branches() == {}


def test_propose_retraining__refuses_a_patch_that_was_altered(retraining: Retraining, token: str) -> None:
    retraining.policy()
    report = refreshed(retraining)
    patch = Path(report).with_name("refresh.patch")
    patch.write_bytes(patch.read_bytes().replace(b"+new", b"+bad"))

    done = propose(retraining, report, token)

    assert done.code == 1
    assert "is not the file that" in done.messages("error")[0]
    assert retraining.branches() == {}


def test_propose_retraining__refuses_another_commit(retraining: Retraining, token: str) -> None:
    retraining.policy()
    report = refreshed(retraining)
    retraining.repository.commit({"later.txt": "later"})

    done = propose(retraining, report, token)

    assert done.code == 1
    assert "is checked out" in done.messages("error")[0]


def test_propose_retraining__refuses_a_refresh_that_failed(retraining: Retraining, token: str) -> None:
    retraining.policy(command=["python3", "-c", "pass"])

    done = propose(retraining, retraining.refresh().outputs["report"], token)

    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive")
    assert "did not succeed" in done.messages("error")[0]


def test_propose_retraining__names_the_setting_that_forbids_it(
    retraining: Retraining, hub: GitHubDouble, token: str
) -> None:
    hub.world.workflows_may_open_pull_requests = False
    retraining.policy()

    done = propose(retraining, refreshed(retraining), token)

    assert done.code == 1
    assert "Allow GitHub Actions to create and approve pull requests" in done.messages("error")[0]
    assert list(retraining.branches()) == [BRANCH]


def test_propose_retraining__without_a_token_leaves_the_branch_and_the_text(retraining: Retraining) -> None:
    retraining.policy()

    done = propose(retraining, refreshed(retraining))

    assert (done.code, done.outputs["pull-request"]) == (0, "")
    assert list(retraining.branches()) == [BRANCH]
    assert Path(done.outputs["body"]).is_file()


def test_propose_retraining__that_may_not_push_says_which_right_it_needs(retraining: Retraining, token: str) -> None:
    retraining.policy()
    report = refreshed(retraining)
    hook = retraining.upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'denied to github-actions[bot]' >&2; exit 1\n")
    hook.chmod(0o755)

    done = propose(retraining, report, token)

    assert done.code == 1
    assert "contents: write" in done.messages("error")[0]
    assert token not in done.log


def test_propose_retraining__body_fits_whatever_the_drift_report_says(
    retraining: Retraining, hub: GitHubDouble, token: str, tmp_path: Path
) -> None:
    found = drift(reasons=tuple(f"`{'x' * 400}{n}` has drifted." for n in range(500)), started=NOW)
    file = found.write(tmp_path / "detect-drift.json")
    retraining.policy()
    ledger(tmp_path, remote=str(retraining.upstream)).append([drafting.of_report(file, Run())])
    retraining.event = event_of(dispatched(cause=Cause(report=file_digest(file))))

    done = propose(retraining, refreshed(retraining), token)

    (opened,) = hub.world.pull_requests.values()
    assert done.code == 0, done.log
    assert len(opened.body) <= 65_536
    assert "0` has drifted" in opened.body


def test_propose_retraining__is_told_in_the_report(retraining: Retraining, token: str) -> None:
    retraining.policy()

    done = propose(retraining, refreshed(retraining), token)

    report = Report.read(Path(done.outputs["report"]))
    assert report.verdict is Verdict.PASS
    assert {each.role: each.id for each in report.subjects}["commit"] == done.outputs["commit"]
    assert json.loads(Path(done.outputs["report"]).read_text())["links"] == {
        "pull request": done.outputs["pull-request-url"]
    }
