"""Slices: the groups that columns make, the comparison on each one's own rows, and what is never green."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.metrics import log_loss, roc_auc_score

from slipway.evaluation.baseline import judge_baseline
from slipway.evaluation.findings import Findings
from slipway.evaluation.gates import rows_to_settle
from slipway.evaluation.grouping import cross, group, take, take_sampling
from slipway.evaluation.intervals import of_difference
from slipway.evaluation.leakage import tripwires
from slipway.evaluation.metrics import find
from slipway.evaluation.multiplicity import account
from slipway.evaluation.outcomes import Binary, Multiclass, Text
from slipway.evaluation.sampling import Sampling
from slipway.evaluation.search import worst_slices
from slipway.evaluation.slices import judge_slices
from slipway.policy.evaluation import Evaluation
from slipway.report import Check, Report, Verdict
from slipway.runner.errors import InputError

ROWS = 3000


def evaluation(**slices: Any) -> Evaluation:
    said = {"task": "binary", "holdout": "h", "target": "y", "metrics": {"roc_auc": {}, "log_loss": {}}}
    return Evaluation.model_validate(said | {"slices": {"columns": ["carrier"], **slices}})


def holdout(*, spoilt: str = "", seed: int = 0) -> tuple[Binary, Binary, pl.DataFrame]:
    """Candidate, production, and columns; in one carrier the candidate guesses."""
    random = np.random.default_rng(seed)
    carrier = random.choice(["UA", "DL", "B6"], ROWS, p=[0.5, 0.45, 0.05])
    truth = random.random(ROWS) < 0.4
    logit = 1.5 * truth - 0.8 + random.normal(size=ROWS)
    other = np.where(carrier == spoilt, random.normal(size=ROWS), logit + 0.05 * random.normal(size=ROWS))
    models = [Binary(truth, odds > 0, 1 / (1 + np.exp(-odds))) for odds in (other, logit)]
    return models[0], models[1], pl.DataFrame({"carrier": carrier, "distance": random.uniform(0, 1000, ROWS)})


def judged(
    asked: Evaluation, candidate: Binary, production: Binary | None, columns: pl.DataFrame, clusters: Any = None
) -> Findings:
    found = judge_slices(asked, candidate, production, columns, Sampling(ROWS, clusters=clusters))
    Report(stage="evaluate-model", model="m", verdict=found.verdict, checks=found.checks, tables=found.tables)
    return found


def by_name(found: Findings) -> dict[str, Verdict]:
    return {each.name: each.verdict for each in found.checks}


# Groups -------------------------------------------------------------------------------------------------------------


def test_group__of_text_is_its_values_and_missing_is_one() -> None:
    found = group(pl.Series("a", ["x", None, "y", "", "x"]), bins=4)
    assert found.labels == ("a = “”", "a = x", "a = y", "a is missing")
    assert found.codes.tolist() == [1, 3, 2, 0, 1]


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["x", "y", "z"])])
def test_group__of_categories_is_as_of_text(kind: Any) -> None:
    found = group(pl.Series("a", ["y", None, "x"], dtype=kind), bins=4)
    assert (found.labels, found.codes.tolist()) == (("a = x", "a = y", "a is missing"), [1, 2, 0])


def test_group__of_numbers_is_cut_at_quantiles_of_the_data() -> None:
    values = [*range(1, 101), None, float("nan")]
    found = group(pl.Series("d", values, dtype=pl.Float64), bins=4)
    assert found.labels == ("d ≤ 25", "25 < d ≤ 50", "50 < d ≤ 75", "d > 75", "d is missing")
    assert found.sizes.tolist() == [25, 25, 25, 25, 2]
    infinite = group(pl.Series("d", [-np.inf, *range(98), np.inf]), bins=2)
    assert infinite.labels == ("d ≤ 48", "d > 48")


def test_group__of_few_numbers_is_their_values() -> None:
    assert group(pl.Series("n", [2, 1, 2]), bins=4).labels == ("n = 1", "n = 2")
    assert group(pl.Series("b", [True, False]), bins=4).labels == ("b = false", "b = true")
    assert group(pl.Series("n", [7] * 90 + list(range(7))), bins=4).labels == ("all values of n",)


def test_group__of_dates_is_their_months() -> None:
    days = pl.Series("day", [date(2013, 1, 31), date(2013, 2, 1), date(2013, 1, 1)])
    found = group(days, bins=4)
    assert (found.labels, found.codes.tolist()) == (("day = 2013-01", "day = 2013-02"), [0, 1, 0])
    assert group(days.cast(pl.Datetime), bins=4).labels == found.labels


def test_group__values_that_look_alike_when_cut_have_labels_of_their_own() -> None:
    found = group(pl.Series("a", ["x" * 80 + "1", "x" * 80 + "2", "x" * 80 + "2", " ", "“ ”"]), bins=4)
    assert len(set(found.labels)) == len(found.labels) == 4
    assert f"a = {'x' * 59}…" in found.labels
    assert f"a = {'x' * 59}… (2)" in found.labels


def test_group__refuses_nested_values() -> None:
    with pytest.raises(InputError, match="`a` is List"):
        group(pl.Series("a", [[1]]), bins=4)


def test_cross__has_the_combinations_that_occur() -> None:
    found = cross([group(pl.Series("a", ["x", "x", "y"]), bins=4), group(pl.Series("b", [1, 2, 1]), bins=4)])
    assert found.labels == ("a = x and b = 1", "a = x and b = 2", "a = y and b = 1")
    assert found.codes.tolist() == [0, 1, 2]


def test_take__keeps_what_belongs_to_the_rows_and_numbers_clusters_anew() -> None:
    outcome = Multiclass(np.array([0, 1, 2]), np.array([2, 1, 0]), 3, np.eye(3))
    part = take(outcome, np.array([2, 0]))
    assert isinstance(part, Multiclass)
    assert part.probability is not None
    assert (part.truth.tolist(), part.classes, part.probability.tolist()) == ([2, 0], 3, [[0, 0, 1], [1, 0, 0]])
    sampling = take_sampling(Sampling(4, clusters=np.array([5, 5, 0, 9])), np.array([0, 1, 3]))
    assert sampling.clusters is not None
    assert (sampling.rows, sampling.units, sampling.clusters.tolist()) == (3, 2, [0, 0, 1])


# Judgement ----------------------------------------------------------------------------------------------------------


def test_slices__a_regression_that_the_average_hides_fails() -> None:
    candidate, production, columns = holdout(spoilt="DL")
    found = judged(evaluation(metrics={"roc_auc": {"margin": 0.05}}, min_rows=50), candidate, production, columns)
    assert by_name(found) == {
        "carrier = B6: roc_auc: not worse by 0.05": Verdict.PASS,
        "carrier = DL: roc_auc: not worse by 0.05": Verdict.FAIL,
        "carrier = UA: roc_auc: not worse by 0.05": Verdict.PASS,
    }
    assert found.reasons[0].startswith("In carrier = DL: roc_auc changed by -0.")
    assert found.tables[0].rows[0][0] == "carrier = DL"


def test_slices__numbers_are_those_of_the_slices_own_rows() -> None:
    candidate, production, columns = holdout(spoilt="DL")
    found = judged(evaluation(metrics={"log_loss": {"margin": 0.1}}), candidate, production, columns)
    rows = np.flatnonzero((columns["carrier"] == "DL").to_numpy())
    values = next(each.values for each in found.checks if "DL" in each.name)
    expected = of_difference(
        find("log_loss", "binary"), take(production, rows), take(candidate, rows), Sampling(len(rows))
    )
    assert (values["value"], values["low"], values["high"]) == (expected.value, expected.low, expected.high)
    assert candidate.probability is not None
    assert values["candidate"] == pytest.approx(log_loss(candidate.truth[rows], candidate.probability[rows]))


def test_slices__clusters_are_those_of_the_slice() -> None:
    candidate, production, columns = holdout()
    clusters = np.arange(ROWS) // 20
    asked = evaluation(metrics={"roc_auc": {"margin": 0.05}}, min_rows=50)
    found = judged(asked, candidate, production, columns, clusters=clusters)
    rows = np.flatnonzero((columns["carrier"] == "UA").to_numpy())
    values = next(each.values for each in found.checks if "UA" in each.name)
    assert values["method"] == f"paired, closed form, {len(set(clusters[rows]))} clusters"
    assert candidate.probability is not None
    assert values["candidate"] == pytest.approx(roc_auc_score(candidate.truth[rows], candidate.probability[rows]))


def few(rows: int, **others: int) -> pl.DataFrame:
    """Carriers, of which the last ones have few rows."""
    names = np.array([name for name, size in others.items() for _ in range(size)], dtype=object)
    return pl.DataFrame({"carrier": np.concatenate([np.resize(["UA", "DL"], rows - len(names)), names])})


def test_slices__rare_values_are_judged_together_and_named() -> None:
    candidate, production, _ = holdout()
    columns = few(ROWS, B6=150, HA=31, YV=60)
    found = judged(evaluation(metrics={"roc_auc": {"margin": 0.3}}), candidate, production, columns)
    assert by_name(found) == {
        "carrier = DL: roc_auc: not worse by 0.3": Verdict.PASS,
        "carrier = UA: roc_auc: not worse by 0.3": Verdict.PASS,
        "carrier: 3 rare values together: roc_auc: not worse by 0.3": Verdict.PASS,
    }
    (check,) = [each for each in found.checks if "together" in each.name]
    rows = np.flatnonzero(columns["carrier"].is_in(["B6", "HA", "YV"]).to_numpy())
    expected = of_difference(
        find("roc_auc", "binary"), take(production, rows), take(candidate, rows), Sampling(len(rows))
    )
    assert (check.values["value"], check.values["low"]) == (expected.value, expected.low)
    assert found.reasons == (
        "Too few rows to be judged by themselves, so judged together: carrier = HA (31 rows), carrier = YV (60 rows), "
        "carrier = B6 (150 rows). The policy asks for 200 rows.",
    )
    rare = next(table for table in found.tables if table.title == "Slices: too few rows to be judged by themselves")
    assert [row[:2] for row in rare.rows] == [("carrier = HA", 31), ("carrier = YV", 60), ("carrier = B6", 150)]
    assert {row[2] for row in rare.rows} == {"in “carrier: 3 rare values together”"}


def test_slices__a_rare_value_by_itself_is_said_and_leaves_nothing_open() -> None:
    candidate, production, _ = holdout()
    columns = few(ROWS, HA=31)
    found = judged(evaluation(metrics={"roc_auc": {"margin": 0.3}}), candidate, production, columns)
    assert found.verdict is Verdict.PASS
    assert not any("HA" in each.name for each in found.checks)
    assert found.reasons == (
        "Not judged, and no gate waits for it: carrier = HA (31 rows), 1 % of the rows. The policy asks for 200 rows.",
    )
    rare = found.tables[-1]
    assert rare.rows == (("carrier = HA", 31, "not judged"),)


def test_slices__rare_values_that_are_few_even_together_are_not_judged() -> None:
    candidate, production, _ = holdout()
    found = judged(
        evaluation(metrics={"roc_auc": {"margin": 0.3}}), candidate, production, few(ROWS, HA=31, OO=40, YV=50, XX=1)
    )
    assert found.verdict is Verdict.PASS
    assert found.reasons == (
        "Not judged, and no gate waits for them: carrier = XX (1 row), carrier = HA (31 rows), carrier = OO (40 rows) "
        "and 1 more, 4.1 % of the rows. The policy asks for 200 rows.",
    )


def test_slices__a_column_of_rare_values_alone_is_never_green() -> None:
    candidate, production, columns = holdout()
    found = judged(evaluation(metrics={"roc_auc": {"margin": 0.3}}, min_rows=2000), candidate, production, columns)
    assert by_name(found) == {"carrier: roc_auc: not worse by 0.3": Verdict.INCONCLUSIVE}
    assert found.checks[0].detail == (
        "carrier: roc_auc: not worse by 0.3: not judged, since none of its 3 slices is large enough: the policy asks "
        "for 2,000 rows."
    )
    assert found.reasons == (found.checks[0].detail,)
    assert {row[2] for row in found.tables[-1].rows} == {"not judged"}
    clustered = judged(
        evaluation(metrics={"roc_auc": {"margin": 0.3}}), candidate, production, columns, np.arange(ROWS) // 500
    )
    assert by_name(clustered) == {"carrier: roc_auc: not worse by 0.3": Verdict.INCONCLUSIVE}
    assert clustered.checks[0].detail.endswith("the policy asks for 200 rows, and an interval for 10 clusters.")


def test_slices__rare_values_stay_open_where_the_policy_says_so() -> None:
    candidate, production, columns = holdout()
    asked = evaluation(metrics={"roc_auc": {"margin": 0.3}}, rare="inconclusive")
    found = judged(asked, candidate, production, columns)
    assert by_name(found)["carrier = B6: roc_auc: not worse by 0.3"] is Verdict.INCONCLUSIVE
    assert found.verdict is Verdict.INCONCLUSIVE
    few = (columns["carrier"] == "B6").sum()
    assert found.reasons == (f"Not enough rows to judge carrier = B6 ({few} rows, and the policy asks for 200).",)
    line = next(row for table in found.tables for row in table.rows if row[0] == "carrier = B6")
    assert "not enough rows" in line
    clustered = judged(asked, candidate, production, columns, clusters=np.arange(ROWS) // 500)
    assert {each.verdict for each in clustered.checks} == {Verdict.INCONCLUSIVE}
    assert "clusters, and an interval needs 10" in clustered.reasons[0]


def test_slices__rare_crosses_are_judged_together() -> None:
    candidate, production, columns = holdout()
    columns = columns.with_columns(half=pl.Series(np.resize(["am", "pm"], ROWS)))
    asked = evaluation(columns=[["carrier", "half"]], metrics={"roc_auc": {"margin": 0.5}}, min_rows=100)
    found = judged(asked, candidate, production, columns)
    assert "carrier and half: 2 rare values together: roc_auc: not worse by 0.5" in by_name(found)


def test_slices__of_a_holdout_with_fewer_rows_than_the_policy_asks_for_are_not_judged() -> None:
    candidate, production, columns = holdout()
    asked = evaluation(metrics={"accuracy": {"min": 0.1}}, min_rows=20).model_copy(update={"min_rows": ROWS + 1})
    found = judged(asked, candidate, production, columns)
    assert {each.verdict for each in found.checks} == {Verdict.INCONCLUSIVE}
    assert "the holdout has 3,000 rows, and the policy asks for 3,001" in found.checks[0].detail
    assert not any("p_beyond" in each.values for each in found.checks)


def test_slices__rows_that_would_settle_one_are_counted_in_the_holdout() -> None:
    """People add rows to the holdout, of which only a part falls into the slice."""
    candidate, production, columns = holdout()
    found = judged(evaluation(metrics={"accuracy": {"margin": 0.01}}, min_rows=20), candidate, production, columns)
    (check,) = [each for each in found.checks if each.name.startswith("carrier = B6")]
    within = columns["carrier"].to_numpy() == "B6"
    rows = int(within.sum())
    interval = of_difference(
        find("accuracy", "binary"), take(production, within), take(candidate, within), Sampling(rows)
    )
    needed = rows_to_settle(interval, -0.01, rows=rows, confidence=0.95)
    assert needed is not None
    assert check.values["rows_needed"] == pytest.approx(needed * ROWS / rows, abs=1)


def test_slices__too_many_of_a_column_are_not_judged() -> None:
    candidate, production, columns = holdout()
    asked = evaluation(metrics={"roc_auc": {"margin": 0.3}}, max_slices=2)
    found = judged(asked, candidate, production, columns)
    assert by_name(found) == {"carrier: roc_auc: not worse by 0.3": Verdict.INCONCLUSIVE}
    assert "it makes 3 slices, and the policy's `max_slices` is 2" in found.reasons[0]
    assert judged(evaluation(max_slices=2), candidate, production, columns).reasons  # said where nothing gates, too


def test_slices__without_gates_are_marked_after_correction() -> None:
    candidate, production, columns = holdout(spoilt="DL")
    found = judged(evaluation(columns=["carrier", "distance"]), candidate, production, columns)
    assert found.checks == ()
    marks = {(row[0], row[2]): row[-1] for table in found.tables[:2] for row in table.rows}
    assert marks["carrier = DL", "roc_auc\u00a0↑"] == "worse"
    assert marks["carrier = DL", "log_loss\u00a0↓"] == "worse"
    assert marks["carrier = UA", "roc_auc\u00a0↑"] == "–"
    assert [table.folded for table in found.tables] == [False, True, True]
    assert "over 12 comparisons" in found.tables[0].note
    assert len(marks) == 12  # six slices by two metrics; one more is too small


def test_slices__false_marks_are_rare_where_nothing_differs() -> None:
    marked = []
    for seed in range(100):
        candidate, production, columns = holdout(seed=seed)
        found = judged(evaluation(columns=["carrier", "distance"]), candidate, production, columns)
        marked.append(any(row[-1] in ("worse", "better") for table in found.tables for row in table.rows))
    assert np.mean(marked) <= 0.12  # 5 % expected; 100 runs know it to within 4.4 points (two sigma)


def test_slices__first_release_has_absolute_gates_alone() -> None:
    candidate, _, columns = holdout()
    asked = evaluation(metrics={"roc_auc": {"margin": 0.01, "min": 0.6}}, min_rows=50)
    found = judged(asked, candidate, None, columns)
    assert {each.name.rpartition(": ")[2] for each in found.checks} == {"at least 0.6"}
    assert found.verdict is Verdict.PASS


def test_slices__a_metric_without_a_value_says_so_of_the_slice() -> None:
    candidate, production, columns = holdout()
    truth = candidate.truth & (columns["carrier"] != "DL").to_numpy()
    models = [Binary(truth, each.label, each.probability) for each in (candidate, production)]
    found = judged(evaluation(metrics={"roc_auc": {"margin": 0.3}}), models[0], models[1], columns)
    assert (
        "In carrier = DL: roc_auc has no interval for the candidate: this slice holds one class only." in found.reasons
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"columns": ["a", ["a", "b"], ["b", "a"]]}, "the same slices twice"),
        ({"columns": [["a", "a"]]}, "a column twice"),
        ({"columns": [], "metrics": {"roc_auc": {"margin": 0.1}}}, "which is empty"),
        ({"columns": [], "search": False}, "nothing to do"),
    ],
)
def test_policy__refuses_what_makes_no_sense(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        evaluation(**said)


def test_slices__stand_under_holms_correction_and_show_the_verdict_after_it() -> None:
    candidate, production, columns = holdout(spoilt="DL")
    found = judged(evaluation(metrics={"roc_auc": {"margin": 0.05}}, min_rows=50), candidate, production, columns)
    settled = account(found, 0.95)
    assert all(0 <= float(each.values["p_adjusted"] or 0) <= 1 for each in settled.checks)
    assert settled.tables[0].rows[0][-1] == "fail"
    # Among a hundred other gates a fail by a hair is chance.
    (hair,) = (each for each in found.checks if each.verdict is Verdict.FAIL)
    hair = hair.model_copy(update={"values": {**hair.values, "p_beyond": 0.02}})
    others = tuple(Check(name=str(n), verdict=Verdict.PASS, values={"p_beyond": 0.5}) for n in range(100))
    accounted = account(Findings((hair, *others), found.tables, found.reasons), 0.95)
    assert accounted.checks[0].verdict is Verdict.INCONCLUSIVE
    assert accounted.tables[0].rows[0][-1] == "inconclusive"
    assert "Holm" in accounted.reasons[0]


def test_slices__of_one_name_never_show_the_better_verdict() -> None:
    """A value may hold what stands between the parts of a cross."""
    random = np.random.default_rng(0)
    first = np.arange(ROWS) % 2 == 0
    truth = random.random(ROWS) < 0.5
    labels = [truth ^ (random.random(ROWS) < np.where(first, wrong, 0.1)) for wrong in (0.5, 0.1)]
    columns = pl.DataFrame({"a": np.where(first, "x", "x and b = y"), "b": np.where(first, "y and b = z", "z")})
    asked = evaluation(columns=[["a", "b"]], metrics={"accuracy": {"margin": 0.05}})
    found = judge_slices(asked, Binary(truth, labels[0]), Binary(truth, labels[1]), columns, Sampling(ROWS))
    settled = account(found, 0.95)
    assert sorted(each.verdict for each in settled.checks) == [Verdict.FAIL, Verdict.PASS]
    assert [row[-1] for table in settled.tables for row in table.rows] == ["fail", "fail"]


def test_slices__of_texts_are_compared_by_their_scorers() -> None:
    random = np.random.default_rng(0)
    carrier = random.choice(["UA", "DL"], ROWS)
    right = random.random((2, ROWS)) < np.where(carrier == "UA", [[0.3], [0.7]], 0.7)
    models = [Text({"exact_match": each.astype(float)}, {"exact_match": True}) for each in right]
    said = {"task": "text", "holdout": "h", "target": "y", "metrics": {"exact_match": {"margin": 0.1}}}
    slices = {"columns": ["carrier"], "metrics": {"exact_match": {"margin": 0.1}}}
    asked = Evaluation.model_validate(said | {"slices": slices})
    found = judge_slices(asked, models[0], models[1], pl.DataFrame({"carrier": carrier}), Sampling(ROWS))
    assert by_name(found) == {
        "carrier = DL: exact_match: not worse by 0.1": Verdict.PASS,
        "carrier = UA: exact_match: not worse by 0.1": Verdict.FAIL,
    }
    assert worst_slices(asked, models[0], models[1], [], Sampling(ROWS)) == Findings()
    assert judge_baseline(asked, models[0], Sampling(ROWS)) == Findings()
    assert tripwires(asked, models[0], models[1], [pl.Series("carrier", carrier)]).checks == ()


def test_slices__the_worst_of_a_first_release_are_those_farthest_behind_the_holdout() -> None:
    candidate, _, columns = holdout(spoilt="UA")
    asked = evaluation(columns=["carrier", "distance"], metrics={"roc_auc": {"min": 0.1}, "log_loss": {}}, min_rows=50)
    found = judged(asked, candidate, None, columns)
    assert [row[0] for row in found.tables[0].rows[:2]] == ["carrier = UA", "carrier = UA"]
    assert "farthest behind the whole holdout's value" in found.tables[0].note
    assert not any(row[-1] in ("worse", "better") for table in found.tables for row in table.rows)


def test_slices__that_are_folded_stand_in_the_policys_order() -> None:
    candidate, production, columns = holdout()
    asked = evaluation(
        columns=["carrier", "distance"], metrics={"roc_auc": {"margin": 0.3}, "log_loss": {}}, min_rows=50
    )
    folded = [str(row[0]) for row in judged(asked, candidate, production, columns).tables[1].rows]
    names = ["carrier = B6", "carrier = DL", "carrier = UA"]
    carriers = [name for name in folded if name in names]
    assert carriers == sorted(carriers) == folded[: len(carriers)], "by column, each in the order of its slices"


def test_slices__of_too_small_a_holdout_are_one_reason() -> None:
    candidate, production, columns = holdout()
    asked = evaluation(metrics={"accuracy": {"min": 0.1}, "roc_auc": {"min": 0.1}}).model_copy(
        update={"min_rows": 9999}
    )
    found = judged(asked, candidate, production, columns)
    assert found.reasons == ("No gate can judge: the holdout has 3,000 rows, and the policy asks for 9,999.",)


def test_group__names_of_ranges_have_no_exponent() -> None:
    values = pl.Series("d", np.linspace(21270.5, 99999.25, 400))
    assert group(values, bins=2).labels == ("d ≤ 60536", "d > 60536")
    small = pl.Series("d", np.linspace(0.00051, 0.9, 400))
    assert group(small, bins=4).labels[0] == "d ≤ 0.2237"
