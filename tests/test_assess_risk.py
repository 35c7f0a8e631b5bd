"""The assess-risk action as a job runs it: real git, MLflow on SQLite, GitHub's environments by its description."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from conftest import pull_request, push
from github_double.server import GitHubDouble
from github_double.world import Environment, Repository
from runner_double import machine_environ
from slipway.ledger import drafting, place
from slipway.ledger.entries import Draft, Kind
from slipway.ledger.store import Ledger
from slipway.policy.source import file_digest
from slipway.registry.digests import digest as digest_of
from slipway.registry.mlflow import CANDIDATE, PRODUCTION, ModelVersion
from slipway.release import seal
from slipway.report import Report, Subject, Verdict
from slipway.runner.context import Run
from slipway.runner.inputs import user_name
from test_training_toy import MODEL, QUIET, ROOT, SCRIPTS, Done, Toy, make_toy, stage_python, warm_profiles

pytestmark = QUIET
ACTION = ROOT / "actions" / "assess-risk"
REPOSITORY = "octo/models"
RELEASE: dict[str, Any] = {
    "environments": {
        "low": {"name": "production-low"},
        "medium": {"name": "production", "reviewers": ["lena"], "branches": ["main", "release/*"]},
        "high": {"name": "production-high", "reviewers": ["lena", "team/ml"], "wait_minutes": 10},
    },
    "prompts": ["prompts/**"],
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
    toy.cache = warm_profiles(environments_cache)
    toy.policy({"release": RELEASE})
    return toy


@pytest.fixture
def repository(hub: GitHubDouble) -> Repository:
    """The repository on GitHub, with its environments as the policy wants them."""
    found = hub.world.repository(REPOSITORY)
    lena = hub.world.user("lena")
    hub.world.teams["ml"] = hub.world.new_id()
    protected = {"production": ((lena,), 0, ("main", "release/*")), "production-high": ((lena, "ml"), 10, ("main",))}
    for name, (reviewers, minutes, branches) in {"production-low": ((), 0, ("main",)), **protected}.items():
        made = hub.world.environment(found, name)
        made.reviewers, made.wait_minutes, made.prevents_self_review = reviewers, minutes, True
        made.admins_bypass, made.branches = False, dict(enumerate(branches, 1))
    return found


def environment(hub: GitHubDouble, name: str) -> Environment:
    return hub.world.environments[REPOSITORY, name]


def trained(toy: Toy, *, alias: str = CANDIDATE) -> ModelVersion:
    """A version that train-model made of what is checked out."""
    done = toy.train()
    assert done.code == 0, done.log
    registry = toy.registry()
    found = registry.by_version(MODEL, done.outputs["model-version"])
    registry.set_alias(MODEL, alias, found.version)
    return found


def evaluation(toy: Toy, of: ModelVersion, verdict: Verdict = Verdict.PASS) -> str:
    """What evaluate-model left about a version."""
    production = toy.registry().by_alias(MODEL, PRODUCTION)
    both = [("candidate", of), *([("production", production)] if production else [])]
    subjects = tuple(Subject(role=role, name=each.version, id=each.tags["slipway.model_digest"]) for role, each in both)
    report = Report(stage="evaluate-model", model=MODEL, verdict=verdict, subjects=subjects, headline="As it should.")
    path = toy.temp / f"evaluation-{of.version}.json"
    report.model_copy(update={"started": datetime.now(UTC)}).finished().write(path)
    return str(path)


def assess(toy: Toy, hub: GitHubDouble, report: str, **inputs: str) -> Done:
    token = hub.world.installation_token(actions="read", pull_requests="read", contents="read", metadata="read")
    runner = toy.runner()
    runner.api_url = hub.base_url
    given = {
        "tracking_uri": toy.uri,
        "evaluation_report": report,
        "github_token": token,
        "remote": str(toy.folder),
        **inputs,
    }
    done = runner.run_action(ACTION, {user_name(name): value for name, value in given.items() if value})
    assert done.code in (0, 1), done.log
    return Done(done.code, done.outputs, done.annotations, done.summary, done.log)


def differing(done: Done) -> list[tuple[str, str, str]]:
    """Tier, kind and name of every difference in the table."""
    return [(row[0], row[1], row[2]) for row in done.report["tables"][0]["rows"]]


def test_first_release__is_high_and_sealed(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    found = trained(toy)
    report = evaluation(toy, found)
    done = assess(toy, hub, report)
    assert done.code == 0, done.log
    assert (done.outputs["tier"], done.outputs["environment"]) == ("high", "production-high")
    assert done.report["verdict"] == "pass"
    assert differing(done) == [("high", "first release", "production")]
    sealed = seal.read(Path(done.outputs["sealed"]))
    assert sealed.digest == done.outputs["seal"]
    assert sealed.model_digest == found.tags["slipway.model_digest"]
    assert (sealed.version, sealed.tier, sealed.replaces, sealed.image) == ("1", "high", "", "")
    assert sealed.commit == toy.git("rev-parse", "HEAD").strip()
    assert sealed.data.keys() == {"train", "holdout"}
    assert {"role": "seal", "name": "production-high", "id": sealed.digest} in done.report["subjects"]


def test_another_environment__has_a_live_version_of_its_own(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    environments = {
        name: {"target": {"local": {"folder": str(toy.temp / name), "port": port}}} for port, name in PLACES
    }
    toy.policy({"release": RELEASE, "deployment": {"environments": environments}})
    trained(toy, alias=PRODUCTION)
    found = trained(toy)
    done = assess(toy, hub, evaluation(toy, found), deploys_to="eu")
    assert done.code == 0, done.log
    assert differing(done) == [("high", "first release", "production")]
    sealed = seal.read(Path(done.outputs["sealed"]))
    assert (sealed.deploys_to, sealed.replaces) == ("eu", "")
    assert json.loads(done.outputs["before"]) == ["test"]
    wrong = assess(toy, hub, evaluation(toy, found), deploys_to="us")
    assert wrong.code == 1
    assert "The policy knows no environment `us` to deploy to." in wrong.error


PLACES = ((8101, "test"), (8102, "eu"), (8103, "production"))


def test_a_prompt_is_low_a_parameter_medium_and_a_feature_high(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    toy.write("prompts/system.txt", "Be brief.\n")
    toy.commit()
    trained(toy, alias=PRODUCTION)

    toy.write("prompts/system.txt", "Be brief and kind.\n")
    toy.commit()
    found = trained(toy)
    done = assess(toy, hub, evaluation(toy, found))
    assert done.code == 0, done.log
    assert (done.outputs["tier"], done.outputs["environment"]) == ("low", "production-low")
    assert differing(done) == [("low", "prompt", "prompts/system.txt")]
    assert seal.read(Path(done.outputs["sealed"])).replaces == "1"

    toy.write("params.yaml", "depth: 3\n")
    toy.policy({"release": RELEASE}, training={"parameters": "params.yaml"})
    found = trained(toy)
    done = assess(toy, hub, evaluation(toy, found))
    assert done.outputs["tier"] == "medium"
    assert ("medium", "parameters", "depth") in differing(done)
    assert ("medium", "policy", "training.parameters") in differing(done)
    assert not any(name == "params.yaml" for _, _, name in differing(done)), "it is told as parameters"

    code = (toy.folder / "train.py").read_text()
    toy.write("train.py", code.replace('"logit",', '"logit", columns=("x1",),'))
    toy.commit()
    found = trained(toy)
    done = assess(toy, hub, evaluation(toy, found))
    assert done.outputs["tier"] == "high"
    assert differing(done)[0] == ("high", "features", "inputs")
    assert ("medium", "code", "train.py") in differing(done)


def test_new_data_are_medium_and_low_inside_of_the_envelope(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    retraining = {"workflow": "retrain.yml", "envelope": {"paths": ["data/*.csv"]}}
    toy.policy({"release": RELEASE, "retraining": retraining})
    trained(toy, alias=PRODUCTION)
    toy.write("data/train.csv", (toy.folder / "data/train.csv").read_text() + "1.5,1\n")
    toy.commit()
    found = trained(toy)
    report = evaluation(toy, found)
    done = assess(toy, hub, report)
    assert (done.outputs["tier"], differing(done)) == ("medium", [("medium", "data", "dataset train")])
    assert assess(toy, hub, report, inside_envelope="true").outputs["tier"] == "low"

    toy.write("helper.py", "")
    toy.commit()
    found = trained(toy)
    done = assess(toy, hub, evaluation(toy, found), inside_envelope="true")
    assert done.outputs["tier"] == "medium", "a file outside of the envelope, whatever the caller says"


def test_labels_raise_the_tier(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    trained(toy, alias=PRODUCTION)
    toy.write("prompts/system.txt", "Be kind.\n")
    commit = toy.commit()
    found = trained(toy)
    report = evaluation(toy, found)
    merged = hub.world.pull_request(repository)
    merged.merged_as, merged.labels = commit, ("risk: high", "risk: none")
    done = assess(toy, hub, report)
    assert (done.outputs["tier"], done.outputs["environment"]) == ("high", "production-high")
    assert "The label `risk: high` raises it to high." in done.report["reasons"]
    merged.labels = ()
    assert assess(toy, hub, report).outputs["tier"] == "low"

    base = toy.git("rev-parse", "HEAD").strip()
    toy.event = pull_request(base=base, head=commit)
    toy.event["pull_request"]["labels"] = [{"name": "risk: medium"}]
    assert assess(toy, hub, report).outputs["tier"] == "medium"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reviewers": ()}, "reviewers: nobody; by the policy lena, team/ml cannot approve"),
        ({"prevents_self_review": False}, "self-review: anybody, also for itself"),
        ({"admins_bypass": True}, "administrators: administrators may pass without approval"),
        ({"branches": None}, "branches: not restricted to selected branches"),
        ({"branches": {1: "main", 2: "*"}}, "branches: *, main; by the policy main"),
        ({"wait_minutes": 5}, "wait: 5 minutes; by the policy 10"),
        (None, "exists: GitHub has no environment `production-high`."),
    ],
)
def test_an_environment_that_is_not_protected_is_refused(
    toy: Toy, hub: GitHubDouble, repository: Repository, change: dict[str, Any] | None, said: str
) -> None:
    # One version serves every case: what is tested is the environment.
    found = toy.version({"x1": 1.0}, alias=CANDIDATE)
    tags = {"slipway.model_digest": digest_of(toy.registry().download(found, toy.temp / "files"))}
    toy.registry().tag_version(found, tags)
    found = replace(found, tags=tags)
    kept = environment(hub, "production-high")
    if change is None:
        del hub.world.environments[REPOSITORY, "production-high"]
    else:
        for name, value in change.items():
            setattr(kept, name, value)
    done = assess(toy, hub, evaluation(toy, found))
    assert done.code == 1
    assert said in done.error
    assert (done.outputs["verdict"], done.outputs["seal"], done.outputs["tier"]) == ("fail", "", "high")
    repair = Path(done.outputs["report"]).with_name("environment.md").read_text()
    assert "https://github.invalid/octo/models/settings/environments" in repair
    assert 'resource "github_repository_environment" "production-high"' in repair
    (script,) = (block.partition("```")[0] for block in repair.split("```bash\n")[1:])
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_without_a_token_nothing_is_a_pass(toy: Toy, hub: GitHubDouble) -> None:
    found = trained(toy)
    done = assess(toy, hub, evaluation(toy, found), github_token="")
    assert (done.code, done.outputs["verdict"]) == (0, "inconclusive")
    assert "was not looked at" in json.dumps(done.report["checks"])


def test_what_is_no_release(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    first = trained(toy, alias=PRODUCTION)
    report = evaluation(toy, first)
    # A push that changes nothing of the model is no mistake: its training is reused, and the run ends here.
    done = assess(toy, hub, report, model_version="1")
    assert (done.code, done.outputs["verdict"]) == (0, "inconclusive")
    assert (done.outputs["model-version"], done.outputs.get("seal", ""), done.outputs.get("tier", "")) == ("1", "", "")
    assert done.report["headline"].endswith("is in production already, so there is nothing to release.")
    toy.write("helper.py", "")
    toy.commit()
    second = trained(toy)
    toy.registry().tag_version(second, {"slipway.model_digest": f"sha256:{'9' * 64}"})
    done = assess(toy, hub, report)
    assert "is the evaluation of another model" in done.error
    forged = replace(second, tags={"slipway.model_digest": f"sha256:{'9' * 64}"})
    assert "are not those that were registered" in assess(toy, hub, evaluation(toy, forged)).error
    failed = assess(toy, hub, evaluation(toy, forged, Verdict.FAIL))
    assert (failed.code, failed.outputs["seal"]) == (1, "")
    assert "failed its evaluation" in failed.error
    toy.policy({})
    assert "has no `release` section" in assess(toy, hub, report).error


def setup(toy: Toy, hub: GitHubDouble, *, apply: bool, token: str = "") -> subprocess.CompletedProcess[str]:
    admin = {"administration": "write", "actions": "read", "members": "read", "metadata": "read"}
    environ = {
        **machine_environ(),
        "GITHUB_API_URL": hub.base_url,
        "INPUT_REPOSITORY": REPOSITORY,
        "INPUT_APPLY": str(apply).lower(),
        "INPUT_GITHUB_TOKEN": token or hub.world.user_token("root", **admin),
    }
    python = stage_python("assess-risk", toy.cache)
    command = [str(python), str(SCRIPTS / "setup_environments.py")]
    return subprocess.run(command, cwd=toy.folder, env=environ, capture_output=True, text=True, check=False)


def test_setup__shows_then_creates_then_leaves_alone(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    for name in ("production-low", "production-high"):
        environment(hub, name).branches = {7: "other"}
    del hub.world.environments[REPOSITORY, "production"]
    shown = setup(toy, hub, apply=False)
    assert shown.returncode == 1
    assert "production: NOT exists" in shown.stdout
    assert (REPOSITORY, "production") not in hub.world.environments, "nothing is written without --apply"

    # What the description of GitHub's API does not name, a server may refuse: that one switch stays for a person.
    hub.world.takes_admin_bypass = False
    done = setup(toy, hub, apply=True)
    made = environment(hub, "production")
    assert [getattr(each, "login", each) for each in made.reviewers] == ["lena"]
    assert (made.prevents_self_review, sorted((made.branches or {}).values())) == (True, ["main", "release/*"])
    assert list((environment(hub, "production-high").branches or {}).values()) == ["main"]
    assert done.returncode == 1
    assert "production: NOT administrators" in done.stdout
    assert "settings/environments" in done.stdout + done.stderr

    hub.world.takes_admin_bypass = True
    again = setup(toy, hub, apply=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert not made.admins_bypass
    written = len(hub.requests("repos/create-or-update-environment"))
    assert setup(toy, hub, apply=True).returncode == 0
    assert len(hub.requests("repos/create-or-update-environment")) == written


def test_setup__a_token_that_may_not(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    environment(hub, "production").reviewers = ()
    done = setup(toy, hub, apply=True, token=hub.world.user_token("root", actions="read", members="read"))
    assert done.returncode == 1
    assert "administration: write" in done.stdout + done.stderr


def test_evaluation__is_found_in_the_ledger(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    found = trained(toy)
    done = assess(toy, hub, "", remote=str(toy.folder))
    assert done.code == 1
    assert "No evaluation of version 1 of `toy` is on record." in done.error
    recorded(toy, evaluation(toy, found, Verdict.FAIL))
    recorded(toy, evaluation(toy, found), fork=True)
    recorded(toy, evaluation(toy, found), ref="refs/heads/change")
    done = assess(toy, hub, "", remote=str(toy.folder))
    assert "failed its evaluation" in done.error, "a fork's or another branch's stands for nothing"
    newest = evaluation(toy, found)
    recorded(toy, newest)
    done = assess(toy, hub, "", remote=str(toy.folder))
    assert done.code == 0, done.log
    assert Path(done.outputs["evaluation"]).read_bytes() == Path(newest).read_bytes()
    assert seal.read(Path(done.outputs["sealed"])).evaluation == file_digest(Path(newest))
    assert done.outputs["before"] == "[]"


def test_version_that_was_taken_back__is_high_until_it_was_live_again(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    """The training of the next push is reused, and would be released with nothing that differs."""
    trained(toy, alias=PRODUCTION)
    found = trained(toy)
    report = evaluation(toy, found)
    assert assess(toy, hub, report).outputs["tier"] == "low"
    placed(toy, "promotion", found.version)
    placed(toy, "rollback", "1", previous_version=found.version, cause="by hand", reason="The phones are ringing.")
    done = assess(toy, hub, report)
    assert (done.outputs["tier"], done.outputs["environment"]) == ("high", "production-high")
    assert differing(done) == [("high", "taken back", "entry 2 of the ledger")]
    assert "The phones are ringing." in done.summary
    placed(toy, "promotion", found.version)
    assert assess(toy, hub, report).outputs["tier"] == "low"
    placed(toy, "rollback", "1", environment="staging", previous_version=found.version, cause="by hand")
    assert assess(toy, hub, report).outputs["tier"] == "low", "it was live in production since"


def test_ledger__that_cannot_be_read_stops_it(toy: Toy, hub: GitHubDouble, repository: Repository) -> None:
    done = assess(toy, hub, evaluation(toy, trained(toy)), remote="https://github.invalid/octo/models")
    assert done.code == 1
    assert "cannot be read" in done.error
    assert not done.outputs["seal"]


def placed(toy: Toy, event: Kind, version: str, **details: str) -> None:
    """Put on record that a version was made live in production."""
    about = {"model": MODEL, "model_version": version, "details": {"environment": "production", **details}}
    when = datetime.now(UTC)
    key = (event, version, details, when)
    append(toy, drafting.of_event(event, event, Run(), occurred_at=when, key=key, said=about))


def recorded(toy: Toy, report: str, *, fork: bool = False, ref: str = "refs/heads/main") -> None:
    """Put a report on record as a run of a branch does, or one of a fork's pull request."""
    event = pull_request(fork=True) if fork else push()
    append(toy, drafting.of_report(Path(report), Run(repository=REPOSITORY, event=event, run_id=9, ref=ref)))


def append(toy: Toy, draft: tuple[Draft, Mapping[str, bytes]]) -> None:
    receipt = Ledger(place.find(Run(), remote=str(toy.folder))).append([draft])
    assert not receipt.waiting, receipt.why_not


def test_evaluation__against_another_version_than_would_be_replaced_is_high(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    trained(toy, alias=PRODUCTION)
    found = trained(toy)
    report = evaluation(toy, found)
    assert assess(toy, hub, report).outputs["tier"] == "low"
    trained(toy, alias=PRODUCTION)
    done = assess(toy, hub, report, model_version=found.version)
    assert done.outputs["tier"] == "high", done.log
    assert differing(done) == [("high", "evaluation", "compared with")]


def test_environments_before_production__are_those_of_the_policy(
    toy: Toy, hub: GitHubDouble, repository: Repository
) -> None:
    environments = {
        name: {"target": {"local": {"folder": f"/var/lib/slipway/{name}", "port": port}}}
        for port, name in enumerate(("dev", "staging", "production", "elsewhere"), start=8100)
    }
    toy.policy({"release": RELEASE, "deployment": {"environments": environments}})
    done = assess(toy, hub, evaluation(toy, trained(toy)))
    assert json.loads(done.outputs["before"]) == ["dev", "staging"], done.log
