"""Plots as SVG, readable as text, in colours that colour-blind people tell apart (Okabe and Ito).

drawsvg was chosen by measurement: 0.1 s and 0.2 MB, where matplotlib takes 1.2 s and over 100 MB with what it needs.
It writes attributes as they are, so only our own constants and numbers stand in them; what comes from outside is text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
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


def intervals(bars: Sequence[Bar], title: str) -> str:
    """Each value with its interval on a scale of its own, against its limit; what lies beyond the limit is shaded."""
    row, top = 62, 34
    picture = blank(top + row * len(bars) + 6, title)
    for number, bar in enumerate(bars):
        y = top + row * number + 18
        colour = COLOURS.get(bar.verdict, FAINT)
        put(picture, bar.name, 0, y, weight="600")
        put(picture, bar.gate or "no gate", 0, y + 17, size=12, colour=FAINT)
        scale = Scale([bar.low, bar.high, bar.value, bar.reference, bar.limit], left=250, right=590)
        picture.append(Line(scale.left, y + 12, scale.right, y + 12, stroke="#d0d0d0"))
        if bar.limit is not None and bar.above is not None:
            x = scale(bar.limit)
            start, end = (scale.left, x) if bar.above else (x, scale.right)
            picture.append(Rectangle(start, y - 14, end - start, 26, fill=SHADE))
            picture.append(Line(x, y - 14, x, y + 12, stroke=BAD, stroke_width=1.5, stroke_dasharray="4 3"))
            put(picture, f"limit {bar.limit:.12g}", x, y + 26, size=11, colour=BAD, anchor="middle")
        if bar.reference is not None:
            x = scale(bar.reference)
            picture.append(Line(x, y - 14, x, y + 12, stroke=FAINT))
            if bar.limit is None or abs(x - scale(bar.limit)) > 70:
                put(picture, f"{bar.reference:g}", x, y + 26, size=11, colour=FAINT, anchor="middle")
        low, high, middle = scale(bar.low), scale(bar.high), scale(bar.value)
        picture.append(Line(low, y - 1, high, y - 1, stroke=colour, stroke_width=3))
        for x in (low, high):
            picture.append(Line(x, y - 7, x, y + 5, stroke=colour, stroke_width=2))
        picture.append(Circle(middle, y - 1, 5, fill=colour))
        digits = decimals((bar.high - bar.low) / 4)
        sign = "+" if bar.reference == 0 else ""
        put(picture, f"{bar.value:{sign}.{digits}f}  {bar.verdict}".rstrip(), 620, y, colour=colour, weight="600")
        span = f"{bar.low:{sign}.{digits}f} to {bar.high:{sign}.{digits}f}"
        put(picture, span, 620, y + 17, size=12, colour=FAINT)
    return svg(picture)


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


class Scale:
    """From values to places between two edges, with a margin of 12 % on both sides."""

    def __init__(self, values: Sequence[float | None], *, left: float, right: float) -> None:
        known = [value for value in values if value is not None]
        self.left, self.right = left, right
        # Halves: the span of two floats may be too great for a third.
        self._low = min(known) / 2
        self._span = max(known) / 2 - self._low

    def __call__(self, value: float) -> float:
        """The place of a value."""
        share = (value / 2 - self._low) / self._span if self._span else 0.5
        return self.left + (self.right - self.left) * (0.12 + share) / 1.24


def blank(height: float, title: str, *, width: float = WIDTH) -> Drawing:
    """A picture with its title, which is also its name for who cannot see it."""
    picture = Drawing(width, height, font_family=FONT, role="img")
    picture.append_title(plain(title))
    put(picture, title, 0, 16, size=15, weight="700")
    return picture


def put(
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
    """Text at a place; it is escaped when the picture is written."""
    fill = {"fill": colour, "font_weight": weight, "text_anchor": anchor}
    picture.append(Text(plain(text) or " ", size, _round(x), _round(y), **fill))


def _round(number: float) -> float:
    return round(number, 2)


def svg(picture: drawsvg.Drawing) -> str:
    """The picture without an XML header, so that it can stand in a page and alone."""
    return str(picture.as_svg(header="")).strip() + "\n"
