"""Charts: what a report takes, signs that say what the numbers say, Mermaid that no text breaks, and SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from report_kit import HOSTILE, curves
from slipway.report import Chart, Column, Point, Report, Series, Span, Table, Verdict, charts, glyphs, markdown, plots
from slipway.report.markdown import table
from test_markdown import HOSTILE as HOSTILE_TEXTS
from test_markdown import page

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(-1e308, 1e308, allow_nan=False) | st.integers(-5, 5).map(float)


def chart(kind: str, *points: dict[str, Any], **said: Any) -> Chart:
    series = [{"name": "candidate", "points": list(points)}]
    return Chart.model_validate({"kind": kind, "title": "Title", "series": series, **said})


# Signs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "value", "high", "limit", "above", "shown"),
    [
        # 13 places from the least number to the greatest: mostly 0 to 12, so that a sign is a unit.
        (4.0, 6.0, 8.0, 0.0, True, "░┃─────━━━●━━━─"),
        (4.0, 6.0, 12.0, 0.0, True, "░┃───━━●━━━━━━─"),
        (0.0, 2.0, 4.0, 12.0, True, "░━━●━━░░░░░░░┃─"),
        (0.0, 2.0, 4.0, 12.0, False, "─━━●━━───────┃░"),
        (0.0, 4.0, 12.0, 8.0, True, "░━━━━●━━━╋━━━━─"),
        (0.0, 6.0, 12.0, None, None, "─━━━━━━●━━━━━━─"),
        (4.0, 8.0, 12.0, 0.0, None, "─┃───━━━━●━━━━─"),
        (0.0, 0.0, 0.0, None, None, "───────●───────"),
    ],
)
def test_interval__by_hand(
    low: float, value: float, high: float, limit: float | None, above: bool | None, shown: str
) -> None:
    assert glyphs.interval(low, value, high, limit, above) == shown


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted), NUMBERS, st.sampled_from([True, False, None]))
@example([-0.006, -0.0049, -0.0001], -0.005, True)
@example([-0.0049, 0.0, 0.01], -0.005, True)
def test_interval__rounding_moves_the_limit_across_nothing(ends: list[float], limit: float, above: bool | None) -> None:
    low, value, high = ends
    drawn = glyphs.interval(low, value, high, limit, above)
    assert len(drawn) == glyphs.WIDTH
    assert drawn.count("●") == 1
    middle = drawn.index("●")
    inside = low <= limit <= high
    if limit == value:  # the value hides it
        return
    assert drawn.count("┃") == (not inside) and drawn.count("╋") == inside
    mark = drawn.index("╋" if inside else "┃")
    assert (mark < middle) == (limit < value)
    if not inside:
        between = drawn[min(mark, middle) + 1 : max(mark, middle)].rstrip("━").lstrip("━")
        assert "━" not in between
    if above is not None:
        wrong = drawn[:mark] if above else drawn[mark + 1 :]
        right = drawn[mark + 1 :] if above else drawn[:mark]
        assert "░" not in right and "─" not in wrong


def test_bar__is_exact_to_an_eighth() -> None:
    assert glyphs.bar(0.5, width=4) == "██"
    assert glyphs.bar(0.28125, width=4) == "█▏"
    assert [glyphs.bar(0.0), glyphs.bar(1e-9), glyphs.bar(2.0, width=3)] == ["", "▏", "███"]


def test_sparkline__goes_from_lowest_to_highest() -> None:
    assert glyphs.sparkline([0.0, 1.0, 7.0, 3.5]) == "▁▂█▅"
    assert glyphs.sparkline([2.0, 2.0]) == "▄▄"
    assert glyphs.sparkline([-1e308, 1e308]) == "▁█"


def test_span__in_a_cell_is_text_and_drawing() -> None:
    cell = Span(text="-0.0100 to +0.0200", low=-0.01, value=0.0, high=0.02, limit=-0.02, above=True)
    read = page(table([Column(name="interval", kind="number")], [[cell]]))
    assert read.cells[1] == f"-0.0100\u00a0to\u00a0+0.0200{glyphs.interval(-0.01, 0.0, 0.02, -0.02, True)}"
    assert read.tags[-2:] == ["br", "code"]
    assert str(cell) == "-0.0100 to +0.0200"


def test_report__a_span_in_a_table_survives_the_file() -> None:
    cell = Span(text="0 to 1", low=0.0, value=0.5, high=1.0)
    rows = ((cell, "x", 1, None),)
    columns = tuple(Column(name=name) for name in "abcd")
    tables = (Table(title="", columns=columns, rows=rows),)
    report = Report(stage="s", model="m", verdict=Verdict.PASS, tables=tables)
    assert Report.model_validate_json(report.model_dump_json()).tables[0].rows == rows


# What a report takes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "points", "problem"),
    [
        ("roc", [{"x": 0.5, "y": 1.5}], "shares from 0 to 1"),
        ("reliability", [{"x": -0.1, "y": 0.5}], "shares from 0 to 1"),
        ("roc", [{"x": 0.5, "y": 0.5}, {"x": 0.4, "y": 0.6}], "left to right"),
        ("intervals", [{"y": 1.0, "low": 0.5}], "needs `low` and `high`"),
        ("intervals", [{"y": 1.0, "low": 2.0, "high": 0.0}], "`low` is not above its `high`"),
        ("bars", [{"y": float("nan")}], "finite"),
        ("bars", [{"y": 1.0, "count": -1}], "greater than or equal"),
        ("bars", [], "at least 1"),
        ("bars", [{"y": 1.0}] * 201, "at most 200"),
        ("pie", [{"y": 1.0}], "reliability"),
    ],
)
def test_chart__refuses(kind: str, points: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        chart(kind, *points)


# Mermaid and tables ------------------------------------------------------------------------------------------------


def test_roc__heights_lie_on_the_straight_lines_between_the_points() -> None:
    series = Series(name="m", points=(Point(x=0.0, y=0.4), Point(x=0.2, y=0.6), Point(x=0.2, y=0.8)))
    heights = {x: charts._height(series.points, x) for x in (0.0, 0.1, 0.2, 0.6, 1.0)}
    assert heights == {
        0.0: pytest.approx(0.4),
        0.1: pytest.approx(0.5),
        0.2: pytest.approx(0.8),
        0.6: pytest.approx(0.9),
        1.0: 1.0,
    }


def test_drawings__roc_by_hand() -> None:
    ((legend, source),) = charts.drawings(chart("roc", {"x": 0.5, "y": 1.0}))
    assert legend == "blue: candidate · grey: chance"
    lines = source.splitlines()
    assert lines[0] == "```mermaid" and lines[-1] == "```" and lines[2] == "xychart-beta"
    assert lines[3:5] == ['    x-axis "false positive rate" 0 --> 1', '    y-axis "true positive rate" 0 --> 1']
    chance, ours = ([float(each) for each in line[10:-1].split(", ")] for line in lines[5:7])
    assert chance == [pytest.approx(number / 20) for number in range(21)]
    assert ours == [pytest.approx(min(1.0, number / 10)) for number in range(21)]


def test_drawings__calibration_has_one_for_each_model_with_its_own_predictions() -> None:
    drawn = charts.drawings(curves()[0])
    assert [legend for legend, _ in drawn] == [
        "blue: candidate · grey: perfect calibration",
        "blue: production · grey: perfect calibration",
    ]
    assert '"mean prediction of production" ["0.05", "0.13"' in drawn[1][1]
    assert "line [0.05, 0.13, 0.22," in drawn[1][1]


def test_drawings__equal_labels_get_more_digits() -> None:
    # Mermaid draws points with equal labels in one place.
    (_, source) = charts.drawings(chart("reliability", {"x": 0.001, "y": 0.0}, {"x": 0.002, "y": 0.0}))[0]
    assert '["0.001", "0.002"]' in source
    (_, source) = charts.drawings(chart("reliability", {"x": 0.5, "y": 0.0}, {"x": 0.5, "y": 0.1}))[0]
    assert '["1", "2"]' in source


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, HOSTILE, '"] --> x', "%%{init: {}}%%", "```\nx", "x;y"])
def test_drawings__no_text_breaks_out_of_them(text: str) -> None:
    point = {"x": 0.5, "y": 0.5, "label": text}
    for kind in ("roc", "reliability"):
        made = chart(kind, point, title=text, series=[{"name": text, "points": [point]}])
        for _, source in charts.drawings(made):
            assert source.count("```") == 2
            assert len(source.splitlines()) == len(charts.drawings(chart(kind, point))[0][1].splitlines())
            assert re.sub(r'"[\w .,()+%-]*"', "", source).isascii()
            assert not re.search(r"[<>`;{}]", re.sub(r"```.*|%%\{init.*?\}%%|-->", "", source))
        read = page(markdown.chart_section(made))
        assert read.tags.count("details") == 1 and "script" not in read.tags


@pytest.mark.parametrize("kind", ["reliability", "roc", "intervals", "bars", "history"])
def test_chart_section__has_the_numbers_for_who_sees_no_drawing(kind: str) -> None:
    points = [
        {"x": 0.1 * number, "y": 0.1 * number, "low": 0.0, "high": 1.0, "label": f"v{number}"} for number in range(9)
    ]
    read = page(markdown.chart_section(chart(kind, *points, note="A note."), rows=4))
    assert read.tags.count("details") == 1 and "table" in read.tags
    assert "A note." in read.text
    whole = len(charts.numbers(chart(kind, *points)).rows)
    assert (f"and {whole - 4} more" in read.text) == (whole > 4)


def test_numbers__bars_of_two_models() -> None:
    two = Chart(
        kind="bars",
        title="T",
        series=(
            Series(name="a", points=(Point(label="x", y=2.0), Point(label="y", y=1.0))),
            Series(name="b", points=(Point(label="y", y=-1.0),)),
        ),
    )
    assert charts.numbers(two).rows == (
        ("x", "2", "█" * 12, None, None),
        ("y", "1", "█" * 6, "-1", "█" * 6),
    )


def test_numbers__history() -> None:
    assert charts.numbers(curves()[2]).rows == (("roc_auc", "▁▃▃▆▇█", "0.702", "0.7352", "version 1 to version 6"),)
    assert charts.numbers(chart("history", {"y": 1.0, "label": "v1"})).rows == (("candidate", "▄", "1", "1", "v1"),)


# SVG ---------------------------------------------------------------------------------------------------------------


def test_plot__points_lie_where_their_numbers_are() -> None:
    root = ET.fromstring(plots.plot(chart("reliability", {"x": 0.25, "y": 0.5, "low": 0.4, "high": 0.75})))
    (dot,) = root.iter(f"{SVG}circle")
    # The square has a side of 320 and begins at (56, 40).
    assert (float(dot.attrib["cx"]), float(dot.attrib["cy"])) == (56 + 80, 40 + 160)
    assert "candidate: 0.25 → 0.5" in "".join(dot.itertext())


@given(text=st.text(), number=NUMBERS, kind=st.sampled_from(["intervals", "bars", "history"]))
def test_plot__any_text_and_number_leaves_it_well_formed(text: str, number: float, kind: str) -> None:
    point = {"y": number, "low": min(number, 0.0), "high": max(number, 0.0), "label": text, "limit": 1.0, "above": True}
    made = chart(kind, point, {**point, "y": 0.0}, title=text, series=[{"name": text, "points": [point]}])
    drawn = plots.plot(made)
    assert ET.fromstring(drawn).tag == f"{SVG}svg"
    assert not re.search(r'"(nan|-?inf)"', drawn)
    cell = Span(text=text, low=min(number, 0.0), value=number, high=max(number, 0.0), limit=1.0, above=False)
    span = plots.span(cell)
    assert ET.fromstring(span).tag == f"{SVG}svg"
    assert not re.search(r'"(nan|-?inf)"', span)
