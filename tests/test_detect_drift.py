"""The detect-drift action as a job runs it, after a real training that left a profile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import detect_drift
from slipway import profiles
from slipway.comparison import production
from slipway.comparison.reference import find_reference
from slipway.drift import importance
from slipway.policy.source import load
from slipway.profiles import of_batches
from slipway.registry.mlflow import PRODUCTION
from slipway.report import Report, Verdict
from slipway.runner.context import Run
from test_training_toy import LOCK, MODEL, POLICY, QUIET, ROOT, TRAIN, Done, Toy, holdout, make_toy

pytestmark = [QUIET, pytest.mark.xdist_group("drift")]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Iterator[Toy]:
    """Version 1 was trained on 3,000 rows by train-model and is in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("start"))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")
        made = make_toy(tmp_path_factory.mktemp("toy"), tmp_path_factory.getbasetemp(), environments_cache)
        holdout(3_000, seed=2).write_csv(made.folder / "data" / "train.csv")
        made.write("lock.txt", LOCK)
        made.write("train.py", TRAIN.replace("template=", 'requirements=open("lock.txt").read(), template='))
        made.commit("More rows")
        trained = made.train()
        assert trained.code == 0, trained.log
        made.registry().set_alias(MODEL, PRODUCTION, "1")
        made.warm_models()
        yield made


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy changes the working folder, and MLflow's settings of this process."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")


def look(
    toy: Toy, current: pl.DataFrame | None, *, drift: dict[str, Any] | None = None, train: str = "", **inputs: str
) -> Done:
    """Detect drift in a window. train: other training data than those of the toy."""
    number = len(list(toy.folder.glob("drift-*.yml")))
    policy = {**POLICY, "data": {**POLICY["data"], "live": {"path": f"live-{number}.parquet"}}}
    if train:
        policy["data"]["train"] = {"path": train}
    policy["drift"] = {"current": "live", **(drift or {})}
    if current is not None:
        current.write_parquet(toy.folder / f"live-{number}.parquet")
    file = toy.folder / f"drift-{number}.yml"
    file.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    return toy.run(ROOT / "actions" / "detect-drift", policy=file.name, **inputs)


def verdicts(done: Done) -> dict[str, tuple[str, str]]:
    """Verdict and role by column; of production's predictions under `prediction`."""
    checks = [each for each in done.report["checks"] if "performance" not in each["name"]]
    return {
        each["name"].removeprefix("prediction ").removeprefix("drift: "): (each["verdict"], each["values"]["role"])
        for each in checks
    }


def test_detect__a_quiet_window_passes(toy: Toy) -> None:
    done = look(toy, holdout(2_000, seed=9))
    assert done.code == 0, done.log
    assert done.outputs["verdict"] == "pass"
    assert (done.outputs["drifted"], done.outputs["production-version"]) == ("0", "1")
    # The signature's features and the target; no other column was profiled.
    assert set(verdicts(done)) == {"x1", "x2", "y", "prediction"}
    assert verdicts(done)["prediction"] == ("pass", "prediction")
    # Its truth is known, so that its performance is shown; without a limit it is not judged.
    table = done.report["tables"][0]
    assert table["title"] == "Production's performance against the reference"
    assert [(row[0], row[1], row[-1]) for row in table["rows"]] == [
        ("roc_auc", "measured", "–"),
        ("log_loss", "measured", "–"),
    ]
    assert done.report["provenance"]["reference_rows"] == 3_000
    roles = {each["role"]: each["name"] for each in done.report["subjects"]}
    assert (roles["production"], roles["data"]) == ("1", "live")


def test_detect__a_shifted_feature_fails_the_step(toy: Toy) -> None:
    done = look(toy, holdout(2_000, seed=9).with_columns(x1=pl.col("x1") + 1))
    assert done.code == 1
    assert (done.outputs["verdict"], done.outputs["drifted"]) == ("fail", "2")
    assert verdicts(done) == {
        "x1": ("fail", "feature"),
        "x2": ("pass", "feature"),
        "y": ("pass", "feature"),
        "prediction": ("fail", "prediction"),
    }
    assert done.error.startswith(
        "1 of 3 columns have drifted in 2,000 rows of `live`. So have production's predictions."
    )
    assert done.report["reasons"][0].startswith("`prediction` has drifted: its distance 0.")
    assert done.report["reasons"][1].startswith("`x1` has drifted: its distance 0.")
    chart, *histograms = done.report["charts"]
    assert {each["title"] for each in histograms} == {"Shares of x1", "Shares of prediction"}
    assert {each["label"] for each in chart["series"][0]["points"][:2]} == {"x1", "prediction"}
    rows = done.report["tables"][-1]["rows"]
    assert {(row[0], row[-1]) for row in rows[:2]} == {("x1", "fail"), ("prediction", "fail")}
    assert "x1" in done.summary


def test_detect__every_feature_has_its_importance_for_the_model(toy: Toy) -> None:
    done = look(toy, holdout(2_000, seed=9))
    importance = {each["name"]: each["values"]["importance"] for each in done.report["checks"]}
    assert importance["drift: x1"] > 0.5
    assert importance["drift: x2"] == 0  # the toy does not look at it
    assert importance["drift: y"] is None
    named = [column["name"] for column in done.report["tables"][-1]["columns"]]
    assert named[:4] == ["column", "then → now", "importance", "Jensen-Shannon"]


def test_detect__a_pair_that_came_together_is_seen_by_the_classifier_alone(toy: Toy) -> None:
    """The model does not look at x2, and each column alone is distributed as ever."""
    asked = {"domain_classifier": {"floor": 0.6}, "reference": "train"}
    quiet = look(toy, holdout(2_000, seed=9), drift=asked)
    assert quiet.code == 0, quiet.log
    (check,) = (each for each in quiet.report["checks"] if each["name"] == "domain classifier")
    assert (check["verdict"], check["values"]["role"]) == ("pass", "feature")

    paired = holdout(2_000, seed=9)
    paired = paired.with_columns(x2=pl.col("x2").sort().gather(pl.col("x1").rank("ordinal") - 1))
    done = look(toy, paired, drift=asked)
    assert (done.code, done.outputs["drifted"]) == (1, "1"), done.log
    found = verdicts(done)
    assert {name for name, (verdict, _) in found.items() if verdict == "fail"} == {"domain classifier"}
    assert done.error.startswith("0 of 3 columns have drifted")
    assert "A classifier tells them from the reference's rows." in done.error
    (table,) = (each for each in done.report["tables"] if each["title"].startswith("Domain classifier"))
    assert {row[0] for row in table["rows"][1:]} == {"x1", "x2"}  # nor the truth, which comes late


def test_detect__a_classifier_without_rows_to_learn_from_is_never_a_pass(toy: Toy) -> None:
    policy = {key: value for key, value in POLICY.items() if key != "evaluation"}
    policy |= {"data": {"live": {"path": "live.parquet"}}, "drift": {"current": "live", "domain_classifier": {}}}
    (toy.folder / "bare.yml").write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    refused = toy.run(ROOT / "actions" / "detect-drift", policy="bare.yml")
    assert refused.code == 1
    assert "`drift.domain_classifier` compares rows, and a profile holds none" in refused.error

    policy["data"]["kept"] = {"path": "gone.parquet"}
    policy["drift"]["reference"] = "kept"
    (toy.folder / "bare.yml").write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    holdout(2_000, seed=9).write_parquet(toy.folder / "live.parquet")
    done = toy.run(ROOT / "actions" / "detect-drift", policy="bare.yml")
    assert verdicts(done)["domain classifier"] == ("inconclusive", "feature")
    assert "the rows of `kept` cannot be had: There are no data at gone.parquet" in done.reasons


def test_detect__says_where_a_model_has_too_many_columns_for_their_importance(
    toy: Toy, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, with fewer columns allowed than the toy has."""
    holdout(2_000, seed=9).write_parquet(toy.folder / "many.parquet")
    policy = {**POLICY, "data": {**POLICY["data"], "live": {"path": "many.parquet"}}, "drift": {"current": "live"}}
    (toy.folder / "many.yml").write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    monkeypatch.chdir(toy.folder)
    monkeypatch.setenv("SLIPWAY_CACHE", str(environments_cache))
    monkeypatch.setattr(importance, "MOST", 1)
    sourced = load(Path("many.yml"), Run.from_environ({}))
    assert sourced.policy.drift is not None
    reference = find_reference(MODEL, toy.uri, None)
    looked = production.look(sourced, sourced.policy.drift, reference, pl.scan_parquet("many.parquet"), toy.uri)
    assert looked.importance == {}
    assert [each.verdict for each in looked.predictions] == [Verdict.PASS]
    assert looked.remarks == ("The importance of the columns is not known: of more than 1 columns no model is asked.",)


def seasonal(rows: int, month: int, shift: float, seed: int) -> pl.DataFrame:
    """Rows of one month, in which x1 is higher by `shift`."""
    days = pl.datetime_range(datetime(2024, month, 1), datetime(2024, month, 28), "1d", eager=True)
    frame = holdout(rows, seed=seed).with_columns(x1=pl.col("x1") + shift)
    return frame.with_columns(date=days.gather([number % len(days) for number in range(rows)]))


def test_detect__the_season_is_held_against_the_same_season(toy: Toy) -> None:
    year = pl.concat([seasonal(1_000, month, 2.0 * (month == 7), month) for month in range(1, 13)])
    year.write_parquet(toy.folder / "year.parquet")
    ignored = {"ignore": ["date"], "season": {"column": "date", "days": 0}}
    july = seasonal(1_000, 7, 2.0, 99)

    plain = look(toy, july, drift={"ignore": ["date"]}, train="year.parquet")
    assert verdicts(plain)["x1"] == ("fail", "feature")

    matched = look(toy, july, drift=ignored, train="year.parquet")
    assert verdicts(matched)["x1"] == ("pass", "feature"), matched.log
    said = matched.report["provenance"]
    assert said["season"] == "July 1 to July 28, and 0 days before and after"
    assert said["reference_rows"] == 1_000


def test_detect__a_season_that_the_training_data_do_not_tell_is_an_error(toy: Toy) -> None:
    done = look(toy, seasonal(500, 7, 0.0, 3), drift={"ignore": ["date"], "season": {"column": "date"}})
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive")
    assert "`date`, which `drift.season` names, is not there in the reference" in done.error


def test_detect__a_broken_delivery_is_told_from_drift(toy: Toy) -> None:
    frame = holdout(2_000, seed=9).with_columns(x1=pl.when(pl.int_range(2_000) % 3 > 0).then("x1")).drop("x2")
    done = look(toy, frame)
    assert done.code == 1
    assert {name: found for name, found in verdicts(done).items() if name != "y"} == {
        "x1": ("fail", "quality"),
        "x2": ("fail", "quality"),
        # The model cannot be asked without it, and what is not known is no pass.
        "prediction": ("inconclusive", "prediction"),
    }
    assert "Production's predictions are not known: " in done.reasons and "requires: x2" in done.reasons
    assert "`x2` is not there any more." in done.reasons


def test_detect__truths_that_are_not_known_yet_and_new_columns_change_no_verdict(toy: Toy) -> None:
    done = look(toy, holdout(2_000, seed=9).drop("y").with_columns(extra=1))
    assert done.code == 0, done.log
    assert set(verdicts(done)) == {"x1", "x2", "prediction"}
    assert "Columns that the model did not learn from:" in done.reasons and "`extra`" in done.reasons


def test_detect__an_ignored_column_is_not_judged(toy: Toy) -> None:
    done = look(toy, holdout(2_000, seed=9).with_columns(x1=pl.col("x1") + 1), drift={"ignore": ["x1"]})
    assert done.code == 1, done.log
    assert verdicts(done)["x2"] == verdicts(done)["y"] == ("pass", "feature")
    # What the model makes of it is compared all the same.
    assert verdicts(done)["prediction"] == ("fail", "prediction")


@pytest.mark.parametrize("rows", [1, 100])
def test_detect__a_small_window_is_inconclusive(toy: Toy, rows: int) -> None:
    frame = holdout(200, seed=9).head(rows)
    done = look(toy, frame)
    assert (done.code, done.outputs["verdict"]) == (0, "inconclusive"), done.log
    strict = look(toy, frame, drift={"on_inconclusive": "fail"})
    assert (strict.code, strict.outputs["verdict"]) == (1, "inconclusive")


def test_detect__a_profile_that_is_given(toy: Toy, tmp_path: Path) -> None:
    registry = toy.registry()
    run = registry.by_version(MODEL, "1").run_id
    kept = registry.run_file(run, "slipway/profile.json", tmp_path)
    assert kept is not None
    done = look(toy, holdout(2_000, seed=9), reference_profile=str(kept))
    assert done.code == 0, done.log
    assert done.outputs["production-version"] == ""
    assert set(verdicts(done)) == {"x1", "x2", "y"}
    assert "A profile given as a file has no model, so its predictions are not compared." in done.reasons
    limited = look(toy, holdout(2_000, seed=9), reference_profile=str(kept), drift={"performance": {"roc_auc": 0.02}})
    assert limited.outputs["verdict"] == "inconclusive"
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps({**said, "schema_version": 99}))
    refused = look(toy, holdout(2_000, seed=9), reference_profile=str(kept))
    assert (refused.code, refused.outputs["verdict"]) == (1, "inconclusive")
    assert "99" in refused.error


def test_detect__codes_of_a_csv_that_happen_to_be_digits_are_text_as_in_the_reference(tmp_path: Path) -> None:
    codes = [f"{number % 7:03}" for number in range(600)]
    reference = of_batches([pl.DataFrame({"code": [*codes, *["A12"] * 2]})])
    Path("profile.json").write_text(profiles.text(reference), encoding="utf-8")
    pl.DataFrame({"code": codes}).write_csv("live.csv")
    Path("slipway.yml").write_text(
        "version: 1\nmodel: m\ndata: {live: {path: live.csv}}\ndrift: {current: live}\n", encoding="utf-8"
    )
    report = tmp_path / "report.json"
    detect_drift.main(detect_drift.Inputs(reference_profile=Path("profile.json"), report=report))
    assert Report.read(report).verdict is Verdict.PASS


def test_detect__what_the_reference_does_not_know_is_read_as_the_schema_has_it(tmp_path: Path) -> None:
    """Six shops by their codes, of which numbers would make two: too few clusters to judge by."""
    numbers = [float(37 * number % 100) for number in range(600)]
    Path("profile.json").write_text(profiles.text(of_batches([pl.DataFrame({"n": numbers})])), encoding="utf-8")
    shops = [("1", "01", "001", "2", "02", "002")[number % 6] for number in range(600)]
    pl.DataFrame({"n": numbers, "shop": shops}).write_csv("live.csv")
    Path("schema.yml").write_text("columns: {shop: {dtype: String}, n: {dtype: String}}\n")
    said = "version: 1\nmodel: m\ndata: {live: {path: live.csv, schema: schema.yml}}\n"
    Path("slipway.yml").write_text(said + "drift: {current: live, cluster: shop}\n", encoding="utf-8")
    report = tmp_path / "report.json"
    given = detect_drift.Inputs(reference_profile=Path("profile.json"), report=report)
    detect_drift.main(given)
    assert Report.read(report).verdict is Verdict.PASS, "`n` was a number in the reference, and is one here"
    Path("schema.yml").write_text("columns: {shop: {}}\n")
    detect_drift.main(given)
    assert Report.read(report).verdict is Verdict.INCONCLUSIVE


def test_detect__a_profile_that_was_exchanged_is_refused(toy: Toy) -> None:
    registry = toy.registry()
    version = registry.by_version(MODEL, "1")
    registry.tag_version(version, {"slipway.profile": f"sha256:{'0' * 64}"})
    try:
        done = look(toy, holdout(2_000, seed=9))
    finally:
        registry.tag_version(version, {"slipway.profile": version.tags["slipway.profile"]})
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive")
    assert "is not the one that its training left" in done.error


@pytest.mark.parametrize(
    ("content", "drift", "said"),
    [
        (None, {}, "There are no data at live-"),
        (b"PAR1 and no more", {}, "The data at live-"),
        (300, {"ignore": ["x9"]}, "`drift.ignore` names `x9`"),
        (0, {}, "The dataset live-"),
    ],
)
def test_detect__what_cannot_be_judged(toy: Toy, content: bytes | int | None, drift: dict[str, Any], said: str) -> None:
    number = len(list(toy.folder.glob("drift-*.yml")))
    frame = holdout(300).head(content) if isinstance(content, int) else None
    if isinstance(content, bytes):
        (toy.folder / f"live-{number}.parquet").write_bytes(content)
    done = look(toy, frame, drift=drift)
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive"), done.log
    assert done.error.startswith(said)


def test_detect__a_model_that_is_not_in_production(toy: Toy, environments_cache: Path) -> None:
    done = look(toy, holdout(300), tracking_uri=f"sqlite:///{toy.temp / 'empty.db'}")
    assert done.error.startswith(f"No version of `{MODEL}` is in production")


def test_detect__a_policy_without_the_section(toy: Toy) -> None:
    done = toy.run(ROOT / "actions" / "detect-drift")
    assert done.error.startswith("slipway.yml has no `drift` section.")


def test_policy__current_data_are_declared(toy: Toy) -> None:
    done = look(toy, None, drift={"current": "elsewhere"})
    assert "`drift.current` names the dataset `elsewhere`" in done.error


# What production answers, and what that is worth.


def performance(done: Done) -> dict[str, tuple[str, str]]:
    """Verdict and role by metric; estimates are named so."""
    checks = [each for each in done.report["checks"] if "performance" in each["name"]]
    return {each["name"].replace("performance: ", ""): (each["verdict"], each["values"]["role"]) for each in checks}


def test_performance__that_fell_fails_though_no_column_moved(toy: Toy) -> None:
    """Every third truth is another: the concept moved, and neither the features nor the estimate can show that."""
    turned = pl.when(pl.int_range(4_000) % 3 == 0).then(1 - pl.col("y")).otherwise("y")
    # Half of the truths have not come yet.
    frame = holdout(4_000, seed=9).with_columns(y=pl.when(pl.int_range(4_000) < 2_000).then(turned))
    limits = {"performance": {"roc_auc": 0.05}, "estimated_performance": {"roc_auc": 0.05}}
    done = look(toy, frame, drift=limits)
    assert done.code == 1, done.log
    assert performance(done) == {
        "roc_auc": ("fail", "performance"),
        "estimated roc_auc": ("pass", "estimated_performance"),
    }
    assert {name: found[0] for name, found in verdicts(done).items()} == dict.fromkeys(
        ("x1", "x2", "y", "prediction"), "pass"
    )
    assert "The truth of 2,000 of 4,000 current rows is not known yet." in done.reasons
    assert "`roc_auc` went from 0." in done.reasons


def test_performance__that_held_passes_and_an_estimate_stands_in_for_truths_to_come(toy: Toy) -> None:
    limits = {"performance": {"roc_auc": 0.05}}
    held = look(toy, holdout(4_000, seed=9), drift=limits)
    assert (held.code, performance(held)) == (0, {"roc_auc": ("pass", "performance")}), held.log
    waiting = look(toy, holdout(4_000, seed=9).drop("y"), drift=limits)
    assert performance(waiting) == {"roc_auc": ("inconclusive", "performance")}
    assert "the truth of 0 current rows is known, and 200 are asked for" in waiting.reasons
    both = {**limits, "estimated_performance": {"roc_auc": 0.05}}
    estimated = look(toy, holdout(4_000, seed=9).drop("y"), drift=both)
    assert (estimated.code, estimated.outputs["verdict"]) == (0, "pass"), estimated.log
    assert performance(estimated) == {"estimated roc_auc": ("pass", "estimated_performance")}


def test_prediction__as_serving_logged_it_is_compared_instead(toy: Toy) -> None:
    frame = holdout(2_000, seed=9)
    weight = json.loads((toy.folder / "build" / "model" / "weights.json").read_text())["weights"]["x1"]
    logged = frame.with_columns(score=1 / (1 + (-weight * pl.col("x1")).exp()))
    quiet = look(toy, logged, drift={"prediction": "score"})
    assert quiet.code == 0, quiet.log
    assert "score" not in quiet.reasons
    moved = look(toy, frame.with_columns(score=pl.lit(0.9)), drift={"prediction": "score"})
    assert verdicts(moved)["prediction"] == ("fail", "prediction")
    absent = look(toy, frame, drift={"prediction": "score"})
    assert (absent.code, absent.outputs["verdict"]) == (0, "inconclusive")
    assert "The current data have no column `score`" in absent.reasons


def test_prediction__is_judged_by_the_clusters_of_current_rows(toy: Toy) -> None:
    done = look(toy, holdout(2_000, seed=9), drift={"cluster": "day", "performance": {"roc_auc": 0.1}})
    assert done.code == 0, done.log
    assert verdicts(done)["prediction"] == ("pass", "prediction")
    few = look(toy, holdout(2_000, seed=9).with_columns(day=pl.lit("monday")), drift={"cluster": "day"})
    assert verdicts(few)["prediction"] == ("inconclusive", "prediction")


def test_prediction__the_reference_can_be_another_dataset(toy: Toy) -> None:
    done = look(toy, holdout(2_000, seed=9), drift={"reference": "train"})
    assert "data_train" in done.report["provenance"]
    unknown = look(toy, None, drift={"reference": "elsewhere"})
    assert "`drift.reference` names the dataset `elsewhere`" in unknown.error
    metric = look(toy, holdout(2_000, seed=9), drift={"performance": {"auc": 0.1}})
    assert metric.code == 1 and "`drift.performance`: `auc` is no metric" in metric.error


# Reports of other tools.

FOREIGN = ROOT / "tests" / "foreign_reports"


def read(toy: Toy, file: Path | str, **inputs: str) -> Done:
    return toy.run(ROOT / "actions" / "detect-drift", drift_report=str(file), **inputs)


def test_report__of_another_tool_is_judged_as_a_look_of_our_own(toy: Toy) -> None:
    """Without a section `drift`, and without any profile."""
    quiet = read(toy, FOREIGN / "evidently-0.7.23-quiet.json")
    (first,) = (each["id"] for each in quiet.report["subjects"] if each["role"] == "window")
    moved = read(toy, FOREIGN / "evidently-0.7.23-moved.json")
    (second,) = (each["id"] for each in moved.report["subjects"] if each["role"] == "window")
    assert first != second
    assert (quiet.code, quiet.outputs["verdict"], quiet.outputs["drifted"]) == (0, "pass", "0"), quiet.log
    assert (moved.code, moved.outputs["verdict"], moved.outputs["drifted"]) == (1, "fail", "2")
    assert moved.error.startswith("Evidently 0.7 found drift in 2 of 3 things that it looked at.")
    assert {each["values"]["role"] for each in moved.report["checks"]} == {"feature"}


def test_report__that_says_nothing_of_drift_is_inconclusive(toy: Toy) -> None:
    (toy.folder / "none.json").write_text('{"violations": []}', encoding="utf-8")
    done = read(toy, "none.json")
    assert (done.code, done.outputs["verdict"]) == (0, "inconclusive")
    assert any("says nothing of drift" in each.message for each in done.annotations)


@pytest.mark.parametrize(
    ("file", "inputs", "said"),
    [
        ("neutral.json", {}, "The drift report is about `delay`"),
        ("neutral.json", {"drift_report_format": "arize"}, "The drift report is not one of arize."),
        ("make.py", {}, "The drift report"),
        ("neutral.json", {"data": "live.parquet"}, "`drift-report` is given with `data`"),
    ],
)
def test_report__that_cannot_be_used_is_inconclusive(toy: Toy, file: str, inputs: dict[str, str], said: str) -> None:
    done = read(toy, FOREIGN / file, **inputs)
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive")
    assert done.error.startswith(said)


def test_report__comes_with_a_repository_dispatch_event(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(toy, "event").error.startswith("The run was started by")
    report = json.loads((FOREIGN / "arize-triggered.json").read_text(encoding="utf-8"))
    event = {"action": "drift", "client_payload": {"report": report, "format": "arize", "model": MODEL}}
    monkeypatch.setattr(toy, "event", event)
    done = read(toy, "event")
    assert (done.code, done.outputs["verdict"], done.outputs["drifted"]) == (1, "fail", "1"), done.log
    monkeypatch.setattr(toy, "event", {**event, "client_payload": {"report": report, "model": "another"}})
    assert read(toy, "event").error.startswith("The drift report is about `another`")


def test_validate__holds_a_delivery_against_what_production_learned_from(toy: Toy) -> None:
    policy = {**POLICY, "data": {**POLICY["data"], "live": {"path": "delivered.parquet", "against": {"drift": "fail"}}}}
    policy["drift"] = {"current": "live"}
    (toy.folder / "against.yml").write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")

    def validate(current: pl.DataFrame) -> Done:
        current.write_parquet(toy.folder / "delivered.parquet")
        return toy.run(ROOT / "actions" / "validate-data", policy="against.yml", purpose="drift")

    def against(done: Done) -> dict[str, str]:
        start = "live against production: "
        found = {each["name"]: each["verdict"] for each in done.report["checks"]}
        return {name.removeprefix(start): verdict for name, verdict in found.items() if name.startswith(start)}

    # The truths are not there yet.
    quiet = validate(holdout(2_000, seed=9).drop("y"))
    assert set(against(quiet).values()) == {"pass"}, quiet.log
    assert quiet.report["provenance"]["reference_live"].startswith("production version 1 sha256:")
    shifted = validate(holdout(2_000, seed=9).with_columns(x1=pl.col("x1") + 1))
    assert (shifted.code, shifted.outputs["verdict"]) == (1, "fail")
    assert against(shifted)["x1: drift"] == "fail"
