"""Disturbed features, and the gate on what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from slipway.evaluation.outcomes import Regression
from slipway.evaluation.robustness import judge_robustness, strength
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.policy.robustness import Robustness
from slipway.prediction.perturbation import perturb_features
from slipway.report import Verdict
from slipway.runner.errors import InputError

ROWS = 1_000


@pytest.fixture
def features(tmp_path: Path) -> Path:
    draw = np.random.default_rng(4)
    path = tmp_path / "features.parquet"
    frame = {
        "x": draw.normal(0, 5, ROWS),
        "n": draw.integers(0, 100, ROWS),
        "place": pl.Series([f"p{each}" for each in range(ROWS)]),
        "other": np.arange(ROWS),
    }
    pl.DataFrame(frame).write_parquet(path)
    return path


def disturbed(features: Path, seed: int = 1, **said: Any) -> dict[str, pl.DataFrame]:
    rules = {name: {"metric": "accuracy", "max_drop": 0.1, **each} for name, each in said.items()}
    found = perturb_features(features, Robustness.model_validate(rules), features.parent, seed=seed)
    frames = {name: pl.read_parquet(path) for name, path in found.items()}
    for each in frames.values():
        assert each.schema == pl.read_parquet_schema(features)
        assert_frame_equal(each.select("other"), pl.read_parquet(features, columns=["other"]))
    return frames


def test_noise__has_the_scale_of_the_column(features: Path) -> None:
    clean = pl.read_parquet(features)
    found = disturbed(features, noise={"columns": ["x", "n"], "scale": 0.2})["noise"]
    change = (found["x"] - clean["x"]).to_numpy()
    assert change.std() == pytest.approx(0.2 * clean["x"].to_numpy().std(), rel=0.1)
    assert found["n"].dtype == pl.Int64
    assert (found["n"] != clean["n"]).sum() > 800


def test_units__multiply(features: Path) -> None:
    clean, found = pl.read_parquet(features), disturbed(features, units={"columns": ["x"], "factor": 2.54})["units"]
    np.testing.assert_allclose(found["x"], clean["x"] * 2.54)


def test_missing__in_the_share_of_rows(features: Path) -> None:
    found = disturbed(features, missing={"columns": ["x", "place"], "share": 0.3})["missing"]
    assert 240 < found["x"].null_count() < 360
    assert 240 < found["place"].null_count() < 360
    assert not found["x"].is_null().equals(found["place"].is_null())


def test_swap__changes_places_and_keeps_the_values(features: Path) -> None:
    clean, found = pl.read_parquet(features), disturbed(features, swap={"columns": ["place"], "share": 0.25})["swap"]
    assert sorted(found["place"]) == sorted(clean["place"])
    assert 190 < (found["place"] != clean["place"]).sum() < 310


def test_perturb__is_seeded_and_independent_of_the_others(features: Path) -> None:
    swap = {"columns": ["place"]}
    first = disturbed(features, swap=swap)["swap"]
    assert_frame_equal(first, disturbed(features, swap=swap, noise={"columns": ["x"]})["swap"])
    assert not first.equals(disturbed(features, seed=2, swap=swap)["swap"])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"noise": {"columns": ["none"]}}, "has no column `none` to disturb"),
        ({"noise": {"columns": ["place"]}}, "The column `place` holds String"),
        ({"units": {"columns": ["place"], "factor": 2}}, "The column `place` holds String"),
    ],
)
def test_perturb__columns_that_cannot_be_disturbed(features: Path, said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        disturbed(features, **said)


def judged(max_drop: float, loss: float, *, production: float | None = None) -> Any:
    """A regression whose absolute error grows by `loss`, give or take, under noise."""
    draw = np.random.default_rng(6)
    truth = np.zeros(ROWS)

    def outcomes(grown: float) -> Any:
        clean = abs(draw.normal(0, 0.1, ROWS)) + 1
        return {"clean": Regression(truth, clean), "noise": Regression(truth, clean + draw.normal(grown, 0.1, ROWS))}

    rule = {"columns": ["x"], "metric": "mean_absolute_error", "max_drop": max_drop}
    asked = {"task": "regression", "holdout": "h", "target": "y", "metrics": {"r2": {}}, "robustness": {"noise": rule}}
    other = None if production is None else outcomes(production)
    return judge_robustness(Evaluation.model_validate(asked), outcomes(loss), other, Sampling(ROWS))


@pytest.mark.parametrize(
    ("max_drop", "verdict"), [(0.6, Verdict.PASS), (0.5, Verdict.INCONCLUSIVE), (0.4, Verdict.FAIL), (0, Verdict.FAIL)]
)
def test_judge__the_candidates_own_loss(max_drop: float, verdict: Verdict) -> None:
    found = judged(max_drop, 0.5, production=0.1)
    (check,) = found.checks
    assert check.verdict is verdict
    assert check.values["value"] == pytest.approx(0.5, abs=0.02)
    assert check.values["disturbed"] - check.values["clean"] == pytest.approx(check.values["value"])
    assert check.values["production_drop"] == pytest.approx(0.1, abs=0.02)
    assert (verdict is Verdict.PASS) == (found.reasons == ())
    assert found.tables[0].rows[0][0] == "noise (x; 0.1 standard deviations)"


def test_judge__a_column_that_nobody_reads_is_said() -> None:
    answers = Regression(np.zeros(ROWS), np.linspace(0, 1, ROWS))
    rule = {"columns": ["x"], "metric": "mean_absolute_error", "max_drop": 0}
    asked = {"task": "regression", "holdout": "h", "target": "y", "metrics": {"r2": {}}, "robustness": {"noise": rule}}
    both = {"clean": answers, "noise": answers}
    (check,) = judge_robustness(Evaluation.model_validate(asked), both, None, Sampling(ROWS)).checks
    assert check.verdict is Verdict.PASS
    assert "the model may not read what was disturbed" in check.detail
    assert "may not read" not in judged(0.6, 0.5).checks[0].detail


def test_judge__how_much_was_disturbed_is_said() -> None:
    found = judged(0.5, 0.3)
    assert found.tables[0].rows[0][0] == "noise (x; 0.1 standard deviations)"
    rule = {"columns": ["x"], "metric": "r2", "max_drop": 0.1}
    said = Robustness.model_validate(
        {"missing": {**rule, "share": 0.25}, "swap": rule, "units": {**rule, "factor": 1.609}}
    ).declared
    assert {name: strength(each) for name, each in said.items()} == {
        "missing": "25 % of the rows",
        "swap": "10 % of the rows",
        "units": "times 1.609",
    }


def test_judge__without_production() -> None:
    found = judged(0.6, 0.5)
    assert found.verdict is Verdict.PASS
    assert found.tables[0].rows[0][2] == "–"
    assert found.checks[0].values["production_drop"] is None


@pytest.mark.parametrize(
    "said",
    [{"noise": {"columns": []}}, {"missing": {"share": 2}}, {"swap": {"share": 0}}, {"units": {}}, {"typo": {}}],
)
def test_policy__robustness_is_strict(said: dict[str, Any]) -> None:
    rules = {name: {"columns": ["x"], "metric": "r2", "max_drop": 0.1, **each} for name, each in said.items()}
    with pytest.raises(ValueError, match="Robustness"):
        Robustness.model_validate(rules)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pl.Series("x", [0, 1, 2, 255] * 50, dtype=pl.UInt8), {"noise": {"scale": 5.0}}),
        (pl.Series("x", [100, -100] * 50, dtype=pl.Int8), {"units": {"factor": 2.54}}),
        (pl.Series("x", [2**63 - 1, 5] * 50, dtype=pl.Int64), {"units": {"factor": 1e6}}),
    ],
)
def test_whole_numbers__stay_within_their_type(tmp_path: Path, values: pl.Series, said: dict[str, Any]) -> None:
    """A column of bytes cannot hold what noise makes of it: the end of its range stands there instead."""
    path = tmp_path / "features.parquet"
    pl.DataFrame({"x": values, "other": range(len(values))}).write_parquet(path)
    ((name, rule),) = said.items()
    rules = Robustness.model_validate({name: {"columns": ["x"], "metric": "accuracy", "max_drop": 0.1, **rule}})
    found = pl.read_parquet(perturb_features(path, rules, tmp_path, seed=1)[name])["x"]
    assert found.dtype == values.dtype
    assert found.null_count() == 0
    assert pl.Series([found.max(), found.min()]).is_in([2**63 - 1, 255, 127, 0, -128, 5_000_000]).all()


def test_noise__an_infinite_value_does_not_spoil_the_others(tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    pl.DataFrame({"x": [1.0, 2.0, 3.0, float("inf"), float("nan"), None] * 20, "other": range(120)}).write_parquet(path)
    found = disturbed(path, noise={"columns": ["x"]})["noise"]["x"].to_numpy()
    assert np.isfinite(found).reshape(20, 6).sum(axis=0).tolist() == [20, 20, 20, 0, 0, 0]
    assert 0 < found[::6].std() < 0.3


def test_judge__a_metric_without_a_value_speaks_of_the_rows_as_they_are() -> None:
    said = {"units": {"columns": ["x"], "factor": 2, "metric": "r2", "max_drop": 0.1}}
    asked = Evaluation.model_validate(
        {"task": "regression", "holdout": "h", "target": "y", "metrics": {"r2": {}}, "robustness": said}
    )
    same = Regression(np.ones(200), np.arange(200.0))
    (check,) = judge_robustness(asked, {"clean": same, "units": same}, None, Sampling(200)).checks
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "production" not in check.detail
