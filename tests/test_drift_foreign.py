"""Drift reports of other tools: their own files, documented samples, and everything that may be wrong with them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import pytest
from hypothesis import strategies as st

from slipway.drift import foreign, reported
from slipway.drift.findings import ColumnDrift, DriftFindings
from slipway.drift.foreign import document
from slipway.report import Report, Verdict, markdown
from slipway.runner.errors import InputError

FOLDER = Path(__file__).parent / "foreign_reports"
ROOT = FOLDER.parents[1]
EVIDENTLY, NANNYML, WHYLOGS = "evidently-0.7.23", "nannyml-0.13.1", "whylogs-1.6.4"
PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE

EXPECTED: dict[str, tuple[str, Verdict, set[str]]] = {
    "evidently-0.4.40-report-quiet": ("evidently", PASS, set()),
    "evidently-0.4.40-report-moved": ("evidently", FAIL, {"age", "plan"}),
    "evidently-0.4.40-suite-quiet": ("evidently", PASS, set()),
    "evidently-0.4.40-suite-moved": ("evidently", FAIL, {"age", "plan"}),
    "evidently-0.7.4-quiet": ("evidently", PASS, set()),
    "evidently-0.7.4-moved": ("evidently", FAIL, {"age", "plan"}),
    # 0.7.4 names no method without tests; that two columns have drifted it says all the same.
    "evidently-0.7.4-quiet-untested": ("evidently", OPEN, set()),
    "evidently-0.7.4-moved-untested": ("evidently", FAIL, {""}),
    "evidently-0.7.4-own-tests": ("evidently", FAIL, {"income"}),
    "evidently-0.7.23-quiet": ("evidently", PASS, set()),
    "evidently-0.7.23-moved": ("evidently", FAIL, {"age", "plan"}),
    "evidently-0.7.23-quiet-untested": ("evidently", PASS, set()),
    "evidently-0.7.23-moved-untested": ("evidently", FAIL, {"age", "plan"}),
    "evidently-0.7.23-own-tests": ("evidently", FAIL, {"income"}),
    "nannyml-0.13.1-drift-quiet": ("nannyml", PASS, set()),
    "nannyml-0.13.1-drift-moved": ("nannyml", FAIL, {"age", "plan", "score"}),
    "nannyml-0.13.1-drift-quiet-records": ("nannyml", PASS, set()),
    "nannyml-0.13.1-drift-moved-records": ("nannyml", FAIL, {"age", "plan", "score"}),
    "nannyml-0.13.1-methods-quiet": ("nannyml", PASS, set()),
    "nannyml-0.13.1-methods-moved": ("nannyml", FAIL, {"age", "plan"}),
    "nannyml-0.13.1-reconstruction-quiet": ("nannyml", PASS, set()),
    "nannyml-0.13.1-reconstruction-moved": ("nannyml", FAIL, {""}),
    "nannyml-0.13.1-missing-quiet": ("nannyml", OPEN, set()),
    "nannyml-0.13.1-missing-moved": ("nannyml", OPEN, set()),
    "nannyml-0.13.1-realised-quiet": ("nannyml", PASS, set()),
    "nannyml-0.13.1-realised-moved": ("nannyml", PASS, set()),
    "nannyml-0.13.1-estimated-quiet": ("nannyml", PASS, set()),
    "nannyml-0.13.1-estimated-moved": ("nannyml", FAIL, {"f1"}),
    "whylogs-1.6.4-scores-quiet": ("whylogs", PASS, set()),
    "whylogs-1.6.4-scores-moved": ("whylogs", FAIL, {"age", "plan"}),
    "whylogs-1.6.4-untested-quiet": ("whylogs", OPEN, set()),
    "whylogs-1.6.4-untested-moved": ("whylogs", OPEN, set()),
    "whylogs-1.6.4-values-quiet": ("whylogs", OPEN, set()),
    "whylogs-1.6.4-values-moved": ("whylogs", OPEN, set()),
    "whylogs-1.6.4-hellinger-quiet": ("whylogs", OPEN, set()),
    "whylogs-1.6.4-hellinger-moved": ("whylogs", FAIL, {"age"}),
    # Constraints bound values: of the quiet window one lies below 15, of the moved one none.
    "whylogs-1.6.4-constraints-quiet": ("whylogs", FAIL, {""}),
    "whylogs-1.6.4-constraints-moved": ("whylogs", OPEN, set()),
    "arize-triggered": ("arize", FAIL, {"age"}),
    "arize-cleared": ("arize", PASS, set()),
    "vertex-v1-drifted": ("vertex", FAIL, {"age"}),
    "vertex-v1-log-quiet": ("vertex", PASS, set()),
    "vertex-v2-alerts": ("vertex", FAIL, {"age"}),
    "sagemaker-violations": ("sagemaker", FAIL, {"age", "income"}),
    "sagemaker-bias": ("sagemaker", FAIL, {"CI"}),
    "sagemaker-with-constraints": ("sagemaker", PASS, set()),
    "neutral": ("neutral", FAIL, {"age"}),
}


Place = tuple[str | int, ...]


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def column(found: DriftFindings, name: str) -> ColumnDrift:
    (one,) = (each for each in found.columns if each.column == name)
    return one


def refusal(given: Any, format: str = "auto") -> str:
    with pytest.raises(InputError) as raised:
        foreign.read(given, format)
    return f"{raised.value}"


# Every file.


def test_files__are_all_expected() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_read__says_of_every_file_what_its_tool_says(name: str) -> None:
    format, verdict, drifted = EXPECTED[name]
    found = foreign.read(FOLDER / f"{name}.json")
    assert found.verdict is verdict
    assert {each.column for each in found.columns if each.drifted} == drifted
    assert foreign.read(FOLDER / f"{name}.json", format) == found == foreign.read(load(name))


@pytest.mark.parametrize("name", EXPECTED)
def test_read__knows_each_file_as_of_one_tool_only(name: str) -> None:
    format = EXPECTED[name][0]
    assert [each for each, reader in foreign.READERS.items() if reader.recognises(load(name))] == [format]
    other = next(each for each in foreign.READERS if each != format)
    assert f"The drift report is not one of {other}.\nWhy: It looks like {format}." in refusal(load(name), other)


@pytest.mark.parametrize("name", EXPECTED)
def test_reported__has_a_check_for_each_finding_and_a_page_for_people(name: str) -> None:
    found = foreign.read(load(name))
    checks, table = reported.checks(found), reported.table(found)
    assert [each.verdict for each in checks] == [each.verdict for each in found.columns]
    assert [each.values["role"] for each in checks] == [each.role for each in found.columns]
    assert len(table.rows) == len(found.columns)
    reasons = reported.reasons(found)
    assert bool(reasons) == (found.verdict is not PASS)
    report = Report(stage="detect-drift", model="m", verdict=found.verdict, reasons=reasons, tables=(table,))
    assert reported.source(found).partition(" ")[0] in markdown.stage_page(report)


# What is read.


def test_evidently__numbers_are_those_of_the_file() -> None:
    found = foreign.read(load(f"{EVIDENTLY}-moved"))
    said = {each["config"]["column"]: each for each in load(f"{EVIDENTLY}-moved")["metrics"][1:]}
    for name, metric in said.items():
        one = column(found, name)
        assert (one.statistic, one.value, one.limit) == (metric["config"]["method"], metric["value"], 0.05)
        assert one.p_value == metric["value"]
    assert (found.tool, found.version) == ("Evidently", "0.7")


def test_evidently__a_missing_value_is_a_problem_of_quality() -> None:
    found = foreign.read(load(f"{EVIDENTLY}-own-tests"))
    assert [each.statistic for each in found.quality_problems] == ["MissingValueCount"]
    assert found.rows == 500 and found.drifted == ()


def test_evidently__that_few_columns_drifted_is_no_pass() -> None:
    """Its own limit is half of the columns."""
    given = load(f"{EVIDENTLY}-moved")
    given["metrics"][0]["value"] = {"count": 1, "share": 1 / 3}
    given["tests"][0]["status"] = "SUCCESS"
    given["tests"][3]["status"] = "SUCCESS"
    given["metrics"][3]["value"] = 0.5
    found = foreign.read(given)
    assert found.verdict is FAIL and [each.column for each in found.drifted] == ["age"]


def test_evidently__counted_columns_that_are_not_shown_have_drifted() -> None:
    given = load(f"{EVIDENTLY}-moved-untested")
    given["metrics"] = [each for each in given["metrics"] if each["config"].get("column") != "age"]
    found = foreign.read(given)
    assert [each.column for each in found.drifted] == ["plan", ""]
    assert column(found, "").value == 1


@pytest.mark.parametrize(
    ("method", "threshold", "value", "drifted"),
    [
        ("psi", 0.1, 0.2, True),
        ("PSI", 0.1, 0.05, False),
        ("K-S p_value", 0.05, 0.01, True),
        ("ks", 0.05, 0.5, False),
        ("my own", 0.05, 0.5, None),
        ("psi", None, 0.5, None),
        ("psi", 0.1, float("nan"), None),
        ("psi", 0.1, float("inf"), True),
        ("psi", float("nan"), 0.05, None),
        (None, 0.1, 0.5, None),
    ],
)
def test_evidently__without_tests_the_method_decides(
    method: str | None, threshold: float | None, value: float, drifted: bool | None
) -> None:
    config = {"type": "evidently:metric_v2:ValueDrift", "column": "x", "method": method, "threshold": threshold}
    given = {"metrics": [{"id": "1", "metric_name": "x", "config": config, "value": value}], "tests": []}
    assert [each.drifted for each in foreign.read(given).columns] == [drifted]


@pytest.mark.parametrize(
    ("status", "drifted"),
    [("SUCCESS", False), ("FAIL", True), ("WARNING", None), ("ERROR", None), ("SKIPPED", None)],
)
def test_evidently__a_test_that_erred_or_was_skipped_decides_nothing(status: str, drifted: bool | None) -> None:
    given = load(f"{EVIDENTLY}-quiet")
    given["tests"][1]["status"] = status
    assert column(foreign.read(given), "age").drifted is drifted


def test_evidently__a_passed_test_that_the_score_contradicts_decides_nothing() -> None:
    """As lt(0.1) on a p-value does."""
    given = load(f"{EVIDENTLY}-moved")
    given["tests"][1]["status"] = "SUCCESS"
    assert column(foreign.read(given), "age").drifted is None


@pytest.mark.parametrize("version", ["0.3.3", "0.8.0", "1.0", "0.70", "nightly"])
def test_evidently__an_unknown_version_is_named(version: str) -> None:
    given = load("evidently-0.4.40-report-quiet") | {"version": version}
    assert f"'{version}'" in refusal(given)


def test_evidently__an_unknown_kind_of_metric_is_named() -> None:
    given = load(f"{EVIDENTLY}-quiet")
    given["metrics"][1]["config"]["type"] = "evidently:metric_v3:ValueDrift"
    assert "metric_v3" in refusal(given)


def test_nannyml__the_last_chunk_decides() -> None:
    given = load(f"{NANNYML}-drift-moved-records")
    for name in list(given[1]):
        if name.endswith("_alert"):
            given[1][name] = False
        elif name.endswith("_value"):
            given[1][name] = 0.01
    found = foreign.read(given)
    assert found.verdict is PASS
    assert found.remarks == ("The last of 2 chunks decides; 1 of those before it have alerts.",)
    assert foreign.read(given[::-1]) == found  # whatever the order of the rows
    assert (found.start, found.end) == (
        datetime(2026, 3, 11, 10, tzinfo=UTC),
        datetime(2026, 3, 21, 19, 30, tzinfo=UTC),
    )
    assert found.rows == 500


def test_nannyml__reference_chunks_decide_nothing() -> None:
    given = [each | {"chunk_period": "reference"} for each in load(f"{NANNYML}-drift-moved-records")]
    assert foreign.read(given).verdict is OPEN


def test_nannyml__no_alert_beyond_or_without_a_threshold_decides_nothing() -> None:
    beyond, unlimited, unmeasured = (load(f"{NANNYML}-drift-quiet-records")[-1:] for _ in range(3))
    beyond[0]["age_jensen_shannon_value"] = 0.9
    unlimited[0]["age_jensen_shannon_upper_threshold"] = None
    unmeasured[0]["age_jensen_shannon_value"] = None
    for rows in (beyond, unlimited, unmeasured):
        assert column(foreign.read(rows), "age").drifted is None


@pytest.mark.parametrize(
    ("what", "name", "role"),
    [
        ("drift", "age", "feature"),
        ("estimated", "roc_auc", "estimated_performance"),
        ("realised", "roc_auc", "performance"),
        ("missing", "age", "quality"),
    ],
)
def test_nannyml__knows_what_a_result_is_about(what: str, name: str, role: str) -> None:
    assert column(foreign.read(load(f"{NANNYML}-{what}-quiet")), name).role == role


def test_whylogs__possible_drift_is_not_known() -> None:
    given = load(f"{WHYLOGS}-scores-quiet")
    given["age"]["drift_category"] = "POSSIBLE_DRIFT"
    assert foreign.read(given).verdict is OPEN


def test_whylogs__a_category_that_the_score_contradicts_decides_nothing() -> None:
    given = load(f"{WHYLOGS}-scores-moved")
    given["age"]["drift_category"] = given["plan"]["drift_category"] = "NO_DRIFT"
    assert foreign.read(given).verdict is OPEN


def test_arize__no_data_and_never_evaluated_are_not_known() -> None:
    given = load("arize-cleared")
    assert foreign.read(given | {"status": "NO_DATA"}).verdict is OPEN
    assert foreign.read({key: each for key, each in given.items() if key != "evaluated_at"}).verdict is OPEN


def test_arize__a_first_page_is_not_all() -> None:
    given = {"monitors": [load("arize-cleared")], "pagination": {"has_more": True, "next_cursor": "x"}}
    assert foreign.read(given).verdict is OPEN
    assert foreign.read({**given, "pagination": {"has_more": False}}).verdict is PASS


@pytest.mark.parametrize(
    ("kind", "category", "role"),
    [
        ("DRIFT", "FEATURE_LABEL", "feature"),
        ("DRIFT", "PREDICTIONS_SCORE", "prediction"),
        ("DRIFT", "ACTUALS", "target"),
        ("DATA_QUALITY", "PREDICTIONS", "quality"),
        ("PERFORMANCE", "PREDICTIONS", "performance"),
    ],
)
def test_arize__knows_what_a_monitor_is_about(kind: str, category: str, role: str) -> None:
    given = load("arize-cleared") | {"type": kind, "dimension": {"category": category}}
    assert [each.role for each in foreign.read(given).columns] == [role]


def test_vertex__the_latest_window_decides_whatever_the_order() -> None:
    given = load("vertex-v1-drifted")
    history = given["monitoringStats"][0]["featureStats"][0]["predictionStats"]
    history.reverse()
    assert column(foreign.read(given), "age").drifted is True
    history[0]["endTime"] = "2026-03-04T00:00:00Z"
    assert column(foreign.read(given), "age").drifted is False


def test_vertex__counted_anomalies_and_pages_that_are_not_shown_are_not_known() -> None:
    given = load("vertex-v1-log-quiet")
    assert foreign.read({"jsonPayload": given["jsonPayload"] | {"anomalyCount": 1}}).verdict is OPEN
    assert foreign.read({"monitoringStats": [given["jsonPayload"]], "nextPageToken": "x"}).verdict is OPEN


def test_vertex__reads_what_the_python_client_writes() -> None:
    def snake(given: Any) -> Any:
        if isinstance(given, list):
            return [snake(each) for each in given]
        if not isinstance(given, dict):
            return given
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake(v) for key, v in given.items()}

    for name in ("vertex-v1-drifted", "vertex-v2-alerts"):
        assert foreign.read(snake(load(name))) == foreign.read(load(name))


def test_sagemaker__no_violation_alone_does_not_say_what_was_looked_at() -> None:
    assert foreign.read({"violations": []}).verdict is OPEN


@pytest.mark.parametrize("switch", ["evaluate_constraints", "perform_comparison"])
def test_sagemaker__what_was_not_compared_did_not_pass(switch: str) -> None:
    given = load("sagemaker-with-constraints")
    config = given["constraints"]["monitoring_config"]
    (config if switch in config else config["distribution_constraints"])[switch] = "Disabled"
    assert foreign.read(given).verdict is OPEN


def test_sagemaker__a_check_of_another_container_is_a_problem_of_quality() -> None:
    given = {"violations": [{"feature_name": "x", "constraint_check_type": "our_own_check"}]}
    found = foreign.read(given)
    assert found.verdict is FAIL and [each.column for each in found.quality_problems] == ["x"]


def test_read__what_is_there_twice_is_refused() -> None:
    """The second would decide, or the first, and nobody could tell."""
    metrics = load(f"{EVIDENTLY}-moved")
    metrics["metrics"].append(metrics["metrics"][2] | {"id": metrics["metrics"][1]["id"]})
    assert "`id` of its own" in refusal(metrics)
    rows = load(f"{NANNYML}-drift-moved-records")
    assert "twice" in refusal([*rows, rows[0] | {"chunk_index": 1}])
    columns = load(f"{NANNYML}-drift-moved")
    quiet = dict.fromkeys(columns["('age', 'jensen_shannon', 'alert')"], False)
    assert "twice" in refusal(columns | {"age_jensen_shannon_alert": quiet})


def test_read__ten_thousand_columns() -> None:
    given = load(f"{EVIDENTLY}-moved-untested")
    metric = given["metrics"][2]
    given["metrics"] += [
        metric | {"id": str(place), "config": metric["config"] | {"column": f"c{place}"}} for place in range(10_000)
    ]
    found = foreign.read(given)
    assert len(found.columns) == 10_003 and found.verdict is FAIL
    assert len(reported.reasons(found)) == 2
    given["metrics"] = [metric | {"value": 0.001} for metric in given["metrics"] if "column" in metric["config"]]
    assert reported.reasons(foreign.read(given))[-1] == "9,983 more are in the table."
    chunks = load(f"{NANNYML}-drift-moved")
    age = {name: each for name, each in chunks.items() if "'age'" in name}
    for place in range(10_000):
        chunks |= {name.replace("'age'", f"'c{place}'"): each for name, each in age.items()}
    assert len(foreign.read(chunks).columns) == 10_004


# The neutral form.


def neutral(**said: Any) -> dict[str, Any]:
    return {**load("neutral"), **said}


def test_neutral__agrees_with_its_published_schema() -> None:
    schema = json.loads((ROOT / "docs" / "drift-report.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(load("neutral"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(neutral(schema_version=2), schema)


def test_neutral__keeps_all_that_is_said() -> None:
    found = foreign.read(load("neutral"))
    assert (found.tool, found.version, found.model, found.rows) == ("our own monitor", "3", "delay", 12_000)
    assert found.start == datetime(2026, 3, 1, tzinfo=UTC) and found.end == datetime(2026, 3, 8, tzinfo=UTC)
    assert column(found, "age").importance == 0.6
    assert column(found, "score").role == "prediction"


@pytest.mark.parametrize(
    "said",
    [
        {"schema_version": 2},
        {"schema_version": "1"},
        {"rows": -1},
        {"rows": True},
        {"start": "2026-03-09T00:00:00Z"},
        {"end": "2026-03-09"},
        {"verdict": "pass"},
        {"columns": [{"column": "x", "role": "feature", "statistic": "PSI", "drifted": False}]},
        {"columns": [{"column": "x", "role": "feature", "statistic": "PSI", "drifted": "no", "value": 1}]},
        {"columns": [{"column": "x", "role": "other", "statistic": "PSI", "drifted": None}]},
        {"columns": [{"column": "x", "role": "feature", "statistic": "PSI", "drifted": True, "value": float("nan")}]},
        {"columns": [{"column": "x", "role": "feature", "statistic": "PSI", "drifted": True, "p_value": 1.1}]},
        {"columns": {}},
        {"columns": None},
    ],
)
def test_neutral__what_the_schema_does_not_allow_is_refused(said: dict[str, Any]) -> None:
    assert "neutral form cannot be read" in refusal(neutral(**said))


def test_neutral__without_columns_it_is_inconclusive() -> None:
    assert foreign.read(neutral(columns=[])).verdict is OPEN


# Anything else.


@pytest.mark.parametrize(
    "given",
    [
        {},
        [],
        {"metrics": {}},
        {"hello": "world"},
        {"drift": False},
        {"dataset_drift": False},
        [{"passed": True}],
        [[[]]],
        {"monitors": {}},
        {"event": "monitor.cleared", "data": {}},
        {"violations_found": []},
    ],
)
def test_read__the_shape_of_no_tool_is_refused(given: Any) -> None:
    assert "not recognised" in refusal(given)


@pytest.mark.parametrize(
    "given",
    [
        {"metrics": [], "tests": []},
        {"monitors": []},
        {"modelMonitoringAlerts": []},
        {"monitoringStats": []},
        {"violations": []},
    ],
)
def test_read__a_report_of_nothing_is_inconclusive(given: Any) -> None:
    found = foreign.read(given)
    assert found.verdict is OPEN and reported.reasons(found)


@pytest.mark.parametrize("content", ["1", '"x"', "null", "true", "NaN"])
def test_read__a_document_that_is_no_object_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "report").write_text(content, encoding="utf-8")
    assert "not recognised" in refusal(tmp_path / "report")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"<html>",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"violations": [], "violations": []}',
        b'{"violations": ' + b"9" * 5_000 + b"}",
    ],
    ids=["empty", "cut", "utf-16", "html", "deep list", "deep object", "key twice", "long number"],
)
def test_read__what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "report").write_bytes(content)
    assert "is not JSON" in refusal(tmp_path / "report")


def test_read__a_file_of_100_megabytes_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "report").open("wb") as file:
        file.truncate(100_000_000)
    assert f"larger than {document.LARGEST:,} bytes" in refusal(tmp_path / "report")


def test_read__a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none")
    assert "cannot be read" in refusal(tmp_path)


def test_read__an_unknown_format_is_refused() -> None:
    assert "'evidentaly'" in refusal({}, "evidentaly")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "null"])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        (f"{EVIDENTLY}-quiet", ("metrics", 1, "value")),
        (f"{EVIDENTLY}-quiet-untested", ("metrics", 1, "value")),
        ("evidently-0.4.40-report-quiet", ("metrics", 1, "result", "drift_by_columns", "age", "drift_score")),
        (f"{NANNYML}-drift-quiet-records", (1, "age_jensen_shannon_value")),
        (f"{WHYLOGS}-scores-quiet", ("age", "pvalue")),
        ("arize-cleared", ("latest_computed_value",)),
        ("vertex-v1-log-quiet", ("jsonPayload", "featureStats", 0, "predictionStats", 0, "distributionDeviation")),
    ],
)
def test_read__a_value_that_is_no_number_is_no_pass(name: str, place: Place, number: str, tmp_path: Path) -> None:
    text = json.dumps(changed(load(name), place, "HERE")).replace('"HERE"', number)
    (tmp_path / "report").write_text(text, encoding="utf-8")
    found = foreign.read(tmp_path / "report")
    assert found.verdict is not PASS
    assert column(found, "age").drifted is not False
    assert all(document.finite(each) == each for one in found.columns for each in (one.value, one.limit, one.p_value))


def test_read__a_whole_number_of_401_digits_is_refused(tmp_path: Path) -> None:
    text = json.dumps(changed(load("arize-cleared"), ("latest_computed_value",), 10**400))
    (tmp_path / "report").write_text(text, encoding="utf-8")
    assert "64 bits is looked for in `latest_computed_value`" in refusal(tmp_path / "report")


def test_read__long_and_strange_names_are_cut_and_shown_as_text() -> None:
    strange = "![x](http://evil) @team <script>`|\n::error::" + "x" * 10_000
    given = load("arize-triggered")
    given["monitors"][0]["dimension"]["name"] = given["monitors"][0]["name"] = strange
    found = foreign.read(given)
    assert all(len(each.column) <= document.LONGEST_TEXT and "\n" not in each.column for each in found.columns)
    report = Report(
        stage="detect-drift",
        model="m",
        verdict=FAIL,
        reasons=reported.reasons(found),
        checks=reported.checks(found),
        tables=(reported.table(found),),
    )
    page = markdown.stage_page(report)
    assert "<script>" not in page.replace("`", "") or "`" in page
    assert "\n::error::" not in page


# Mutations.


def leaves(given: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value below a document, objects and lists too."""
    entries: Iterator[Any] = iter(())
    if isinstance(given, dict):
        entries = iter(given.items())
    elif isinstance(given, list):
        entries = iter(enumerate(given))
    for key, each in entries:
        yield (*place, key), each
        yield from leaves(each, (*place, key))


def changed(given: Any, place: Place, value: Any) -> Any:
    """A copy with another value in a place, or without it where the value is `...`."""
    copied = copy.deepcopy(given)
    target = copied
    for key in place[:-1]:
        target = target[key]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return copied


def kind(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


NO_PASS = [name for name, (_, verdict, _) in EXPECTED.items() if verdict is not PASS]
OTHERS = [..., None, "x", "", 0, -1, 1e308, float("nan"), float("inf"), True, False, [], {}, [1], {"x": 1}]


def mutable(name: str, place: Place) -> bool:
    """Names of columns are data: a report without the one that drifted is another report, where nothing counts them."""
    return isinstance(place[-1], str) and not (name.startswith("whylogs") and len(place) == 1)


@pytest.mark.parametrize("name", NO_PASS)
def test_read__no_key_that_is_dropped_or_has_another_type_makes_a_pass(name: str) -> None:
    given = load(name)
    for place, value in leaves(given):
        for other in OTHERS:
            if mutable(name, place) and kind(other) != kind(value):
                spoilt = changed(given, place, other)
                try:
                    verdict = foreign.read(spoilt).verdict
                except InputError:
                    continue
                assert verdict is not PASS, (place, other)


@hypothesis.given(data=st.data())
def test_read__says_a_verdict_or_what_is_wrong_whatever_it_is_given(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(EXPECTED)))
    given = load(name)
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    anything = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        places = [place for place, _ in leaves(given)]
        if places:
            given = changed(given, data.draw(st.sampled_from(places)), data.draw(anything | st.just(...)))
    for format in ("auto", EXPECTED[name][0]):
        try:
            found = foreign.read(given, format)
        except InputError:
            continue
        assert found.verdict in Verdict
        assert len(reported.checks(found)) == len(reported.table(found).rows) == len(found.columns)
        assert reported.reasons(found) or found.verdict is PASS


# client_payload of a repository_dispatch event.


def test_from_client_payload__reads_a_report_as_json_and_as_text() -> None:
    given = load("arize-triggered")
    found = foreign.read(given)
    assert foreign.from_client_payload({"report": given}) == found
    assert foreign.from_client_payload({"report": json.dumps(given), "format": "arize"}) == found
    assert foreign.from_client_payload({"report": given, "model": "delay", "reason": "an alert"}).model == "delay"
    assert foreign.from_client_payload({"report": load("neutral"), "model": "delay"}).model == "delay"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "`report` is looked for"),
        ({"report": None}, "`report` is looked for"),
        ({"report": 1}, "`report` is looked for"),
        ({"report": "{"}, "is not JSON"),
        ({"report": {}, "format": 1}, "are texts"),
        ({"report": {}, "model": []}, "are texts"),
        ({"report": {}, "ref": "main"}, "'ref'"),
        ({"report": {}}, "not recognised"),
        ({"report": {"violations": []}, "format": "arize"}, "looks like sagemaker"),
        ({str(number): 1 for number in range(11)}, "more than 10 names"),
        ({"report": "x" * 65_535}, "65,535 signs"),
        ([], "a list"),
        ({"report": {1, 2}}, "no JSON"),
    ],
)
def test_from_client_payload__refuses_everything_else(payload: Any, said: str) -> None:
    with pytest.raises(InputError) as raised:
        foreign.from_client_payload(payload)
    assert said in f"{raised.value}"


def test_from_client_payload__refuses_the_report_of_another_model() -> None:
    with pytest.raises(InputError, match="client_payload"):
        foreign.from_client_payload({"report": load("neutral"), "model": "fraud"})


# The values themselves.


def one(drifted: bool | None, role: Any = "feature") -> ColumnDrift:
    return ColumnDrift(column="x", role=role, statistic="PSI", drifted=drifted)


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ((), OPEN),
        ((one(False),), PASS),
        ((one(True),), FAIL),
        ((one(None),), OPEN),
        ((one(False), one(None)), OPEN),
        ((one(None), one(True)), FAIL),
        ((one(False, "quality"),), OPEN),
        ((one(True, "quality"),), FAIL),
        ((one(False, "quality"), one(False)), PASS),
        ((one(False, "quality"), one(False, "performance")), PASS),
    ],
)
def test_verdict__is_a_pass_only_where_all_was_looked_at(columns: tuple[ColumnDrift, ...], verdict: Verdict) -> None:
    assert DriftFindings(tool="a tool", columns=columns).verdict is verdict


# The page.


def test_page__names_every_format_and_its_examples_are_read() -> None:
    page = (ROOT / "docs" / "drift-reports.md").read_text(encoding="utf-8")
    assert [name for name in foreign.READERS if f"\n| `{name}`" not in page] == []
    (example,) = re.findall(r"```json\n(.+?)```", page, re.DOTALL)
    found = foreign.from_client_payload({"format": "neutral", "model": "delay", "report": example})
    assert found.verdict is FAIL and [each.column for each in found.columns] == ["age", "income", "score"]
