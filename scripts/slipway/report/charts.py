"""Charts as Markdown: a Mermaid drawing where GitHub draws one, and always the numbers as a table.

GitHub renders Mermaid itself, without an image from elsewhere; mails and other viewers show the table. Only numbers and
an allowed set of signs reach Mermaid. https://mermaid.js.org/syntax/xyChart.html
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from slipway.report import glyphs
from slipway.report.model import Cell, Chart, Column, Point, Series, Span, Table

GREY, PALETTE = "#8c959f", ("#3b8eea", "#e07b39", "#7a5cc0", "#2f9e73")
"""Seen in light and in dark, and told apart by colour-blind people."""

COLOURS = ("blue", "orange", "violet", "green")
ROC_GRID = tuple(number / 20 for number in range(21))
ROC_ROWS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
MOST_BINS = 20
LONGEST_LABEL = 40


def drawings(chart: Chart) -> list[tuple[str, str]]:
    """The chart as Mermaid: what is what in plain text (Mermaid draws no legend), and the fenced source.

    Nothing for kinds that Mermaid cannot draw well.
    """
    series = chart.series[: len(PALETTE)]
    if chart.kind == "roc":
        lines = [[_height(each.points, x) for x in ROC_GRID] for each in series]
        axis = '"false positive rate" 0 --> 1'
        drawn = _xychart(axis, '"true positive rate" 0 --> 1', ROC_GRID, lines)
        return [(_legend(series, "chance"), drawn)]
    if chart.kind == "reliability":
        return [_calibration(each) for each in series[:2] if len(each.points) <= MOST_BINS]
    return []


def numbers(chart: Chart) -> Table:
    """The same as a table."""
    columns, rows = _TABLES[chart.kind](chart)
    return Table(title=chart.title, columns=columns, rows=tuple(rows), note=chart.note)


def label(text: str) -> str:
    """Text as Mermaid takes it between quotes: letters, digits and a few signs that end nothing."""
    return "".join(sign for sign in text if sign.isalnum() or sign in " .,()+-_%")[:LONGEST_LABEL].strip()


def _calibration(series: Series) -> tuple[str, str]:
    across = [point.x for point in series.points]
    names = ", ".join(f'"{name}"' for name in _distinct(across))
    top = min(1.0, 1.1 * max([*across, *(point.y for point in series.points)]) or 1.0)
    # Each model has its own mean predictions: two in one drawing would share an axis that is neither's.
    name = label(series.name)
    axes = f'"mean prediction of {name}" [{names}]', f'"observed share" 0 --> {_digits(top)}'
    drawn = _xychart(*axes, across, [[point.y for point in series.points]])
    return _legend([series], "perfect calibration"), drawn


def _xychart(x_axis: str, y_axis: str, reference: Sequence[float], lines: Sequence[Sequence[float]]) -> str:
    palette = ", ".join([GREY, *PALETTE])
    size, colours = '{"width": 620, "height": 340}', f'{{"xyChart": {{"plotColorPalette": "{palette}"}}}}'
    setting = f'{{"xyChart": {size}, "themeVariables": {colours}}}'
    drawn = [f"    line [{', '.join(map(_digits, line))}]" for line in (reference, *lines)]
    source = [f"%%{{init: {setting}}}%%", "xychart-beta", f"    x-axis {x_axis}", f"    y-axis {y_axis}", *drawn]
    return "```mermaid\n" + "\n".join(source) + "\n```"


def _legend(series: Sequence[Series], reference: str) -> str:
    said = [f"{colour}: {label(each.name)}" for colour, each in zip(COLOURS, series, strict=False)]
    return " · ".join([*said, f"grey: {reference}"])


def _height(points: Sequence[Point], x: float) -> float:
    """A ROC curve's height: straight between its points, from (0, 0) to (1, 1), and its upper end where it jumps."""
    known = [(0.0, 0.0), *((point.x, point.y) for point in points), (1.0, 1.0)]
    after = bisect_right([at for at, _ in known], x)
    if after == len(known):
        return 1.0
    (x0, y0), (x1, y1) = known[after - 1], known[after]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _distinct(values: Sequence[float]) -> list[str]:
    """Labels with as few digits as keep them apart: Mermaid draws equal ones in one place."""
    for digits in (2, 3, 4):
        names = [f"{value:.{digits}f}" for value in values]
        if len(set(names)) == len(names):
            return names
    return [str(number + 1) for number in range(len(values))]


def _digits(number: float) -> str:
    """Without an exponent, which Mermaid does not read."""
    return f"{number:.4f}".rstrip("0").rstrip(".")


Content = tuple[tuple[Column, ...], list[tuple[Cell, ...]]]


def _reliability(chart: Chart) -> Content:
    columns = (
        *(Column(name="model"), Column(name="mean prediction", kind="number"), Column(name="observed", kind="number")),
        *(Column(name="interval", kind="number"), Column(name="rows", kind="number")),
    )
    rows: list[tuple[Cell, ...]] = [
        (each.name, f"{p.x:.3f}", f"{p.y:.3f}", _span(p, ".3f", limit=p.x), p.count)
        for each in chart.series
        for p in each.points
    ]
    return columns, rows


def _roc(chart: Chart) -> Content:
    columns = (
        Column(name="false positive rate", kind="number"),
        *(Column(name=f"true positive rate, {each.name}", kind="number") for each in chart.series),
    )
    return columns, [(f"{x:g}", *(f"{_height(each.points, x):.3f}" for each in chart.series)) for x in ROC_ROWS]


def _intervals(chart: Chart) -> Content:
    columns = (
        *(Column(name="what"), Column(name="value", kind="number"), Column(name="interval", kind="number")),
        Column(name="verdict", kind="verdict"),
    )
    rows: list[tuple[Cell, ...]] = [
        (point.label, f"{point.y:.4g}", _span(point, ".4g", point.limit, point.above), point.verdict)
        for each in chart.series
        for point in each.points
    ]
    return columns, rows


def _bars(chart: Chart) -> Content:
    highest = max(abs(point.y) for each in chart.series for point in each.points) or 1.0
    columns = [Column(name="what")]
    for each in chart.series:
        columns += [Column(name=each.name, kind="number"), Column(name="")]
    names = dict.fromkeys(point.label for each in chart.series for point in each.points)
    found = [{point.label: point.y for point in each.points} for each in chart.series]
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        cells: list[Cell] = [name]
        for values in found:
            value = values.get(name)
            cells += [None, None] if value is None else [f"{value:.4g}", glyphs.bar(abs(value) / highest)]
        rows.append(tuple(cells))
    return tuple(columns), rows


def _history(chart: Chart) -> Content:
    columns = (
        *(Column(name="what"), Column(name="course"), Column(name="first", kind="number")),
        *(Column(name="last", kind="number"), Column(name="versions")),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in chart.series:
        first, *_, last = (*each.points, each.points[-1])
        versions = f"{first.label} to {last.label}" if first.label and last is not first else last.label
        course = glyphs.sparkline([point.y for point in each.points[-30:]])
        rows.append((each.name, course, f"{first.y:.4g}", f"{last.y:.4g}", versions))
    return columns, rows


def _span(point: Point, form: str, limit: float | None = None, above: bool | None = None) -> Span | None:
    if point.low is None or point.high is None:
        return None
    said = f"{point.low:{form}} to {point.high:{form}}"
    return Span(text=said, low=point.low, value=point.y, high=point.high, limit=limit, above=above)


_TABLES = {"reliability": _reliability, "roc": _roc, "intervals": _intervals, "bars": _bars, "history": _history}
