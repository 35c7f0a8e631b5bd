"""What the comment tells people to do, by verdict and by what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.report import Change, Check, Report, Verdict
from slipway.report.advice import FIRST_RELEASE, next_steps
from slipway.report.comment import headline

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def report(verdict: Verdict, stage: str = "evaluate-model", **said: Any) -> Report:
    return Report(stage=stage, model="m", verdict=verdict, **said)


def open_check(name: str, rows_needed: int | None) -> Check:
    return Check(name=name, verdict=OPEN, values={"rows_needed": rows_needed})


def test_next_steps__a_pass_is_merged_and_production_stays() -> None:
    said = next_steps(PASS, [report(PASS)])
    assert said.startswith("Merge.") and "Production stays as it is until somebody releases" in said
    assert next_steps(PASS, [report(PASS)], in_pull_request=False).startswith("Release the candidate")
    assert next_steps(PASS, [report(PASS, advice="Think.")]).startswith("Think. Merge.")


def test_next_steps__a_fail_names_the_gate_the_clue_and_the_way_around() -> None:
    checks = (Check(name="f1: better", verdict=FAIL), Check(name="recall: better", verdict=PASS))
    changes = (Change(name="depth", production="1", candidate="2"),)
    said = next_steps(FAIL, [report(FAIL, checks=checks, changes=changes, provenance={"policy": "ml/slipway.yml"})])
    assert "“f1: better” stands in the way." in said and "recall" not in said
    assert "what changed against production (depth)" in said
    assert "changing the gate in ml/slipway.yml in a pull request of its own" in said
    assert "Mend the change and push again" in next_steps(FAIL, [report(FAIL, checks=checks)])


def test_next_steps__of_many_gates_two_are_named() -> None:
    checks = tuple(Check(name=f"c{number}", verdict=FAIL) for number in range(5))
    assert "“c0”, “c1” and 3 more stand in the way" in next_steps(FAIL, [report(FAIL, checks=checks)])


def test_next_steps__bad_data_are_corrected() -> None:
    said = next_steps(FAIL, [report(FAIL, "validate-data", checks=(Check(name="x: range", verdict=FAIL),))])
    assert said.startswith("“x: range” stands in the way: correct the data")


@pytest.mark.parametrize("verdict", [FAIL, OPEN])
def test_next_steps__a_stages_own_advice_comes_first(verdict: Verdict) -> None:
    assert next_steps(verdict, [report(verdict, "train-model", advice="Do this.")]) == "Do this."


def test_next_steps__of_two_that_failed_the_comparison_speaks() -> None:
    reports = [report(FAIL, "validate-data", advice="Data."), report(FAIL, advice="Model.")]
    assert next_steps(FAIL, reports) == "Model."


@pytest.mark.parametrize(("needed", "shown"), [(203_512, "210,000"), (99, "99"), (7, "7"), (1_000_001, "1,100,000")])
def test_next_steps__inconclusive_names_the_rows_that_are_needed(needed: int, shown: str) -> None:
    checks = (open_check("f1: better", needed), open_check("recall: better", 5), Check(name="x", verdict=PASS))
    said = next_steps(OPEN, [report(OPEN, checks=checks)])
    assert f"about {shown} would settle “f1: better”, “recall: better”" in said
    assert "a person decides" in said


def test_next_steps__rows_are_not_promised_where_they_would_not_settle_it() -> None:
    checks = (open_check("f1: better", 1000), open_check("auc: better", None))
    said = next_steps(OPEN, [report(OPEN, checks=checks)])
    assert "1,000" not in said and "could not be settled" in said


def test_next_steps__a_first_release_without_a_gate() -> None:
    nothing_judged = Check(name=FIRST_RELEASE, verdict=OPEN)
    assert "absolute gate" in next_steps(OPEN, [report(OPEN, checks=(nothing_judged,))])
    assert headline(OPEN, [report(OPEN, checks=(nothing_judged,))], []) == "not judged"


def test_next_steps__a_missing_report() -> None:
    assert "why not every stage reported" in next_steps(OPEN, [report(PASS)], ["train-model"])
    assert next_steps(OPEN, []) == "Run the stages: there is no report yet."


@pytest.mark.parametrize("verdict", [FAIL, OPEN])
def test_next_steps__a_stage_that_could_not_say_why(verdict: Verdict) -> None:
    assert "log of train-model" in next_steps(verdict, [report(verdict, "train-model")])
