"""A report's charts as SVG for its page; the numbers stand beside them as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drawsvg import Circle, Drawing, Line, Lines, Rectangle

from slipway.report import drawing
from slipway.report.drawing import BAD, COLOURS, FAINT, GOOD, SHADE, Scale, blank, put, svg
from slipway.report.model import Chart, Point, Series, Span

PALETTE = (GOOD, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#767676", "#222222")
SIDE = 460
SPAN_WIDTH, SPAN_HEIGHT = 150, 22
MOST_POINTS = 40
"""Points that are drawn of a chart with a line for each; the table has all of them."""


def plot(chart: Chart) -> str:
    """The chart as SVG."""
    return _PLOTS[chart.kind](chart)


def span(cell: Span, verdict: str = "") -> str:
    """An interval for a table's cell: its value, its limit, and the wrong side of the limit shaded."""
    picture = Drawing(SPAN_WIDTH, SPAN_HEIGHT, role="img")
    picture.append_title(drawing.plain(_said(cell)))
    middle = SPAN_HEIGHT / 2
    scale = Scale([cell.low, cell.value, cell.high, cell.limit], left=0, right=SPAN_WIDTH)
    picture.append(Line(0, middle, SPAN_WIDTH, middle, stroke="#d0d0d0"))
    if cell.limit is not None:
        x = scale(cell.limit)
        if cell.above is not None:
            start, end = (0.0, x) if cell.above else (x, float(SPAN_WIDTH))
            picture.append(Rectangle(start, 2, end - start, SPAN_HEIGHT - 4, fill=SHADE))
        dashes = {} if cell.above is None else {"stroke_dasharray": "3 2"}
        colour = FAINT if cell.above is None else BAD
        picture.append(Line(x, 1, x, SPAN_HEIGHT - 1, stroke=colour, stroke_width=1.5, **dashes))
    colour = COLOURS.get(verdict, FAINT)
    picture.append(Line(scale(cell.low), middle, scale(cell.high), middle, stroke=colour, stroke_width=3))
    picture.append(Circle(scale(cell.value), middle, 4, fill=colour))
    return svg(picture)


def _said(cell: Span) -> str:
    limit = "" if cell.limit is None else f"; {'no change' if cell.above is None else 'limit'} {cell.limit:.12g}"
    return f"{cell.value:.6g}, interval {cell.text}{limit}"


def _unit_square(chart: Chart, across: str, upwards: str) -> tuple[Drawing, Callable[[Point], tuple[float, float]]]:
    """Axes from 0 to 1 with the diagonal, and where a point lies on them."""
    left, top, side = 56.0, 40.0, SIDE - 140.0
    height = int(SIDE + 12 + 20 * len(chart.series) - 60)
    picture = blank(height, drawing.shortened(chart.title, 60), width=SIDE)
    for part in range(6):
        share = part / 5
        x, y = left + side * share, top + side * (1 - share)
        picture.append(Line(left, y, left + side, y, stroke="#e2e2e2"))
        picture.append(Line(x, top, x, top + side, stroke="#e2e2e2"))
        put(picture, f"{share:g}", x, top + side + 18, size=12, colour=FAINT, anchor="middle")
        put(picture, f"{share:g}", left - 8, y + 4, size=12, colour=FAINT, anchor="end")
    picture.append(Line(left, top + side, left + side, top, stroke=FAINT, stroke_dasharray="4 3"))
    put(picture, f"{upwards}, against {across}", left, top + side + 38, size=12, colour=FAINT)
    for number, series in enumerate(chart.series):
        y = top + side + 62 + 20 * number
        picture.append(Line(left, y - 4, left + 24, y - 4, stroke=PALETTE[number], stroke_width=3))
        put(picture, drawing.shortened(series.name, 48), left + 32, y)
    return picture, lambda point: (left + side * point.x, top + side * (1 - point.y))


def _curves(chart: Chart, picture: Drawing, place: Callable[[Point], tuple[float, float]], *, dots: bool) -> str:
    for number, series in enumerate(chart.series):
        colour = PALETTE[number]
        places = [place(point) for point in series.points]
        picture.append(Lines(*(each for pair in places for each in pair), fill="none", stroke=colour, stroke_width=2))
        for point, (x, y) in zip(series.points, places, strict=True):
            if point.low is not None and point.high is not None:
                ends = [place(point.model_copy(update={"y": end}))[1] for end in (point.low, point.high)]
                picture.append(Line(x, ends[0], x, ends[1], stroke=colour, stroke_width=1.5))
            if dots:
                dot = Circle(x, y, 4, fill=colour)
                dot.append_title(drawing.plain(_tip(series, point)))
                picture.append(dot)
    return svg(picture)


def _tip(series: Series, point: Point) -> str:
    rows = "" if point.count is None else f", {point.count:,} rows"
    return f"{series.name[:60]}: {point.x:.3g} → {point.y:.3g}{rows}"


def _reliability(chart: Chart) -> str:
    picture, place = _unit_square(chart, "mean prediction", "observed share")
    return _curves(chart, picture, place, dots=True)


def _roc(chart: Chart) -> str:
    picture, place = _unit_square(chart, "false positive rate", "true positive rate")
    return _curves(chart, picture, place, dots=False)


def _intervals(chart: Chart) -> str:
    points = [point for series in chart.series for point in series.points][:MOST_POINTS]
    bars = [
        drawing.Bar(
            name=drawing.shortened(point.label, 34),
            gate="" if point.limit is None else f"limit {point.limit:.12g}",
            verdict=point.verdict or "",
            value=point.y,
            low=point.y if point.low is None else point.low,
            high=point.y if point.high is None else point.high,
            limit=point.limit,
            above=point.above,
        )
        for point in points
    ]
    return drawing.intervals(bars, drawing.shortened(chart.title, 90))


def _bars(chart: Chart) -> str:
    names = list(dict.fromkeys(point.label for series in chart.series for point in series.points))[:MOST_POINTS]
    highest = max(abs(point.y) for series in chart.series for point in series.points) or 1.0
    row, top, left, longest = 14 * len(chart.series) + 12, 40, 220, 480
    legend = top + row * len(names) + 12
    picture = blank(legend + 20 * len(chart.series), drawing.shortened(chart.title, 90))
    for place, name in enumerate(names):
        put(picture, drawing.shortened(name, 28), left - 10, top + row * place + 11, anchor="end")
        for number, series in enumerate(chart.series):
            y = top + row * place + 14 * number
            for point in [point for point in series.points if point.label == name][:1]:
                length = longest * (abs(point.y) / highest)
                picture.append(Rectangle(left, y, length, 12, fill=PALETTE[number]))
                put(picture, f"{point.y:.4g}", left + length + 8, y + 10, size=12, colour=FAINT)
    _legend(picture, chart.series, left, legend)
    return svg(picture)


def _history(chart: Chart) -> str:
    points = [point.y for series in chart.series for point in series.points]
    longest = max(len(series.points) for series in chart.series)
    left, right, top, bottom = 90.0, drawing.WIDTH - 20.0, 40.0, 200.0
    picture = blank(bottom + 40 + 20 * len(chart.series), drawing.shortened(chart.title, 90))
    scale = Scale(points, left=bottom, right=top)
    for value in dict.fromkeys((min(points), max(points))):
        picture.append(Line(left, scale(value), right, scale(value), stroke="#e2e2e2"))
        put(picture, f"{value:.4g}", left - 8, scale(value) + 4, size=12, colour=FAINT, anchor="end")
    for number, series in enumerate(chart.series):
        step = (right - left - 40) / max(1, longest - 1)
        places = [(left + 20 + step * place, scale(point.y)) for place, point in enumerate(series.points)]
        colour = PALETTE[number]
        picture.append(Lines(*(each for pair in places for each in pair), fill="none", stroke=colour, stroke_width=2))
        for point, (x, y) in zip(series.points, places, strict=True):
            dot = Circle(x, y, 4, fill=colour)
            dot.append_title(drawing.plain(f"{series.name[:60]}, {point.label[:60]}: {point.y:.6g}"))
            picture.append(dot)
    _legend(picture, chart.series, left, bottom + 34)
    return svg(picture)


def _legend(picture: Drawing, series: Sequence[Series], left: float, top: float) -> None:
    for number, each in enumerate(series):
        picture.append(
            Line(left, top + 20 * number - 4, left + 24, top + 20 * number - 4, stroke=PALETTE[number], stroke_width=3)
        )
        put(picture, drawing.shortened(each.name, 60), left + 32, top + 20 * number)


_PLOTS: dict[str, Callable[[Chart], str]] = {
    "reliability": _reliability,
    "roc": _roc,
    "intervals": _intervals,
    "bars": _bars,
    "history": _history,
}
