"""Plots of a few signs for table cells: they need no image, and are read in light, in dark and in a mail."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

WIDTH = 15
WRONG, RIGHT, COVERED, VALUE, LIMIT, CROSSED = "░", "─", "━", "●", "┃", "╋"
BLOCKS = " ▏▎▍▌▋▊▉█"
LEVELS = "▁▂▃▄▅▆▇█"


def interval(
    low: float, value: float, high: float, limit: float | None, above: bool | None, *, width: int = WIDTH
) -> str:
    """An interval on a scale of its own, such as `░░░░┃──━━●━━──`: the limit, and the wrong side of it shaded.

    above: whether the right side is above the limit; None where neither side is wrong. Rounding to signs never moves
    the limit into or out of the interval, nor across the value. Meant for a font of fixed width.
    """
    known = [low, value, high] + ([] if limit is None else [limit])
    start, end = min(known), max(known)
    # Halves first: the span of two floats may be too great for one.
    span = end / 2 - start / 2
    last = width - 3

    def place(number: float) -> int:
        """Sign of a number, with one free sign at either end."""
        return 1 + round(last * ((number / 2 - start / 2) / span)) if span > 0 and isfinite(span) else width // 2

    left, middle, right = place(low), place(value), place(high)
    signs = [RIGHT] * width
    mark = None
    if limit is not None:
        mark = place(limit)
        if limit < low:
            mark = min(mark, left - 1)
        elif limit > high:
            mark = max(mark, right + 1)
        if mark == middle and limit != value:
            mark += 1 if limit > value else -1
            left, right = (left, max(right, mark)) if low <= limit <= high else (left, right)
            left = min(left, mark) if low <= limit <= high else left
        if above is not None:
            wrong = range(mark) if above else range(mark + 1, width)
            signs = [WRONG if number in wrong else RIGHT for number in range(width)]
    signs[left : right + 1] = COVERED * (right - left + 1)
    if mark is not None:
        signs[mark] = CROSSED if left <= mark <= right else LIMIT
    signs[middle] = VALUE
    return "".join(signs)


def bar(share: float, *, width: int = 12) -> str:
    """A bar of a share from 0 to 1, exact to an eighth of a sign. A share that is not zero shows at least an eighth."""
    eighths = round(8 * width * min(1.0, max(0.0, share)))
    eighths = max(eighths, 1) if share > 0 else eighths
    return BLOCKS[8] * (eighths // 8) + (BLOCKS[eighths % 8] if eighths % 8 else "")


def columns(shares: Sequence[float], top: float) -> str:
    """Shares as columns from 0 to `top`."""
    return "".join(LEVELS[min(7, round(7 * share / top))] if top > 0 else LEVELS[0] for share in shares)


def sparkline(values: Sequence[float]) -> str:
    """The course of some values, lowest to highest."""
    low, high = min(values), max(values)
    span = high / 2 - low / 2
    if not span:
        return LEVELS[3] * len(values)
    return "".join(LEVELS[round(7 * ((value / 2 - low / 2) / span))] for value in values)
