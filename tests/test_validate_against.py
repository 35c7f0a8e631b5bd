"""validate-data with `against`: the reference is another dataset or a profile's file; the comparison runs apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import warm_stage
from slipway import profiles
from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.report import Verdict
from slipway.runner.errors import PolicyError
from test_validate_data import POLICY, SCHEMA, SCRIPT, Step, run

ROWS = 600


def frame(start: int = 0, rows: int = ROWS) -> pl.DataFrame:
    """What satisfies the schema of the stage's tests."""
    return pl.DataFrame(
        {
            "id": range(start, start + rows),
            "amount": [float(37 * number % 100) for number in range(rows)],
            "kind": [("a", "b", "a")[number % 3] for number in range(rows)],
        }
    )


def policy(**against: Any) -> str:
    said = yaml.safe_load(POLICY)
    said["data"]["holdout"]["against"] = {"reference": "train", "ignore": ["id"], **against}
    return yaml.safe_dump(said)


@pytest.fixture(scope="module")
def warm(environments_cache: Path, comparison_environment: Path) -> str:
    """The cache of environments, in which the comparison does not import SciPy anew every time."""
    return str(
        warm_stage.warm_cache(environments_cache, {comparison_environment: SCRIPT.with_name("compare_delivery.py")})
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    (repo / "data").mkdir(parents=True)
    (repo / "slipway.yml").write_text(policy())
    (repo / "schema.yml").write_text(SCHEMA)
    frame().write_parquet(repo / "data" / "train.parquet")
    frame(10_000).write_parquet(repo / "data" / "holdout.parquet")
    return tmp_path


def against(step: Step) -> dict[str, Verdict]:
    """Verdicts of the comparison."""
    start = "holdout against "
    return {each.name.removeprefix(start): each.verdict for each in step.report.checks if each.name.startswith(start)}


def test_against__another_dataset_like_it_passes(folder: Path, warm: str) -> None:
    step = run(folder, warm)
    assert step.code == 0, step.log
    assert step.outputs["verdict"] == "pass"
    kinds = ("columns", "drift", "missing values as before", "no new categories", "not constant")
    assert against(step) == {f"train: {kind}": Verdict.PASS for kind in kinds}
    assert step.report.provenance["reference_holdout"] == "train, 600 rows"


def test_against__rows_are_judged_by_their_clusters(folder: Path, warm: str) -> None:
    (folder / "repo/slipway.yml").write_text(policy(cluster="kind"))
    few = run(folder, warm)
    assert against(few)["train: drift"] is Verdict.INCONCLUSIVE, few.log
    assert "or 5 clusters" in few.log
    (folder / "repo/slipway.yml").write_text(policy(cluster="day"))
    absent = run(folder, warm)
    assert against(absent) == {"train: reference": Verdict.INCONCLUSIVE}
    assert "no column `day`, which `cluster` names" in absent.log
    (folder / "repo/slipway.yml").write_text(policy(cluster="id", drift="fail"))
    alone = run(folder, warm)  # each row is a cluster of its own
    assert alone.code == 0, alone.log
    assert alone.outputs["verdict"] == "pass"


def test_against__valid_data_that_are_different_fail_before_anything_is_computed(folder: Path, warm: str) -> None:
    other = frame(10_000, 200).with_columns(amount=pl.lit(5.0), kind=pl.lit("a"))
    other.write_parquet(folder / "repo/data/holdout.parquet")
    (folder / "repo/slipway.yml").write_text(policy(volume={"min_ratio": 0.5}))
    step = run(folder, warm)
    assert (step.code, step.outputs["verdict"]) == (1, "fail"), step.log
    failing = {name for name, verdict in against(step).items() if verdict is Verdict.FAIL}
    assert failing == {
        "train: volume: at least 0.5 times the reference",
        "train: amount: not constant",
        "train: kind: not constant",
    }
    assert "200 rows, 0.333 times the 600 of the reference" in step.log
    # Drift is shown with what is violated, and fails nothing.
    names = [row[0] for row in step.report.tables[0].rows]
    assert "holdout against train: amount: drift" in names


def test_against__a_profile_that_is_there_and_one_that_is_not(folder: Path, warm: str) -> None:
    file = folder / "repo" / "january.json"
    # As a training leaves it: of the features and the target alone. What else is ignored stands in the data only.
    file.write_text(profiles.text(profiles.of_frame(frame().lazy(), ["amount", "kind"])))
    (folder / "repo/slipway.yml").write_text(policy(reference="january.json"))
    step = run(folder, warm)
    assert step.outputs["verdict"] == "pass", step.log
    assert str(step.report.provenance["reference_holdout"]).startswith("january.json sha256:")
    file.write_text("{}")
    damaged = run(folder, warm)
    assert against(damaged) == {"january.json: reference": Verdict.INCONCLUSIVE}
    assert damaged.outputs["verdict"] == "inconclusive"
    file.unlink()
    gone = run(folder, warm)
    assert (gone.code, gone.outputs["verdict"]) == (1, "inconclusive")
    assert "january.json" in gone.log and "Traceback" not in gone.log


def test_against__a_profile_that_is_empty_is_not_taken_for_production(folder: Path, warm: str) -> None:
    (folder / "repo" / "january.json").write_text("")
    (folder / "repo/slipway.yml").write_text(policy(reference="january.json"))
    step = run(folder, warm)
    assert against(step) == {"january.json: reference": Verdict.INCONCLUSIVE}


def test_against__production_without_a_version_is_inconclusive(folder: Path, warm: str) -> None:
    (folder / "repo/slipway.yml").write_text(policy(reference="production"))
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    step = run(folder, warm, tracking_uri=uri)
    assert (step.code, step.outputs["verdict"]) == (0, "inconclusive"), step.log
    detail = step.check("holdout against production: reference").detail
    assert detail.startswith("not compared: No version of `churn` is in production")


def test_against__a_reference_that_cannot_be_read_is_inconclusive(folder: Path, warm: str) -> None:
    good = (folder / "repo/data/train.parquet").read_bytes()
    (folder / "repo/data/train.parquet").write_bytes(good[: len(good) // 2])
    step = run(folder, warm)
    assert (step.code, step.outputs["verdict"]) == (1, "fail")
    assert step.check("train: readable").verdict is Verdict.FAIL
    assert against(step) == {"train: reference": Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("cut", [0, 100, -1])
def test_against__a_truncated_delivery_fails(folder: Path, warm: str, cut: int) -> None:
    file = folder / "repo/data/holdout.parquet"
    file.write_bytes(file.read_bytes()[:cut])
    step = run(folder, warm)
    assert (step.code, step.outputs["verdict"]) == (1, "fail")
    assert step.check("holdout: readable").verdict is Verdict.FAIL
    assert against(step) == {}


@pytest.mark.parametrize("rows", [0, 1])
def test_against__an_empty_window_fails_and_one_row_is_no_pass(folder: Path, warm: str, rows: int) -> None:
    frame(10_000, rows).cast({"id": pl.Int64, "amount": pl.Float64, "kind": pl.String}).write_parquet(
        folder / "repo/data/holdout.parquet"
    )
    step = run(folder, warm)
    failing = [check for check in step.report.checks if check.verdict is Verdict.FAIL]
    assert step.outputs["verdict"] == ("inconclusive" if rows else "fail"), failing
    assert rows or "has no rows" in step.check("holdout: readable").detail


@pytest.mark.parametrize(
    ("instead", "verdict"),
    [
        ("+02:00", None),  # another moment, which is told right: all are in UTC then
        ("", Verdict.FAIL),  # no moment at all: the column is text
    ],
)
def test_against__mixed_zones_of_a_csv(folder: Path, warm: str, instead: str, verdict: Verdict | None) -> None:
    repo = folder / "repo"
    (repo / "schema.yml").write_text("columns: {amount: {dtype: Float64}}\n")
    (repo / "slipway.yml").write_text(policy().replace(".parquet", ".csv"))
    times = [f"2026-01-01T00:{number % 60:02}:00Z" for number in range(ROWS)]
    frame().with_columns(at=pl.Series(times)).write_csv(repo / "data/train.csv")
    mixed = [each if number % 2 else each.replace("Z", instead) for number, each in enumerate(times)]
    frame(10_000).with_columns(at=pl.Series(mixed)).write_csv(repo / "data/holdout.csv")
    step = run(folder, warm)
    assert against(step).get("train: at: as in the reference") is verdict, step.log
    assert (step.code == 1) is (verdict is Verdict.FAIL)


def test_against__codes_of_a_csv_are_text_on_both_sides(folder: Path, warm: str) -> None:
    """As numbers the codes of both would be the same ones."""
    repo = folder / "repo"
    (repo / "schema.yml").write_text("columns: {zip: {dtype: String}}\n")
    (repo / "slipway.yml").write_text(policy(new_categories="fail").replace(".parquet", ".csv"))
    for name, zeros in (("train", "0"), ("holdout", "00")):
        codes = pl.Series([f"{zeros}{number % 7}" for number in range(ROWS)])
        frame(len(name) * 10_000).with_columns(zip=codes).write_csv(repo / "data" / f"{name}.csv")
    step = run(folder, warm)
    assert against(step)["train: zip: no new categories"] is Verdict.FAIL, step.log
    assert step.check("holdout against train: zip: no new categories").values["new"] == 7


def test_against__a_column_to_ignore_that_is_nowhere_is_an_error(folder: Path, warm: str) -> None:
    (folder / "repo/slipway.yml").write_text(policy(ignore=["idd"]))
    step = run(folder, warm)
    assert (step.code, step.outputs["verdict"]) == (1, "inconclusive")
    assert "names `idd`, which neither" in step.log


def test_against__names_of_new_values_are_kept_back_where_examples_are(folder: Path, warm: str) -> None:
    (folder / "repo/schema.yml").write_text("columns: {amount: {dtype: Float64}}\n")
    frame(10_000).with_columns(kind=pl.lit("very-personal")).write_parquet(folder / "repo/data/holdout.parquet")
    (folder / "repo/slipway.yml").write_text(policy(new_categories="fail"))
    step = run(folder, warm, examples="0")
    assert step.check("holdout against train: kind: no new categories").count == ROWS
    assert "very-personal" not in step.log + step.summary + step.report.model_dump_json()
    shown = run(folder, warm).check("holdout against train: kind: no new categories")
    assert shown.examples == ("'very-personal' (600 rows)",)


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ({"reference": "holdout"}, "give `production`, another dataset"),
        ({"reference": "nowhere"}, "give `production`, another dataset"),
        ({"volume": {}}, "give `min_ratio`, `max_ratio` or both"),
        ({"volume": {"min_ratio": 2, "max_ratio": 1}}, "is above `max_ratio`"),
        ({"volume": {"min_ratio": 0}}, "must be above 0"),
        ({"drift": "wran"}, "warn"),
        ({"floors": 1}, "did you mean `floor`?"),
    ],
)
def test_policy__refuses_what_cannot_be_meant(against: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=r"slipway\.yml") as refused:
        read_text(policy(**against), Policy, file="slipway.yml")
    assert said in str(refused.value)
