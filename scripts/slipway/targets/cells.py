"""In which cells predicted numbers are counted: as fine as a version's own golden predictions lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

MOST_BOUNDS = 20


def bounds_of(predictions: Any) -> tuple[float, ...]:
    """Upper ends of the cells: values that part the predictions evenly, or each of a few different ones, as of classes.

    None where they are no numbers, or not one for each row.
    """
    if isinstance(predictions, dict) and len(predictions) == 1:
        (predictions,) = predictions.values()
    if not isinstance(predictions, list):
        return ()
    try:
        numbers = sorted(_numbers(predictions))
    except ValueError:
        return ()
    distinct = sorted(set(numbers))
    if len(distinct) > MOST_BOUNDS:
        distinct = sorted({numbers[place * len(numbers) // MOST_BOUNDS] for place in range(1, MOST_BOUNDS)})
    return tuple(distinct)


def _numbers(rows: list[Any]) -> Iterator[float]:
    for row in rows:
        value = row
        while isinstance(value, dict | list):
            (value,) = value.values() if isinstance(value, dict) else value  # ValueError where there are several
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("no number")
        if math.isfinite(value):
            yield float(value)
