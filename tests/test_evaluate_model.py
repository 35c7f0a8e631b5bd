"""The evaluate-model action as a job runs it: real git, MLflow on SQLite, and models that behave and misbehave."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats
from sklearn import metrics as sklearn_metrics

from conftest import pull_request
from ledger_kit import draft, ledger
from slipway.comparison import contenders, guards
from slipway.evaluation.findings import Findings
from slipway.registry.mlflow import CANDIDATE, PRODUCTION
from slipway.report import Subject, Verdict
from test_training_toy import LOCK, MODEL, POLICY, QUIET, TOY_MODEL, Done, Toy, git, holdout, make_toy

pytestmark = [QUIET, pytest.mark.xdist_group("evaluation")]

GOOD, FAIR, BAD = {"x1": 2.0, "x2": 1.0}, {"x1": 1.0}, {"x1": 0.3, "x2": -1.0}
JUMP = {"suspicious_gain": 1}
"""For candidates that are better than any change of a real model."""

CLOSE = {"x1": 2.0, "x2": 1.1}
ROWS = 1500
MAY_DIFFER = ("started", "seconds")
"""What two reports on the same inputs may differ in."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy changes the working folder, and MLflow's settings of this process."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")


@pytest.fixture
def new_toy(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Toy:
    """A repository for a test that changes it."""
    return make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Iterator[Toy]:
    """A repository that tests add versions and policies to, and change in no other way. Version 1 is in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("start"))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")
        made = make_toy(tmp_path_factory.mktemp("toy"), tmp_path_factory.getbasetemp(), environments_cache)
        made.version(FAIR, alias=PRODUCTION)
        yield made


def add(
    toy: Toy, model: str, weights: Any, link: str = "logit", *, payload: str = "", alias: str = "", **how: Any
) -> str:
    """Register a version of `model`; its number."""
    run_id, logged = toy.logged_model(weights, link, **how)
    registry = toy.registry()
    lock = toy.temp / "requirements.txt"
    lock.write_text(LOCK, encoding="utf-8")
    registry.log_file(run_id, lock, "slipway")
    tags = {"slipway.model_digest": f"sha256:{run_id}", "slipway.payload_digest": payload or f"sha256:{run_id}"}
    version = registry.register(model, logged, run_id, tags).version
    if alias:
        registry.set_alias(model, alias, version)
    return version


def write_policy(toy: Toy, name: str = "", *, data: str = "data/holdout.parquet", **evaluation: Any) -> str:
    """A policy beside the toy's own, for the model `name`, with some keys of its evaluation changed; its path."""
    said = {key: value for key, value in {**POLICY["evaluation"], **evaluation}.items() if value is not None}
    policy = {**POLICY, "model": name or MODEL, "evaluation": said}
    policy["data"] = {**POLICY["data"], "holdout": {"path": data}}
    path = toy.folder / f"policy-{len(list(toy.folder.glob('policy-*')))}.yml"
    path.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    return path.name


def state(toy: Toy) -> list[Any]:
    """Versions, aliases and runs in the store, and the commit."""
    connection = sqlite3.connect(toy.folder / "mlflow.db")
    try:
        queries = (
            "select * from registered_model_aliases",
            "select * from model_versions",
            "select * from model_version_tags",
            "select * from runs",
        )
        found = [sorted(map(repr, connection.execute(query))) for query in queries]
    finally:
        connection.close()
    return [*found, toy.git("rev-parse", "HEAD"), toy.git("status", "--porcelain")]


def evaluate(toy: Toy, **inputs: str) -> Done:
    """Run the action. Whatever comes out of it, nothing was changed by it."""
    before = state(toy)
    done = toy.evaluate(**inputs)
    assert state(toy) == before
    return done


def assert_told(done: Done, verdict: str, *, production: str = "") -> None:
    """Report, outputs and summary were left, whether or not the step failed."""
    assert done.report["verdict"] == done.outputs["verdict"] == verdict, done.log
    assert done.outputs["production-version"] == production
    assert done.report["stage"] == "evaluate-model"
    assert "evaluate\\-model" in done.summary


def assert_refused(done: Done, said: str, verdict: str = "inconclusive", *, production: str = "") -> None:
    """The step failed with one error that starts with `said`, which is the report's headline, too."""
    assert done.code == 1, done.log
    assert done.error.startswith(said), done.error
    assert_told(done, verdict, production=production)
    assert said.startswith(done.report["headline"]) or done.report["headline"].startswith(said)
    assert done.report["checks"] == []


def values(done: Done, check: str) -> dict[str, Any]:
    """The numbers behind a check."""
    (found,) = (each for each in done.report["checks"] if each["name"] == check)
    return dict(found["values"])


def predictions(weights: Any, link: str = "logit") -> Any:
    """What the toy's own code says to the holdout."""
    namespace: dict[str, Any] = {}
    exec(TOY_MODEL, namespace)
    return namespace["Toy"](weights, link, "").predict(holdout().to_pandas())


def log_losses(weights: Any) -> Any:
    """The log loss of every row."""
    said, truth = predictions(weights), holdout()["y"].to_numpy()
    return -np.log(np.where(truth == 1, said, 1 - said))


def assert_table(done: Done, expected: dict[str, tuple[float, float]]) -> None:
    """The values of production and candidate, in the table with its digits and in the checks with all of theirs."""
    table = done.report["tables"][0]
    assert [row[0].split()[0] for row in table["rows"]] == list(expected)
    for row, check, (production, candidate) in zip(
        table["rows"], done.report["checks"], expected.values(), strict=True
    ):
        for shown, value in zip(row[1:4], (production, candidate, candidate - production), strict=True):
            digits = len(shown.partition(".")[2])
            assert digits >= 2
            assert float(shown) == pytest.approx(value, abs=0.501 * 10**-digits), row
        numbers = check["values"]
        assert numbers["production"] == pytest.approx(production, abs=1e-9)
        assert numbers["candidate"] == pytest.approx(candidate, abs=1e-9)
        assert numbers["value"] == pytest.approx(candidate - production, abs=1e-9)
        assert numbers["low"] < numbers["value"] < numbers["high"]


# The verdicts


def test_evaluate__a_better_candidate_passes_and_again_with_the_same_report(toy: Toy, tmp_path: Path) -> None:
    version = add(toy, MODEL, GOOD)
    rules = {"roc_auc": {"better_by": 0.02}, "log_loss": {"better_by": 0}, "accuracy": {"margin": 0.01}}
    policy = write_policy(toy, metrics={**rules, "average_precision": {"margin": 0.01}})
    first = evaluate(toy, policy=policy, model_version=version, report=str(tmp_path / "elsewhere" / "report.json"))
    assert first.code == 0, first.log
    assert first.outputs["report"] == str(tmp_path / "elsewhere" / "report.json")
    assert_told(first, "pass", production="1")
    assert first.annotations == []
    assert first.report["headline"] == f"Candidate version {version} against production version 1 on 1,500 rows."
    assert first.report["reasons"] == []
    assert {check["verdict"] for check in first.report["checks"]} == {"pass"}

    truth, good, fair = holdout()["y"], predictions(GOOD), predictions(FAIR)
    scores = {
        "roc_auc": sklearn_metrics.roc_auc_score,
        "log_loss": sklearn_metrics.log_loss,
        "accuracy": lambda truth, said: sklearn_metrics.accuracy_score(truth, said >= 0.5),
        "average_precision": sklearn_metrics.average_precision_score,
    }
    assert_table(first, {name: (score(truth, fair), score(truth, good)) for name, score in scores.items()})
    assert [row[0][-1] for row in first.report["tables"][0]["rows"]] == ["↑", "↓", "↑", "↑"]

    provenance = first.report["provenance"]
    assert (provenance["candidate"], provenance["production"]) == (version, "1")
    assert provenance["candidate_digest"].startswith("sha256:")
    assert provenance["candidate_digest"] != provenance["production_digest"]
    blob = toy.git("rev-parse", "HEAD:data/holdout.parquet").strip()
    assert provenance["data_holdout"] == f"data/holdout.parquet git {blob}"
    assert (provenance["policy"], provenance["gates_from"]) == (policy, "work tree")

    again = evaluate(toy, policy=policy, model_version=version)
    assert again.outputs["report"] != first.outputs["report"]
    kept = [{key: value for key, value in done.report.items() if key not in MAY_DIFFER} for done in (first, again)]
    assert kept[0] == kept[1]


def test_evaluate__a_worse_candidate_fails_with_its_reasons(toy: Toy) -> None:
    policy = write_policy(toy, metrics={"roc_auc": {"margin": 0.01, "min": 0.6}, "log_loss": {"margin": 10}})
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, BAD))
    assert done.code == 1
    assert_told(done, "fail", production="1")
    relative, absolute, constant, *_ = done.report["reasons"]
    assert "constant" in constant
    assert relative.startswith("roc_auc changed by -0.40")
    assert relative.endswith("all of it is beyond the limit -0.01 of “not worse by 0.01”.")
    assert absolute.startswith("roc_auc is 0.44")
    assert absolute.endswith("all of it is beyond the limit 0.6 of “at least 0.6”.")
    assert done.error.startswith(done.report["headline"])
    assert relative in done.error and absolute in done.error
    assert [check["verdict"] for check in done.report["checks"]] == ["fail", "fail", "pass"]


def test_evaluate__a_close_candidate_is_inconclusive_and_names_the_rows_needed(toy: Toy) -> None:
    add(toy, "close", GOOD, alias=PRODUCTION)
    version = add(toy, "close", CLOSE)
    policy = write_policy(toy, "close", metrics={"log_loss": {"better_by": 0}})
    done = evaluate(toy, policy=policy, model_version=version)
    assert done.code == 0, done.log
    assert_told(done, "inconclusive", production="1")
    (reason,) = done.report["reasons"]
    (annotation,) = done.annotations
    assert annotation.level == "warning"
    assert reason in annotation.message

    # By the formulas of docs/statistics.md.
    change = log_losses(CLOSE) - log_losses(GOOD)
    error = change.std(ddof=1) / math.sqrt(ROWS)
    reach = stats.t.ppf(0.975, ROWS - 1) * error
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    needed = ROWS * (z * error / abs(change.mean())) ** 2
    found = values(done, "log_loss: better")
    assert found["standard_error"] == pytest.approx(error)
    assert (found["low"], found["high"]) == pytest.approx((change.mean() - reach, change.mean() + reach), rel=0.01)
    assert found["low"] < 0 < found["high"]
    assert found["rows_needed"] == math.ceil(needed)
    rounded = math.ceil(needed / 100) * 100
    assert 1_000 < needed < 10_000, "two digits are shown"
    assert f"About {rounded:,} rows would settle it if the value stays (1,500 so far)." in reason


# Other tasks


def test_evaluate__multiclass(toy: Toy) -> None:
    one = [{"x1": -2.0, "x2": -1.0}, {}, {"x1": 2.0, "x2": 1.0}]
    other = [{"x1": -2.0}, {}, {"x1": 1.0}]
    add(toy, "kinds", other, "classes", alias=PRODUCTION)
    add(toy, "kinds", one, "classes", alias=CANDIDATE)
    gate = {"margin": 0.5}
    policy = write_policy(
        toy, "kinds", task="multiclass", target="kind", metrics={"f1_macro": gate, "accuracy": gate, "log_loss": gate}
    )
    done = evaluate(toy, policy=policy)
    assert done.code == 0, done.log
    assert_told(done, "pass", production="1")
    truth, said = holdout()["kind"], [predictions(weights, "classes") for weights in (other, one)]
    labels = [each.argmax(axis=1) for each in said]
    f1 = [float(sklearn_metrics.f1_score(truth, each, average="macro")) for each in labels]
    accuracy = [float(sklearn_metrics.accuracy_score(truth, each)) for each in labels]
    loss = [float(sklearn_metrics.log_loss(truth, each)) for each in said]
    assert_table(
        done, {"f1_macro": (f1[0], f1[1]), "accuracy": (accuracy[0], accuracy[1]), "log_loss": (loss[0], loss[1])}
    )


def test_evaluate__regression_with_clusters(toy: Toy) -> None:
    add(toy, "amounts", FAIR, "identity", alias=PRODUCTION)
    add(toy, "amounts", GOOD, "identity", alias=CANDIDATE)
    names = ("r2", "root_mean_squared_error", "mean_absolute_error")
    rules = {name: {"margin": 0.5} for name in names}
    policy = write_policy(
        toy, "amounts", task="regression", target="amount", cluster="day", metrics=rules, leakage=JUMP
    )
    done = evaluate(toy, policy=policy)
    assert done.code == 0, done.log
    assert_told(done, "pass", production="1")
    truth, fair, good = holdout()["amount"], predictions(FAIR, "identity"), predictions(GOOD, "identity")
    scores = [getattr(sklearn_metrics, f"{name}_score" if name == "r2" else name) for name in names]
    assert_table(
        done,
        {name: (score(truth, fair), score(truth, good)) for name, score in zip(names, scores, strict=True)},
    )
    assert done.report["tables"][0]["note"].startswith("1,500 rows in 30 clusters, the same for both models.")

    # By the formula of docs/statistics.md: the holdout has 30 days of 50 rows.
    change = abs(truth.to_numpy() - good) - abs(truth.to_numpy() - fair)
    sums = (change - change.mean()).reshape(30, 50).sum(axis=1)
    error = math.sqrt((sums**2).sum() * 30 / 29) / ROWS
    found = values(done, "mean_absolute_error: not worse by 0.5")["standard_error"]
    assert found == pytest.approx(error, rel=1 / ROWS), "the formula's, but for rows / (rows - 1) in the variance"


# Which versions


def test_evaluate__a_first_release_passes_by_its_absolute_gates(toy: Toy) -> None:
    add(toy, "first", GOOD, alias=CANDIDATE)
    done = evaluate(toy, policy=write_policy(toy, "first"))
    assert done.code == 0, done.log
    assert_told(done, "pass")
    assert [check["name"] for check in done.report["checks"]] == ["roc_auc: at least 0.6"]
    assert "First release: no version is in production yet" in done.reasons
    assert done.report["headline"].endswith("against no production version (first release) on 1,500 rows.")
    assert done.report["meaning"] == "may go into production"
    assert done.report["provenance"]["production"] == "none"


def test_evaluate__a_pass_that_no_gate_of_quality_gave_says_so(toy: Toy) -> None:
    fairness = {"groups": ["day"], "min_rows": 20, "metrics": {"selection_rate": {"max_gap": 1}}}
    policy = write_policy(toy, metrics={"roc_auc": {}}, fairness=fairness, leakage=JUMP)
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, GOOD))
    assert_told(done, "pass", production="1")
    assert done.report["headline"].endswith("on 1,500 rows. No gate judged how good it is.")
    assert done.report["meaning"] == "fairness in order, quality not judged"
    assert done.report["advice"] == "Decide whether it is good enough: no gate judged that."
    assert "No metric of the policy has a gate, so no quality over the whole holdout was judged." in done.reasons


def test_evaluate__inconclusive_fails_the_step_where_the_policy_says_so(toy: Toy) -> None:
    """Here for a first release without an absolute gate."""
    add(toy, "open", GOOD, alias=CANDIDATE)
    policy = write_policy(toy, "open", on_inconclusive="fail", metrics={"roc_auc": {"better_by": 0}})
    done = evaluate(toy, policy=policy)
    assert done.code == 1
    assert_told(done, "inconclusive")
    assert done.report["reasons"][0].startswith("No absolute gate (`min`, `max`) is defined")
    assert done.report["reasons"][0] in done.error
    assert "`on_inconclusive: fail`" in done.error


def test_evaluate__the_version_in_production_is_not_compared_with_itself(toy: Toy) -> None:
    done = toy.evaluate(model_version="1")
    assert (done.code, done.outputs["verdict"]) == (0, "inconclusive"), done.log
    assert done.report["headline"] == "The candidate is version 1, which is in production already."
    assert "A model is not compared with itself" in done.reasons


@pytest.mark.parametrize(
    ("payload", "remark"),
    [
        ("sha256:same", "The candidate is the same model as production, byte for byte"),
        ("", "The candidate gives the same prediction as production for every row of the holdout."),
    ],
)
def test_evaluate__an_equal_model_is_judged_and_remarked_on(toy: Toy, payload: str, remark: str) -> None:
    model = f"equal-{payload.partition(':')[2]}"
    add(toy, model, GOOD, alias=PRODUCTION, payload=payload)
    add(toy, model, GOOD, alias=CANDIDATE, payload=payload)
    policy = write_policy(toy, model, metrics={"roc_auc": {"better_by": 0}, "log_loss": {"margin": 0}})
    done = evaluate(toy, policy=policy)
    assert done.code == 1
    assert_told(done, "fail", production="1")
    assert remark in done.reasons
    better, not_worse = done.report["checks"]
    assert (better["verdict"], not_worse["verdict"]) == ("fail", "pass")
    assert [better["values"][key] for key in ("value", "low", "high")] == [0, 0, 0]


def test_evaluate__no_candidate(toy: Toy) -> None:
    assert_refused(evaluate(toy), "The registry has no candidate of `toy`.")


@pytest.mark.parametrize("version", ["999", "latest"])
def test_evaluate__an_unknown_version(toy: Toy, version: str) -> None:
    assert_refused(evaluate(toy, model_version=version), f"The registry has no version `{version}` of `toy`.")


def test_evaluate__each_model_in_its_own_environment(toy: Toy) -> None:
    """Production has the lock of its run. The candidate has none: MLflow's own list for it, with another package."""
    model = "environments"
    add(toy, model, {}, "environment", alias=PRODUCTION)
    packages = "mlflow-skinny==3.17.2\npandas\npyarrow\niniconfig\n"
    run_id, logged = toy.logged_model({}, "environment", requirements=packages)
    registry = toy.registry()
    version = registry.register(model, logged, run_id, {}).version
    policy = write_policy(
        toy, model, task="regression", target="amount", metrics={"mean_absolute_error": {"margin": 10}}
    )
    done = evaluate(toy, policy=policy, model_version=version)
    assert done.code == 0, done.log
    truth = holdout()["amount"].to_numpy()
    assert_table(done, {"mean_absolute_error": (abs(truth).mean(), abs(truth - 1).mean())})


# Models that misbehave


@pytest.mark.parametrize(
    ("link", "misdeed", "said"),
    [
        ("nan", "", "The candidate gave no finite probability for 150 of 1,500 rows."),
        ("rows", "", "The candidate ({}): the model gave 1499 predictions for 1500 rows."),
        (
            "logit",
            "raise at load",
            "The candidate ({}): the model cannot be loaded: RuntimeError: the weights are of another version.",
        ),
        (
            "logit",
            "raise ValueError('::error::no\\nsuch column')",
            "The candidate ({}): the model cannot predict the holdout: ValueError: ::error::no such column.",
        ),
        ("logit", "sys.exit(3)", "The candidate ({}): the model cannot predict the holdout: SystemExit: 3."),
        ("logit", "os._exit(0)", "The candidate ({}): its process ended before it had predicted."),
    ],
)
def test_evaluate__a_model_that_cannot_predict_fails(toy: Toy, link: str, misdeed: str, said: str) -> None:
    version = add(toy, "misdeeds", GOOD, link, misdeed=misdeed)
    done = evaluate(toy, policy=write_policy(toy, "misdeeds"), model_version=version)
    assert_refused(done, said.format(f"version {version}"), "fail")


def test_evaluate__a_model_whose_process_is_killed_is_not_judged(toy: Toy) -> None:
    version = add(toy, "misdeeds", GOOD, misdeed="os.kill(os.getpid(), 9)")
    done = evaluate(toy, policy=write_policy(toy, "misdeeds"), model_version=version)
    assert_refused(done, f"The candidate (version {version}): its process was ended by signal 9.")
    assert "lack of memory" in done.error


def test_evaluate__numbers_that_the_schema_has_as_text_reach_a_model_of_numbers(new_toy: Toy) -> None:
    """The report is that of the same rows with their types; the schema by which they were read is on record."""
    toy = new_toy
    toy.version(FAIR, alias=PRODUCTION)
    given = {"model_version": toy.version(GOOD).version, "reuse_from": str(toy.temp / "passed")}
    typed = toy.evaluate(**given)
    rows = pl.read_parquet(toy.folder / "data" / "holdout.parquet").with_columns(zip=pl.lit("01"))
    rows.write_csv(toy.folder / "data" / "holdout.csv")
    toy.write("schema.yml", "columns: {x1: {dtype: String}, zip: {dtype: String}}\n")
    data = {**POLICY["data"], "holdout": {"path": "data/holdout.csv", "schema": "schema.yml"}}
    toy.policy(data=data)
    done = toy.evaluate(**given)
    assert done.code == 0, done.log
    assert done.report["checks"] == typed.report["checks"]
    schema = hashlib.sha256((toy.folder / "schema.yml").read_bytes()).hexdigest()
    assert {"role": "schema", "name": "schema.yml", "id": f"sha256:{schema}"} in done.report["subjects"]
    assert "Predicting" not in toy.evaluate(**given).log
    # Another schema may mean other rows.
    toy.write("schema.yml", "columns: {zip: {dtype: String}}\n")
    toy.commit()
    assert "Predicting" in toy.evaluate(**given).log


def test_evaluate__the_holdout_lacks_a_column_of_the_signature(toy: Toy) -> None:
    """Of the model in production here: the other one alone is not enough for a comparison."""
    add(toy, "columns", GOOD, columns=("x1", "x2", "x3", "x4"), alias=PRODUCTION)
    add(toy, "columns", GOOD, alias=CANDIDATE)
    done = evaluate(toy, policy=write_policy(toy, "columns"))
    said = "the holdout lacks columns that the model's signature requires: x3, x4."
    assert_refused(done, f"Production (version 1): {said}", "fail", production="1")


def test_evaluate__the_model_sees_neither_tokens_nor_the_target(toy: Toy) -> None:
    """The model tells by its own failure: what it could write, nobody else would read."""
    expected = [name for name in holdout().columns if name != "y"]
    deed = f"""
file = list(pd.read_parquet(sys.argv[6]).columns)
places = [place for place in (os.getcwd(), *sys.path) if place.startswith({str(toy.folder)!r})]
prefixes = ("GITHUB_", "INPUT_", "ACTIONS_", "RUNNER_", "MLFLOW_TRACKING_T", "AWS_", "SLIPWAY_")
names = [name for name in os.environ if name.startswith(prefixes)]
secret = "secret" in json.dumps([dict(os.environ), sys.argv])
print("::error::printed by the model")
if [list(frame.columns), file, places, names, secret] != [{expected!r}, {expected!r}, [], [], False]:
    raise RuntimeError([list(frame.columns), file, places, names, secret])
"""
    # Without a signature it is given every column there is.
    version = add(toy, "curious", GOOD, misdeed=deed, columns=())
    policy = write_policy(toy, "curious")
    toy.environ = {
        "GITHUB_TOKEN": "ghs_secret",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "id-secret",
        "MLFLOW_TRACKING_TOKEN": "mlflow-secret",
        "AWS_SECRET_ACCESS_KEY": "aws-secret",
        "SLIPWAY_CREDENTIALS": "DB_PASSWORD=pw-secret",
    }
    try:
        done = evaluate(toy, policy=policy, model_version=version)
    finally:
        toy.environ = {}
    assert done.code == 0, done.log
    assert done.annotations == []
    assert "network o" in done.report["provenance"]["isolation"]


# Holdouts and policies that cannot be used


def test_evaluate__one_class_only_in_the_holdout(toy: Toy) -> None:
    holdout().with_columns(y=pl.lit(1)).write_parquet(toy.folder / "data" / "ones.parquet")
    version = add(toy, "one-class", GOOD)
    policy = write_policy(toy, "one-class", data="data/ones.parquet", positive=1, metrics={"roc_auc": {"min": 0.1}})
    done = evaluate(toy, policy=policy, model_version=version)
    assert done.code == 0, done.log
    assert_told(done, "inconclusive")
    assert done.report["reasons"][0].startswith("roc_auc has no interval for the candidate: ")
    assert "The holdout is not versioned, so it can change under its name." in done.reasons


@pytest.mark.parametrize(
    ("data", "evaluation", "said"),
    [
        ("", {"target": "z"}, "The holdout data/holdout.parquet has no column `z`."),
        ("", {"cluster": "customer"}, "The holdout data/holdout.parquet has no column `customer`."),
        ("data/none.parquet", {}, "There are no data at data/none.parquet."),
    ],
)
def test_evaluate__a_holdout_that_cannot_be_used(toy: Toy, data: str, evaluation: dict[str, str], said: str) -> None:
    policy = write_policy(toy, data=data or "data/holdout.parquet", **evaluation)
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, GOOD))
    assert_refused(done, said, production="1")


def test_evaluate__a_misspelt_metric(toy: Toy) -> None:
    policy = write_policy(toy, metrics={"roc_acu": {}})
    done = evaluate(toy, policy=policy)
    assert done.code == 1
    assert (
        "`evaluation.metrics.roc_acu`: `roc_acu` is no metric for binary tasks; did you mean `roc_auc`?" in done.error
    )
    (annotation,) = done.annotations
    assert annotation.file == policy
    assert "roc_acu" in (toy.folder / policy).read_text().splitlines()[annotation.line - 1]


def test_evaluate__a_policy_without_evaluation(new_toy: Toy) -> None:
    new_toy.policy({"evaluation": None})
    done = evaluate(new_toy)
    assert done.code == 1
    assert done.error.startswith("slipway.yml has no `evaluation` section.")


# Latency and robustness

NOISE = {"columns": ["x1"], "scale": 0.05, "metric": "roc_auc", "max_drop": 0.05}
UNITS = {"columns": ["x1"], "factor": -1, "metric": "roc_auc", "max_drop": 0.05}


def table(done: Done, title: str) -> list[list[Any]]:
    """The rows of one table."""
    (found,) = (each for each in done.report["tables"] if each["title"] == title)
    return list(found["rows"])


def verdicts(done: Done) -> dict[str, str]:
    """By check."""
    return {each["name"]: each["verdict"] for each in done.report["checks"]}


def test_evaluate__latency_is_timed_where_the_policy_asks(toy: Toy) -> None:
    few = {"requests": 40, "batches": 10, "batch_rows": 100, "starts": 1}
    rules = {"p50_ms": {"max": 60_000}, "size_mb": {"max": 0.000001}, "p95_ms": {"ratio": 1_000}}
    policy = write_policy(toy, latency={**few, **rules})
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, GOOD))
    assert_told(done, "fail", production="1")
    found = verdicts(done)
    assert found["p50_ms: at most 60000"] == "pass"
    assert found["p95_ms: at most 1000 × production"] == "pass"
    assert found["size_mb: at most 1e-06"] == "fail"
    rows = {row[0]: row for row in table(done, "Latency")}
    assert len(rows) == 7
    assert rows["p50_ms"][-2:] == ["at most 60000", "pass"]
    assert rows["throughput"][-2:] == ["none", "–"]
    log = pl.read_parquet(Path(done.outputs["report"]).with_name("timings.parquet"))
    assert log.height == 2 * (40 + 10)
    assert set(log["rows"]) == {1, 100}


def test_evaluate__a_model_that_cannot_serve_passes_no_latency_gate(toy: Toy) -> None:
    # It predicts the holdout at once, and breaks where it is asked for one row.
    misdeed = "if len(frame) < 2: raise RuntimeError('only in bulk')"
    few = {"requests": 20, "batches": 10, "batch_rows": 100, "starts": 1}
    policy = write_policy(toy, latency={**few, "p50_ms": {"max": 60_000}, "p95_ms": {"ratio": 2}})
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, GOOD, misdeed=misdeed))
    assert_told(done, "inconclusive", production="1")
    found = verdicts(done)
    assert found["p50_ms: at most 60000"] == found["p95_ms: at most 2 × production"] == "inconclusive"
    assert found["roc_auc: better"] == "pass"
    assert "only in bulk" in done.reasons


def test_evaluate__robustness_is_judged_on_disturbed_rows(toy: Toy) -> None:
    policy = write_policy(toy, robustness={"noise": NOISE, "units": {**UNITS, "factor": 0.001}})
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, GOOD))
    assert_told(done, "fail", production="1")
    found = verdicts(done)
    assert found["noise: roc_auc: worse by at most 0.05"] == "pass"
    assert found["units: roc_auc: worse by at most 0.05"] == "fail"
    # A thousandth of x1 leaves x2 alone to order the rows: scikit-learn's value, by hand.
    frame = holdout(ROWS)
    score = 2 * frame["x1"] * 0.001 + frame["x2"]
    expected = sklearn_metrics.roc_auc_score(frame["y"], score)
    of_units = values(done, "units: roc_auc: worse by at most 0.05")
    assert of_units["disturbed"] == pytest.approx(expected, abs=1e-9)
    # Production knows x1 alone, whose order a factor does not change.
    assert of_units["production_drop"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("misdeed", "said"),
    [
        ("if frame.x1.isna().any(): raise ValueError('no gaps, please')", "no gaps, please"),
        ("", "The candidate gave no finite"),
    ],
)
def test_evaluate__a_candidate_that_breaks_on_disturbed_rows_fails_by_it(toy: Toy, misdeed: str, said: str) -> None:
    missing = {"columns": ["x1"], "share": 0.2, "metric": "roc_auc", "max_drop": 0.5}
    policy = write_policy(toy, robustness={"noise": NOISE, "missing": missing})
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, GOOD, misdeed=misdeed))
    assert_told(done, "fail", production="1")
    found = verdicts(done)
    assert found["noise: roc_auc: worse by at most 0.05"] == "pass"
    assert found["missing: roc_auc: worse by at most 0.5"] == "fail"
    assert said in done.reasons


def test_evaluate__ready_made_predictions_cannot_be_timed_or_disturbed(toy: Toy, tmp_path: Path) -> None:
    rows = holdout(ROWS)
    file = tmp_path / "predictions.csv"
    rows.select(probability_1=1 / (1 + (-2 * pl.col("x1") - pl.col("x2")).exp())).with_columns(
        probability_0=1 - pl.col("probability_1"), prediction=(pl.col("probability_1") > 0.5).cast(pl.Int64)
    ).write_csv(file)
    few = {"requests": 20, "batches": 10, "batch_rows": 100, "starts": 1}
    latency = {**few, "p50_ms": {"max": 60_000, "ratio": 1_000}}
    policy = write_policy(toy, latency=latency, robustness={"noise": NOISE})
    ours = evaluate(toy, policy=policy, candidate_predictions=str(file))
    assert {name: verdict for name, verdict in verdicts(ours).items() if "ms" in name or "noise" in name} == {
        "p50_ms: at most 60000": "inconclusive",
        "p50_ms: at most 1000 × production": "inconclusive",
        "noise: roc_auc: worse by at most 0.05": "inconclusive",
    }
    theirs = evaluate(toy, policy=policy, production_predictions=str(file), model_version="1")
    found = verdicts(theirs)
    assert found["p50_ms: at most 60000"] == "pass"
    assert found["p50_ms: at most 1000 × production"] == "inconclusive"
    assert found["noise: roc_auc: worse by at most 0.05"] == "pass"
    both = evaluate(toy, policy=policy, candidate_predictions=str(file), production_predictions=str(file))
    assert both.outputs["verdict"] == "inconclusive"
    assert both.report["headline"] == "Candidate and production are the same predictions (predictions.csv)."


def test_evaluate__a_disturbance_of_a_column_that_is_not_there(toy: Toy) -> None:
    policy = write_policy(toy, robustness={"noise": {**NOISE, "columns": ["x9"]}})
    done = evaluate(toy, policy=policy, model_version=add(toy, MODEL, GOOD))
    assert_refused(done, "The holdout data/holdout.parquet has no column `x9`.", production="1")


def test_evaluate__a_metric_of_groups_that_the_task_has_not_is_told_before_a_model_predicts(toy: Toy) -> None:
    fairness = {"groups": ["day"], "metrics": {"selection_rate": {"max_gap": 0.1}}}
    policy = write_policy(toy, task="regression", target="amount", metrics={"r2": {}}, fairness=fairness)
    done = evaluate(toy, policy=policy)
    assert "`selection_rate` is no metric for regression tasks" in done.error


def test_evaluate__a_misspelt_metric_of_a_disturbance(toy: Toy) -> None:
    done = evaluate(toy, policy=write_policy(toy, robustness={"noise": {**NOISE, "metric": "roc_acu"}}))
    assert "`evaluation.robustness.noise.metric`: `roc_acu` is no metric for binary tasks" in done.error


# The other tasks


def ranked(frame: pl.DataFrame, score: pl.Series) -> float:
    """scikit-learn's normalised gain of the first ten rows of each day."""
    rows = frame.with_columns(score.alias("score"))
    days = [rows.filter(pl.col("day") == day) for day in rows["day"].unique()]
    gains = [sklearn_metrics.ndcg_score([day["kind"]], [day["score"]], k=10) for day in days if (day["kind"] > 0).any()]
    return float(np.mean(gains))


@pytest.mark.parametrize(
    ("task", "said", "metric", "better", "worse", "link", "expected"),
    [
        ("ranking", {"target": "kind", "query": "day"}, "ndcg@10", GOOD, BAD, "identity", ranked),
        (
            "forecasting",
            {"target": "amount", "time": "t"},
            "mean_absolute_error",
            GOOD,
            BAD,
            "identity",
            lambda frame, score: float((frame["amount"] - score).abs().mean()),
        ),
        (
            "multilabel",
            {"target": ["y", "z"]},
            "f1_macro",
            [GOOD, {}],
            [BAD, {}],
            "classes",
            lambda frame, score: sklearn_metrics.f1_score(
                frame.select("y", "z").to_numpy(), np.column_stack([score >= 0, score <= 0]), average="macro"
            ),
        ),
    ],
)
def test_evaluate__other_tasks(
    toy: Toy, task: str, said: dict[str, Any], metric: str, better: Any, worse: Any, link: str, expected: Any
) -> None:
    frame = holdout(ROWS).with_columns(z=1 - pl.col("y"), t=pl.int_range(ROWS))
    frame.write_parquet(toy.folder / "data" / f"{task}.parquet")
    add(toy, task, worse, link, alias=PRODUCTION)
    version = add(toy, task, better, link)
    policy = write_policy(
        toy, task, data=f"data/{task}.parquet", task=task, metrics={metric: {"better_by": 0}}, leakage=JUMP, **said
    )
    done = evaluate(toy, policy=policy, model_version=version)
    assert_told(done, "pass", production="1")
    score = frame.select(2 * pl.col("x1") + pl.col("x2")).to_series()
    assert values(done, f"{metric}: better")["candidate"] == pytest.approx(expected(frame, score), abs=1e-9)


# Charts, and what changed


def test_evaluate__curves_of_both_models_are_drawn(toy: Toy) -> None:
    done = evaluate(toy, model_version=add(toy, MODEL, GOOD))
    charts = {each["kind"]: each for each in done.report["charts"]}
    assert set(charts) == {"reliability", "roc"}
    assert [each["name"] for each in charts["roc"]["series"]] == ["candidate", "production"]
    (candidate, _) = charts["roc"]["series"]
    area = np.trapezoid([each["y"] for each in candidate["points"]], [each["x"] for each in candidate["points"]])
    assert area == pytest.approx(values(done, "roc_auc: better")["candidate"], abs=0.005)
    assert sum(each["count"] for each in charts["reliability"]["series"][0]["points"]) == ROWS


# A registry that fails


def test_evaluate__nobody_answers(new_toy: Toy) -> None:
    new_toy.environ = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = evaluate(new_toy, tracking_uri="http://mona:geheim@127.0.0.1:9")
    assert_refused(done, "MLflow could not read the alias `candidate` of `toy`.")
    assert "geheim" not in done.log + json.dumps(done.report) + done.summary


def test_evaluate__a_locked_store(new_toy: Toy) -> None:
    holder = sqlite3.connect(new_toy.folder / "mlflow.db")
    holder.execute("begin exclusive")
    try:
        done = new_toy.evaluate()
    finally:
        holder.close()
    assert_refused(done, "MLflow could not open the MLflow store")
    assert "Another process writes to the SQLite file." in done.error


# Pull requests


def test_evaluate__a_pull_request_is_judged_by_the_gates_of_its_base(new_toy: Toy) -> None:
    toy = new_toy
    toy.version(GOOD, alias=PRODUCTION)
    toy.version(FAIR, alias=CANDIDATE)
    base = toy.git("rev-parse", "HEAD").strip()
    toy.policy(evaluation={"metrics": {"roc_auc": {"margin": 0.5}}})
    holdout(ROWS, seed=5).write_parquet(toy.folder / "data" / "holdout.parquet")
    head = toy.commit("Loosen the gate and change the rows")
    toy.event = pull_request(base=base, head=head)
    done = evaluate(toy)
    assert done.code == 1
    assert_told(done, "fail", production="1")
    assert done.report["provenance"]["gates_from"] == base
    assert [check["name"] for check in done.report["checks"]] == ["roc_auc: better", "roc_auc: at least 0.6"]
    assert "This pull request changes `slipway.yml`. It was judged by the base branch's gates" in done.reasons
    assert "This pull request changes the holdout itself" in done.reasons
    assert table(done, "Changed in slipway.yml") == [
        ["evaluation.metrics.log_loss", "{}", "–"],
        ["evaluation.metrics.roc_auc.better_by", "0.0", "–"],
        ["evaluation.metrics.roc_auc.margin", "–", "0.5"],
        ["evaluation.metrics.roc_auc.min", "0.6", "–"],
    ]


# Never doing work twice


def test_evaluate__what_passed_is_not_run_again(new_toy: Toy) -> None:
    new_toy.version(FAIR, alias=PRODUCTION)
    better = new_toy.version(GOOD).version
    given = {"model_version": better, "reuse_from": str(new_toy.temp / "passed")}
    first = new_toy.evaluate(**given)
    kept = first.report
    second = new_toy.evaluate(**given)
    assert (first.code, second.code) == (0, 0), second.log
    assert "Predicting" in first.log and "Predicting" not in second.log
    assert kept["reused_from"] == ""
    assert second.report["reused_from"] == "https://github.invalid/octo/models/actions/runs/1000"
    assert second.report["checks"] == kept["checks"]
    assert second.report["subjects"] == kept["subjects"]
    assert second.outputs["production-version"] == "1"
    assert "Not run again" in second.summary
    # Other training data, which the tripwire for leakage reads, another production, another policy, or no folder: it is
    # judged anew.
    new_toy.write("data/train.csv", "x1,x2,y\n1,2,0\n")
    new_toy.commit("Other training data")
    assert "Predicting" in new_toy.evaluate(**given).log
    new_toy.registry().set_alias(MODEL, PRODUCTION, new_toy.version(BAD).version)
    assert "Predicting" in new_toy.evaluate(**given).log
    new_toy.policy(evaluation={"min_rows": 200})
    assert "Predicting" in new_toy.evaluate(**given).log
    assert "Predicting" in new_toy.evaluate(model_version=better).log


def test_evaluate__what_failed_is_run_again(new_toy: Toy) -> None:
    new_toy.version(GOOD, alias=PRODUCTION)
    given = {"model_version": new_toy.version(BAD).version, "reuse_from": str(new_toy.temp / "passed")}
    assert [new_toy.evaluate(**given).code for _ in range(2)] == [1, 1]
    assert not (new_toy.temp / "passed").exists()


# What it is compared with


def test_evaluate__against_the_base_branch_without_a_release(new_toy: Toy) -> None:
    """A team without a registry that lives on: the base branch's model is trained for the comparison alone."""
    toy = new_toy
    toy.policy(evaluation={"baseline": "base-branch", "metrics": {"roc_auc": {"better_by": 0.0}}})
    base = toy.git("rev-parse", "HEAD").strip()
    toy.write("train.py", "raise SystemExit('only the base branch is trained here')")
    head = toy.commit("Another training")
    toy.event = pull_request(base=base, head=head)
    candidate = toy.version(GOOD).version
    before = toy.git("worktree", "list")
    done = evaluate(toy, model_version=candidate)
    assert done.code == 0, done.log
    assert_told(done, "pass")
    assert done.report["headline"].startswith(f"Candidate version {candidate} against the base branch at {base[:12]}")
    (production,) = (each for each in done.report["subjects"] if each["role"] == "production")
    assert production["id"] == f"git:{base}"
    assert toy.git("worktree", "list") == before
    assert toy.git("status", "--short") == ""
    assert "train\\-model" not in done.summary
    # Nothing entered the team's registry.
    assert [version.version for version in toy.registry().versions(MODEL)] == [candidate]


def test_evaluate__a_base_branch_that_has_no_model(new_toy: Toy) -> None:
    toy = new_toy
    toy.write("train.py", "raise SystemExit('no luck')")
    toy.policy(evaluation={"baseline": "base-branch"})
    base = toy.git("rev-parse", "HEAD").strip()
    candidate = toy.version(GOOD).version
    toy.event = pull_request(base=base, head=toy.commit())
    done = toy.evaluate(model_version=candidate)
    assert done.code == 1
    assert any("could not be trained from commit" in each.message for each in done.annotations)
    assert "no luck" in done.log
    assert done.outputs["verdict"] == "inconclusive"
    assert len(toy.git("worktree", "list").splitlines()) == 1
    toy.event = pull_request(base="0" * 40, head=toy.commit())
    assert "is not in this clone" in toy.evaluate(model_version=candidate).error


# What may make it say less than it seems to


def test_same_production__a_release_meanwhile_leaves_the_verdict_open(new_toy: Toy) -> None:
    first = new_toy.version(FAIR, alias=PRODUCTION).version
    second = new_toy.version(GOOD).version
    registry = new_toy.registry()
    before = contenders.in_production(registry, MODEL)
    assert before is not None
    assert guards.same_production(registry, MODEL, [before]) == Findings()
    registry.set_alias(MODEL, PRODUCTION, second)
    found = guards.same_production(registry, MODEL, [before])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"production became version {second}; it was version {first}." in found.reasons[0]


def test_evaluate__earlier_candidates_are_a_course(new_toy: Toy, tmp_path: Path) -> None:
    toy = new_toy
    toy.version(FAIR, alias=PRODUCTION)
    candidate = toy.version(GOOD).version
    git(tmp_path, "init", "--quiet", "--bare", "up.git")
    toy.git("remote", "add", "origin", str(tmp_path / "up.git"))
    toy.policy(evaluation={"max_holdout_uses": 10})
    first = toy.evaluate(model_version=candidate)
    assert "history" not in {each["kind"] for each in first.report["charts"]}
    (rows,) = (each for each in first.report["subjects"] if each["role"] == "data")
    subject = Subject(role="data", name="holdout", id=rows["id"])
    checks = [[{"name": "roc_auc: better", "values": {"candidate": value}}] for value in (0.61, 0.65, 0.7)]
    told = [json.dumps({"checks": each}).encode() for each in checks]
    # Version 8 was judged twice; what is no report, of another model, or of a slice has no place in the course.
    notes = [("7", MODEL, told[0]), ("8", MODEL, told[0]), ("8", MODEL, told[1]), ("9", "other", told[2])]
    notes += [("10", MODEL, b"[1"), ("11", MODEL, json.dumps({"checks": [{"name": "a: b: c"}]}).encode())]
    drafts = [
        draft(
            number,
            {"report.json": text},
            event="evaluation",
            model=model,
            model_version=version,
            model_digest=f"sha256:{version}",
            subjects=(subject,),
        )
        for number, (version, model, text) in enumerate(notes)
    ]
    assert ledger(toy.folder).append(drafts).why_not == ""
    done = toy.evaluate(model_version=candidate)
    (chart,) = (each for each in done.report["charts"] if each["kind"] == "history")
    (series,) = (each for each in chart["series"] if each["name"] == "roc_auc")
    assert [(each["label"], each["y"]) for each in series["points"]] == [
        ("version 7", 0.61),
        ("version 8", 0.65),
        (f"version {candidate}", values(done, "roc_auc: better")["candidate"]),
    ]
    assert "▁" in done.summary


def test_evaluate__a_holdout_that_was_used_often(new_toy: Toy, tmp_path: Path) -> None:
    toy = new_toy
    toy.version(FAIR, alias=PRODUCTION)
    candidate = toy.version(GOOD)
    git(tmp_path, "init", "--quiet", "--bare", "up.git")
    toy.git("remote", "add", "origin", str(tmp_path / "up.git"))
    first = toy.evaluate(model_version=candidate.version)
    assert first.code == 0 and "has judged" not in first.reasons
    (rows,) = (each for each in first.report["subjects"] if each["role"] == "data")
    used, other = [Subject(role="data", name="holdout", id=id) for id in (rows["id"], "git:other")]
    notes = [("a", used), ("a", used), ("b", used), ("c", other), (candidate.tags["slipway.model_digest"], used)]
    drafts = [
        draft(number, event="evaluation", model=MODEL, model_digest=digest, subjects=(subject,))
        for number, (digest, subject) in enumerate(notes)
    ]
    assert ledger(toy.folder).append(drafts).why_not == ""
    for limit, verdict in ((3, "pass"), (2, "inconclusive")):
        toy.policy(evaluation={"max_holdout_uses": limit})
        done = toy.evaluate(model_version=candidate.version)
        assert done.outputs["verdict"] == verdict, done.log
        assert "The holdout `holdout` has judged 2 other candidates before." in done.reasons
    assert "The policy allows 2: take new rows" in done.reasons
    (tmp_path / "up.git").rename(tmp_path / "gone.git")
    shutil.rmtree(toy.folder / ".git" / "slipway")
    done = toy.evaluate(model_version=candidate.version)
    assert done.outputs["verdict"] == "inconclusive"
    assert "was used before is not known, and the policy limits it" in done.reasons
