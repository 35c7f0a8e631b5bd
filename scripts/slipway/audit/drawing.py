"""Plots of the ledger as SVG: what happened, and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import floor, log10

from drawsvg import Circle, Line

from slipway.report.drawing import BAD, COLOURS, FAINT, GOOD, PLAIN, WIDTH, blank, plain, put, shortened, svg


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


def timeline(events: Sequence[Event], title: str) -> str:
    """What happened, one under the other; several of the same kind in a row are one line."""
    groups = [list(group) for _, group in groupby(events, key=lambda each: (each.name, each.verdict, each.text))]
    row, top = 34, 34
    picture = blank(top + row * len(groups) + 6, title)
    if len(groups) > 1:
        picture.append(Line(210, top + 13, 210, top + 13 + row * (len(groups) - 1), stroke="#c0c0c0", stroke_width=2))
    before: datetime | None = None
    for number, group in enumerate(groups):
        event, y = group[0], top + 18 + row * number
        put(picture, f"{event.when:%Y-%m-%d %H:%M}", 0, y)
        if before is not None:
            put(picture, f"+{in_words(event.when - before)}", 196, y, size=12, colour=FAINT, anchor="end")
        picture.append(Circle(210, y - 5, 6, fill=COLOURS.get(event.verdict, PLAIN), stroke="#ffffff", stroke_width=2))
        times = f" ×{len(group)}" if len(group) > 1 else ""
        verdict = f": {event.verdict}" if event.verdict else ""
        colour = COLOURS.get(event.verdict, PLAIN)
        put(picture, shortened(f"{event.name}{times}{verdict}", 34), 228, y, weight="600", colour=colour)
        put(picture, shortened(event.text, 66), 456, y, size=12, colour=FAINT)
        before = group[-1].when
    return svg(picture)


def deliveries(releases: Sequence[Release], since: datetime, until: datetime, title: str) -> str:
    """Every release by its time (to the right) and its lead time in days (upwards); those that failed with the time
    until they were rolled back. What has no lead time on record is hollow and stands on the axis."""
    left, right, top, bottom, height = 70, WIDTH - 20, 48, 250, 300
    picture = blank(height, title)
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
        put(picture, f"{value:g} d", left - 8, upwards(value) + 4, size=12, colour=FAINT, anchor="end")
        anchor = "start" if part == 0 else "end" if part == 4 else "middle"
        put(picture, f"{moment:{form}}", across(moment), bottom + 20, size=12, colour=FAINT, anchor=anchor)
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
        put(picture, shortened(each.version, 8), x, y - 11, size=11, colour=colour, anchor="middle")
    words = "lead time of each release, by version; orange: rolled back, with the time until then; hollow: not known"
    put(picture, words, left, height - 8, size=12, colour=FAINT)
    return svg(picture)


def in_words(span: timedelta) -> str:
    """A duration as people say it, rounded down to one unit."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _ceiling(value: float) -> float:
    """The next number that is 1, 2, 4 or 8 times a power of ten: it is cut into four readable parts."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 2, 4, 8) if value <= step * power), 10 * power)
