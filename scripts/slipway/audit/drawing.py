"""Plots as SVG, readable as text, in colours that colour-blind people tell apart (Okabe and Ito).

drawsvg was chosen by measurement: 0.1 s and 0.2 MB, where matplotlib takes 1.2 s and over 100 MB with what it needs.
It writes attributes as they are, so only our own constants and numbers stand in them; what comes from outside is text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import floor, inf, log10

import drawsvg
from drawsvg import Circle, Drawing, Line, Rectangle, Text

from slipway.report.markdown import one_line

GOOD, BAD, OPEN, PLAIN, FAINT = "#0072b2", "#d55e00", "#a06a00", "#222222", "#767676"
COLOURS = {"pass": GOOD, "fail": BAD, "inconclusive": OPEN}
SHADE = "#f6ddd0"
FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
WIDTH = 860
"""Width of every plot in its own units; a page scales it."""


@dataclass(frozen=True)
class Bar:
    """A value with its interval, and the limit that a gate sets it; all in the metric's own unit.

    reference: what the value would be if nothing had changed; None where there is no such value.
    above: whether the right side of the limit is above it; None where there is no limit.
    """

    name: str
    gate: str
    verdict: str
    value: float
    low: float
    high: float
    reference: float | None = None
    limit: float | None = None
    above: bool | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened, for a timeline."""

    when: datetime
    name: str
    text: str
    verdict: str = ""


@dataclass(frozen=True)
class Release:
    """A release, for the plot of deliveries. lead: from its commit to production. ended: when it was rolled back."""

    version: str
    when: datetime
    lead: timedelta | None
    ended: datetime | None = None


def intervals(bars: Sequence[Bar], title: str) -> str:
    """Each value with its interval on a scale of its own, against its limit; what lies beyond the limit is shaded."""
    row, top = 62, 34
    picture = _picture(top + row * len(bars) + 6, title)
    for number, bar in enumerate(bars):
        y = top + row * number + 18
        colour = COLOURS.get(bar.verdict, FAINT)
        _text(picture, bar.name, 0, y, weight="600")
        _text(picture, bar.gate or "no gate", 0, y + 17, size=12, colour=FAINT)
        scale = _Scale([bar.low, bar.high, bar.value, bar.reference, bar.limit], left=250, right=590)
        picture.append(Line(scale.left, y + 12, scale.right, y + 12, stroke="#d0d0d0"))
        if bar.limit is not None and bar.above is not None:
            x = scale(bar.limit)
            start, end = (scale.left, x) if bar.above else (x, scale.right)
            picture.append(Rectangle(start, y - 14, end - start, 26, fill=SHADE))
            picture.append(Line(x, y - 14, x, y + 12, stroke=BAD, stroke_width=1.5, stroke_dasharray="4 3"))
            _text(picture, f"limit {bar.limit:g}", x, y + 26, size=11, colour=BAD, anchor="middle")
        if bar.reference is not None:
            x = scale(bar.reference)
            picture.append(Line(x, y - 14, x, y + 12, stroke=FAINT))
            if bar.limit is None or abs(x - scale(bar.limit)) > 70:
                _text(picture, f"{bar.reference:g}", x, y + 26, size=11, colour=FAINT, anchor="middle")
        low, high, middle = scale(bar.low), scale(bar.high), scale(bar.value)
        picture.append(Line(low, y - 1, high, y - 1, stroke=colour, stroke_width=3))
        for x in (low, high):
            picture.append(Line(x, y - 7, x, y + 5, stroke=colour, stroke_width=2))
        picture.append(Circle(middle, y - 1, 5, fill=colour))
        digits = decimals((bar.high - bar.low) / 4)
        sign = "+" if bar.reference == 0 else ""
        _text(picture, f"{bar.value:{sign}.{digits}f}  {bar.verdict}".rstrip(), 620, y, colour=colour, weight="600")
        span = f"{bar.low:{sign}.{digits}f} to {bar.high:{sign}.{digits}f}"
        _text(picture, span, 620, y + 17, size=12, colour=FAINT)
    return _svg(picture)


def timeline(events: Sequence[Event], title: str) -> str:
    """What happened, one under the other; several of the same kind in a row are one line."""
    groups = [list(group) for _, group in groupby(events, key=lambda each: (each.name, each.verdict, each.text))]
    row, top = 34, 34
    picture = _picture(top + row * len(groups) + 6, title)
    if len(groups) > 1:
        picture.append(Line(210, top + 13, 210, top + 13 + row * (len(groups) - 1), stroke="#c0c0c0", stroke_width=2))
    before: datetime | None = None
    for number, group in enumerate(groups):
        event, y = group[0], top + 18 + row * number
        _text(picture, f"{event.when:%Y-%m-%d %H:%M}", 0, y)
        if before is not None:
            _text(picture, f"+{in_words(event.when - before)}", 196, y, size=12, colour=FAINT, anchor="end")
        picture.append(Circle(210, y - 5, 6, fill=COLOURS.get(event.verdict, PLAIN), stroke="#ffffff", stroke_width=2))
        times = f" ×{len(group)}" if len(group) > 1 else ""
        verdict = f": {event.verdict}" if event.verdict else ""
        colour = COLOURS.get(event.verdict, PLAIN)
        _text(picture, shortened(f"{event.name}{times}{verdict}", 34), 228, y, weight="600", colour=colour)
        _text(picture, shortened(event.text, 66), 456, y, size=12, colour=FAINT)
        before = group[-1].when
    return _svg(picture)


def deliveries(releases: Sequence[Release], since: datetime, until: datetime, title: str) -> str:
    """Every release by its time (to the right) and its lead time in days (upwards); those that failed with the time
    until they were rolled back. What has no lead time on record is hollow and stands on the axis."""
    left, right, top, bottom, height = 70, WIDTH - 20, 48, 250, 300
    picture = _picture(height, title)
    days = [each.lead / timedelta(days=1) for each in releases if each.lead is not None]
    highest = _ceiling(max(days, default=1.0))
    span = max(until - since, timedelta(seconds=1))

    form = "%Y-%m-%d" if span >= timedelta(days=5) else "%m-%d %H:%M"  # no two parts of the axis say the same day

    def across(moment: datetime) -> float:
        return left + (right - left) * min(1.0, max(0.0, (moment - since) / span))

    def upwards(value: float) -> float:
        return bottom - (bottom - top) * value / highest

    for part in range(5):
        value, moment = highest * part / 4, since + span * (part / 4)
        picture.append(Line(left, upwards(value), right, upwards(value), stroke="#e2e2e2"))
        _text(picture, f"{value:g} d", left - 8, upwards(value) + 4, size=12, colour=FAINT, anchor="end")
        anchor = "start" if part == 0 else "end" if part == 4 else "middle"
        _text(picture, f"{moment:{form}}", across(moment), bottom + 20, size=12, colour=FAINT, anchor=anchor)
    for each in releases:
        x, colour = across(each.when), GOOD if each.ended is None else BAD
        y = bottom if each.lead is None else upwards(each.lead / timedelta(days=1))
        if each.ended is not None:
            end = across(each.ended)
            picture.append(Line(x, y, end, y, stroke=BAD, stroke_width=3))
            picture.append(Line(end, y - 6, end, y + 6, stroke=BAD, stroke_width=2))
        fill = "#ffffff" if each.lead is None else colour
        dot = Circle(x, y, 6, fill=fill, stroke=colour, stroke_width=2)
        dot.append_title(plain(f"version {each.version}, {each.when:%Y-%m-%d %H:%M} UTC"))
        picture.append(dot)
        _text(picture, shortened(each.version, 8), x, y - 11, size=11, colour=colour, anchor="middle")
    words = "lead time of each release, by version; orange: rolled back, with the time until then; hollow: not known"
    _text(picture, words, left, height - 8, size=12, colour=FAINT)
    return _svg(picture)


def in_words(span: timedelta) -> str:
    """A duration as people say it, rounded down to one unit."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def decimals(error: float) -> int:
    """Digits after the point that show two significant digits of a standard error, a quarter of an interval."""
    return min(8, max(0, 1 - floor(log10(error)))) if 0 < error < inf else 4


def shortened(text: str, length: int) -> str:
    """At most so many characters."""
    text = plain(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plain(text: str) -> str:
    """Text on one line without what XML cannot hold, or what turns the direction of writing."""
    return "".join(sign for sign in one_line(text) if unicodedata.category(sign) != "Cn")


class _Scale:
    """From a metric's values to places on the page, with a margin on both sides."""

    def __init__(self, values: Sequence[float | None], *, left: float, right: float) -> None:
        known = [value for value in values if value is not None]
        # Of the very largest numbers a sum is infinite.
        self._unit = 1.0 if max(map(abs, known)) < 1e300 else 1e-10
        low, high = min(known) * self._unit, max(known) * self._unit
        pad = 0.12 * (high - low) or abs(high) or 1.0
        self.left, self.right = left, right
        self._low, self._span = low - pad, high - low + 2 * pad

    def __call__(self, value: float) -> float:
        return self.left + (self.right - self.left) * (value * self._unit - self._low) / self._span


def _ceiling(value: float) -> float:
    """The next number that is 1, 2, 4 or 8 times a power of ten: it is cut into four readable parts."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 2, 4, 8) if value <= step * power), 10 * power)


def _picture(height: float, title: str) -> Drawing:
    picture = Drawing(WIDTH, height, font_family=FONT, role="img")
    picture.append_title(plain(title))
    _text(picture, title, 0, 16, size=15, weight="700")
    return picture


def _text(
    picture: Drawing,
    text: str,
    x: float,
    y: float,
    *,
    size: float = 13,
    colour: str = PLAIN,
    weight: str = "400",
    anchor: str = "start",
) -> None:
    fill = {"fill": colour, "font_weight": weight, "text_anchor": anchor}
    picture.append(Text(plain(text) or " ", size, _round(x), _round(y), **fill))


def _round(number: float) -> float:
    return round(number, 2)


def _svg(picture: drawsvg.Drawing) -> str:
    """The picture without an XML header, so that it can stand in a page and alone."""
    return str(picture.as_svg(header="")).strip() + "\n"
