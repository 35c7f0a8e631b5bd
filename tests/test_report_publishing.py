"""How a stage ends: what later steps and people find of its report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.report import Chart, Column, Point, Report, Series, Table, Verdict, markdown, publishing
from slipway.runner.outputs import SUMMARY_LIMIT


@dataclass(frozen=True, kw_only=True)
class Outputs:
    report: Path


def wide(rows: int) -> Report:
    """A drift of so many columns."""
    columns = (Column(name="column", kind="code"), Column(name="finding"), Column(name="verdict", kind="verdict"))
    found = tuple((f"column {number}", f"its distance is 0.{number}", "fail") for number in range(rows))
    points = tuple(Point(label=f"column {number}", y=0.5) for number in range(3))
    chart = Chart(kind="bars", title="Distance by column", series=(Series(name="Jensen-Shannon", points=points),))
    return Report(
        stage="detect-drift",
        model="m",
        verdict=Verdict.FAIL,
        reasons=("All of them have drifted.",),
        tables=(Table(title="Columns", columns=columns, rows=found),),
        charts=(chart,),
        provenance={"policy": "slipway.yml"},
    )


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path / "summary"


def test_publish__the_summary_of_a_wide_report_is_whole_but_for_rows(summary: Path, tmp_path: Path) -> None:
    report = wide(20_000)
    publishing.publish(report, tmp_path / "report.json", Outputs(report=tmp_path / "report.json"))
    text = summary.read_text(encoding="utf-8")
    # The row that did not fit, the notice, and the chart for which there was no room then.
    assert SUMMARY_LIMIT - 1_000 <= summary.stat().st_size <= SUMMARY_LIMIT
    (left_out,) = re.findall(r"\*and ([\d,]+) more\*", text)
    assert text.count("its distance") == 20_000 - int(left_out.replace(",", ""))
    assert text.count("*Cut here: a step summary holds 1 MiB. The report's JSON file has everything.*") == 1
    assert "All of them have drifted." in text and "Distance by column" not in text
    assert text.rstrip().endswith("</details>") and "slipway.yml" in text
    assert Report.read(tmp_path / "report.json").tables == report.tables


def test_publish__a_report_that_fits_is_as_it_is_without_a_limit(summary: Path, tmp_path: Path) -> None:
    report = wide(200)
    publishing.publish(report, tmp_path / "report.json", Outputs(report=tmp_path / "report.json"))
    assert summary.read_text(encoding="utf-8") == markdown.stage_page(report) + "\n"


def test_publish__without_a_summary_none_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delattr(markdown, "stage_page")
    publishing.publish(wide(2), tmp_path / "report.json", Outputs(report=tmp_path / "report.json"))
    assert "detect-drift: fail" in capsys.readouterr().out
