"""False alarms and detection of drift on streams of which it is known whether they drift, beside the usual defaults.

`python benchmarks/drift_alarms.py` prints the table; with `--write` it goes into docs/detect-drift.md. Every engine
sees the same windows. The rules of Evidently and NannyML are those of their defaults for numbers and categories,
written down here because the tools themselves take seconds for each window.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special, stats
from scipy.signal import lfilter
from scipy.spatial.distance import jensenshannon

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from slipway import profiles  # noqa: E402
from slipway.drift import clusters, judging, season  # noqa: E402
from slipway.policy.drift import Drift, Season  # noqa: E402

NUMBERS, CATEGORIES = 20, 10
REFERENCE_ROWS = 20_000
LOOKS = 30
STREAMS = {200: 4, 1_000: 4, 10_000: 2, 100_000: 1, 1_000_000: 1}
"""By the rows of a window: of the long ones few."""

PEERS_UP_TO = 10_000
"""Rows of a window that the other rules are asked about, too: of more they would take hours."""

MOVED = 3
"""Columns that drift, of the thirty."""

DAYS, YEAR = 14, 365
"""Days of a window, and of the reference."""

BEGIN, END = "<!-- alarms: made by benchmarks/drift_alarms.py -->", "<!-- /alarms -->"
DAY = "day"
NEW_YEAR = np.datetime64("2025-01-01")
LEVELS = np.array([f"level {number}" for number in range(200)])


class Kind(NamedTuple):
    """A kind of stream. shift: of the drifting numbers, in standard deviations, and of the categories' log odds.

    together: correlation of one row with the next. days: standard deviation of a day's own level, of a variance of 1.
    season: how far the level of a time of the year may lie from the year's, in standard deviations.
    """

    name: str
    shift: float = 0.0
    together: float = 0.0
    season: float = 0.0
    days: float = 0.0

    @property
    def dated(self) -> bool:
        """Whether its rows have days, of which some are alike."""
        return bool(self.together or self.season or self.days)


DAYS_APART = "quiet, days of their own (0.3 sd)"
KINDS = (
    Kind("quiet"),
    Kind("quiet, rows correlated (0.9)", together=0.9),
    Kind(DAYS_APART, days=0.3),
    Kind("quiet, days of their own (0.7 sd)", days=0.7),
    Kind("quiet, season of 0.5 sd", season=0.5),
    Kind("quiet, season of 0.5 sd, days of their own (0.3 sd)", season=0.5, days=0.3),
    Kind("3 of 30 columns moved by 0.25 sd", shift=0.25),
    Kind("3 of 30 columns moved by 0.5 sd", shift=0.5),
    Kind("3 of 30 columns moved by 1 sd", shift=1.0),
    Kind("3 of 30 columns moved by 0.5 sd, rows correlated (0.9)", shift=0.5, together=0.9),
    Kind("3 of 30 columns moved by 1 sd, days of their own (0.3 sd)", shift=1.0, days=0.3),
)

FEW_KINDS = {
    100_000: ("quiet", "quiet, rows correlated (0.9)", DAYS_APART, "3 of 30 columns moved by 0.25 sd"),
    1_000_000: (DAYS_APART,),
}
"""By the rows of a window, the streams that are drawn of so long ones; of shorter ones all are."""

Columns = dict[str, NDArray[np.float64] | NDArray[np.str_] | NDArray[np.datetime64]]
"""Thirty that are judged, and the day."""


def window(random: np.random.Generator, rows: int, kind: Kind) -> Columns:
    """Thirty columns of some days: normal, skewed and heavy-tailed numbers, and categories of 2 to 200 levels."""
    first = int(random.integers(YEAR - DAYS))
    return _drawn(random, first + np.arange(rows) * DAYS // rows, kind)


def reference(random: np.random.Generator, kind: Kind) -> Columns:
    """What was learned from: rows of a year without drift."""
    quiet = kind._replace(shift=0.0, together=0.0)
    return _drawn(random, np.arange(REFERENCE_ROWS) * YEAR // REFERENCE_ROWS, quiet)


def _drawn(random: np.random.Generator, day: NDArray[np.int64], kind: Kind) -> Columns:
    """One row for each of `day`, its day of the year."""
    made: Columns = {}
    for number in range(NUMBERS + CATEGORIES):
        latent = _latent(random, len(day), kind.together) * np.sqrt(1 - kind.days**2)
        if kind.days:
            latent += kind.days * random.standard_normal(YEAR)[day]
        latent += kind.season * np.sin(2 * np.pi * day / YEAR + number) * (number % 3 == 0)
        if number % 10 == 0:
            latent += kind.shift
        if number < NUMBERS:
            shape = (latent, np.exp(latent), np.sign(latent) * np.abs(latent) ** 1.5)[number % 3]
            made[f"number {number}"] = shape
        else:
            levels = (2, 5, 20, 200)[number % 4]
            # Levels of falling shares: rare ones are many, as in life.
            share = special.ndtr(latent) ** 2
            made[f"category {number}"] = LEVELS[np.minimum((share * levels).astype(int), levels - 1)]
    made[DAY] = NEW_YEAR + day
    return made


def _latent(random: np.random.Generator, rows: int, together: float) -> NDArray[np.float64]:
    noise = random.standard_normal(rows)
    if not together:
        return noise
    noise[1:] *= np.sqrt(1 - together**2)
    return np.asarray(lfilter([1.0], [1.0, -together], noise))


# The engines: how many columns of a window have drifted.

Engine = Callable[[Columns], int]


def ours(before: Columns) -> Engine:
    """detect-drift with the defaults of its policy."""
    return _looking(before, Drift(current="live"))


def ours_told_of_days(before: Columns) -> Engine:
    """detect-drift with `cluster` and `season` set: rows of a day are alike, and July is no June."""
    return _looking(before, Drift(current="live", cluster=DAY, season=Season(column=DAY)))


def _looking(before: Columns, rules: Drift) -> Engine:
    learned = pl.DataFrame(before).lazy()
    known = profiles.of_frame(learned.drop(DAY))

    def look(now: Columns) -> int:
        current = pl.DataFrame(now).lazy()
        expected = known
        if rules.season:
            matched = season.matched(learned, rules.season, season.window_of(current, rules.season))
            expected = profiles.of_frame(matched.drop(DAY))
        parts = clusters.profiles_of(current, DAY) if rules.cluster else ()
        found = judging.judge(expected, profiles.merge(parts) if parts else profiles.of_frame(current), rules, parts)
        return sum(each.drifted for each in found)

    return look


def evidently(before: Columns) -> Engine:
    """Evidently 0.7: up to 1,000 rows of reference tests with p < 0.05, above distances >= 0.1 (Wasserstein / sd of the
    reference for numbers, Jensen-Shannon for categories and for numbers of at most five values)."""

    def look(now: Columns) -> int:
        return sum(_evidently_drifted(before[name], now[name]) for name in before if name != DAY)

    return look


def _evidently_drifted(before: NDArray[Any], now: NDArray[Any]) -> bool:
    if before.dtype.kind == "f":
        norm = max(float(np.std(before)), 0.001)
        return bool(stats.wasserstein_distance(before, now) / norm >= 0.1)
    names = np.union1d(before, now)
    shares = [np.bincount(np.searchsorted(names, each), minlength=len(names)) / len(each) for each in (before, now)]
    return _jensen_shannon(*shares) >= 0.1


def nannyml(before: Columns) -> Engine:
    """NannyML 0.13: Jensen-Shannon of each column, alarm where it is above 0.1 (its default threshold)."""

    def look(now: Columns) -> int:
        return sum(_nannyml_distance(before[name], now[name]) > 0.1 for name in before if name != DAY)

    return look


def _nannyml_distance(before: NDArray[Any], now: NDArray[Any]) -> float:
    if before.dtype.kind == "f":
        edges = np.histogram_bin_edges(before, bins="doane")
        one, other = (np.histogram(each, bins=edges)[0] / len(each) for each in (before, now))
        beyond = 1 - other.sum()
        return _jensen_shannon(np.append(one, 0.0), np.append(other, beyond))
    names = np.union1d(before, now)
    shares = [np.bincount(np.searchsorted(names, each), minlength=len(names)) / len(each) for each in (before, now)]
    return _jensen_shannon(*shares)


def _jensen_shannon(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    return float(jensenshannon(p, q, base=2))


TOLD = "Slipway, `cluster` and `season`"
ENGINES: dict[str, Callable[[Columns], Engine]] = {
    "Slipway": ours,
    TOLD: ours_told_of_days,
    "Evidently": evidently,
    "NannyML": nannyml,
}


def engines_for(kind: Kind, rows: int) -> list[str]:
    """Who looks at such windows. Days are told of where there are any that matter, and where nothing has moved."""
    names = [name for name in ENGINES if "Slipway" in name or rows <= PEERS_UP_TO]
    return [name for name in names if name != TOLD or kind.dated or not kind.shift]


@dataclass(frozen=True)
class Counted:
    """What one engine said of all windows of a kind. looks: shape (streams, LOOKS), how many columns have drifted."""

    looks: NDArray[np.int64]

    @property
    def alarms(self) -> float:
        """Share of the windows in which any column has drifted."""
        return float((self.looks > 0).mean())

    def detected(self, columns: int) -> float:
        """Share of the windows in which so many columns, or more, have drifted."""
        return float((self.looks >= columns).mean())

    def columns_for(self, alarms: float) -> int:
        """Fewest columns that must have drifted so that at most this share of the windows alarms."""
        return next(n for n in range(1, NUMBERS + CATEGORIES + 2) if self.detected(n) <= alarms)

    def dispatched(self, drifted: int, windows: int) -> float:
        """Share of the streams in which `drifted` of some `windows` in a row drifted, so that a retraining was due."""
        alarms = np.lib.stride_tricks.sliding_window_view(self.looks > 0, windows, axis=1)
        return float((alarms.sum(axis=2) >= drifted).any(axis=1).mean())


def stream(kind: Kind, rows: int, seed: int) -> dict[str, list[int]]:
    """What the engines say of one stream of LOOKS windows."""
    random = np.random.default_rng([seed, rows, KINDS.index(kind)])
    before = reference(random, kind)
    engines = {name: ENGINES[name](before) for name in engines_for(kind, rows)}
    found: dict[str, list[int]] = {name: [] for name in engines}
    for _ in range(LOOKS):
        now = window(random, rows, kind)
        for name, look in engines.items():
            found[name].append(look(now))
    return found


def measured(kind: Kind, rows: int, streams: int) -> dict[str, Counted]:
    """All streams of a kind."""
    with ProcessPoolExecutor(min(2, streams)) as pool:
        said = list(pool.map(partial(stream, kind, rows), range(streams)))
    return {name: Counted(np.array([each[name] for each in said])) for name in engines_for(kind, rows)}


def table(sizes: Sequence[int]) -> Iterator[str]:
    """The table's lines. Detection is at the number of columns at which at most 5 % of the quiet windows alarm."""
    shown = "any column | a dispatch in 30 looks, 1 of 1 | 2 of 3 | at the columns that 5 % of quiet windows reach"
    yield f"| stream | rows | engine | {shown} |"
    yield "|---|--:|---|--:|--:|--:|--:|"
    needed: dict[tuple[int, str], int] = {}
    for rows in sizes:
        for kind in (each for each in KINDS if each.name in FEW_KINDS.get(rows, [each.name])):
            for name, counted in measured(kind, rows, STREAMS[rows]).items():
                wanted = needed.setdefault((rows, name), counted.columns_for(0.05))  # the first kind drawn is quiet
                shares = (counted.alarms, counted.dispatched(1, 1), counted.dispatched(2, 3))
                told = " | ".join(f"{share:.1%}" for share in shares)
                yield f"| {kind.name} | {rows:,} | {name} | {told} | {counted.detected(wanted):.1%} ({wanted}) |"


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", choices=[*STREAMS], default=[*STREAMS])
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines = []
    for line in table(given.sizes):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        page = ROOT / "docs" / "detect-drift.md"
        text = page.read_text(encoding="utf-8")
        made = "\n".join([BEGIN, "", *lines, "", END])
        page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
