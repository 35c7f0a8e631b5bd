"""False alarms and detection of drift on streams of which it is known whether they drift, beside the usual defaults.

`python benchmarks/drift_alarms.py` prints the table; with `--write` it goes into docs/detect-drift.md. Every engine
sees the same windows. The rules of Evidently and NannyML are those of their defaults for numbers and categories,
written down here because the tools themselves take seconds for each window.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter
from scipy.spatial.distance import jensenshannon

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from slipway import profiles  # noqa: E402
from slipway.drift import judging  # noqa: E402
from slipway.policy import Drift  # noqa: E402

NUMBERS, CATEGORIES = 20, 10
REFERENCE_ROWS = 20_000
LOOKS = 30
SIZES = (200, 1_000, 10_000)
STREAMS = 6
MOVED = 3
"""Columns that drift, of the thirty."""

BEGIN, END = "<!-- alarms: made by benchmarks/drift_alarms.py -->", "<!-- /alarms -->"
LEVELS = np.array([f"level {number}" for number in range(200)])


class Kind(NamedTuple):
    """A kind of stream. shift: of the drifting numbers, in standard deviations, and of the categories' log odds.

    together: correlation of one row with the next. season: how far a window's level may lie from the year's, in
    standard deviations; the reference holds the whole year.
    """

    name: str
    shift: float = 0.0
    together: float = 0.0
    season: float = 0.0


KINDS = (
    Kind("quiet"),
    Kind("quiet, rows correlated (0.5)", together=0.5),
    Kind("quiet, rows correlated (0.9)", together=0.9),
    Kind("quiet, season of 0.5 sd", season=0.5),
    Kind("3 of 30 columns moved by 0.25 sd", shift=0.25),
    Kind("3 of 30 columns moved by 0.5 sd", shift=0.5),
    Kind("3 of 30 columns moved by 1 sd", shift=1.0),
)

Columns = dict[str, NDArray[np.float64] | NDArray[np.str_]]


def window(random: np.random.Generator, rows: int, kind: Kind) -> Columns:
    """Thirty columns: normal, skewed and heavy-tailed numbers, and categories of 2 to 200 levels."""
    made: Columns = {}
    phase = random.uniform(0, 2 * np.pi)
    for number in range(NUMBERS + CATEGORIES):
        latent = _latent(random, rows, kind.together)
        latent += kind.season * np.sin(phase + number) * (number % 3 == 0)
        if number % 10 == 0:
            latent += kind.shift
        if number < NUMBERS:
            shape = (latent, np.exp(latent), np.sign(latent) * np.abs(latent) ** 1.5)[number % 3]
            made[f"number {number}"] = shape
        else:
            levels = (2, 5, 20, 200)[number % 4]
            # Levels of falling shares: rare ones are many, as in life.
            share = stats.norm.cdf(latent) ** 2
            made[f"category {number}"] = LEVELS[np.minimum((share * levels).astype(int), levels - 1)]
    return made


def reference(random: np.random.Generator, kind: Kind) -> Columns:
    """What was learned from: rows without drift, of all seasons."""
    quiet = kind._replace(shift=0.0, together=0.0)
    if not kind.season:
        return window(random, REFERENCE_ROWS, quiet)
    parts = [window(random, REFERENCE_ROWS // 50, quiet) for _ in range(50)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
    known, rules = profiles.of_frame(pl.DataFrame(before).lazy()), Drift(current="live")

    def look(now: Columns) -> int:
        found = judging.judge(known, profiles.of_frame(pl.DataFrame(now).lazy()), rules)
        return sum(each.drifted for each in found)

    return look


def evidently(before: Columns) -> Engine:
    """Evidently 0.7: up to 1,000 rows of reference tests with p < 0.05, above distances >= 0.1 (Wasserstein / sd of the
    reference for numbers, Jensen-Shannon for categories and for numbers of at most five values)."""

    def look(now: Columns) -> int:
        return sum(_evidently_drifted(before[name], now[name]) for name in before)

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
        return sum(_nannyml_distance(before[name], now[name]) > 0.1 for name in before)

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


ENGINES: dict[str, Callable[[Columns], Engine]] = {"Slipway": ours, "Evidently": evidently, "NannyML": nannyml}


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
    engines = {name: made(before) for name, made in ENGINES.items()}
    windows = [window(random, rows, kind) for _ in range(LOOKS)]
    return {name: [look(now) for now in windows] for name, look in engines.items()}


def measured(kind: Kind, rows: int, streams: int) -> dict[str, Counted]:
    """All streams of a kind."""
    with ProcessPoolExecutor(2) as pool:
        said = list(pool.map(partial(stream, kind, rows), range(streams)))
    return {name: Counted(np.array([each[name] for each in said])) for name in ENGINES}


def table(streams: int) -> Iterator[str]:
    """The table's lines. Detection is at the number of columns at which at most 5 % of the quiet windows alarm."""
    shown = "any column | a dispatch in 30 looks, 1 of 1 | 2 of 3 | at the columns that 5 % of quiet windows reach"
    yield f"| stream | rows | engine | {shown} |"
    yield "|---|--:|---|--:|--:|--:|--:|"
    needed: dict[tuple[int, str], int] = {}
    for kind in KINDS:
        for rows in SIZES:
            for name, counted in measured(kind, rows, streams).items():
                wanted = needed.setdefault((rows, name), counted.columns_for(0.05))  # the first kind is quiet
                shares = (counted.alarms, counted.dispatched(1, 1), counted.dispatched(2, 3))
                told = " | ".join(f"{share:.1%}" for share in shares)
                yield f"| {kind.name} | {rows:,} | {name} | {told} | {counted.detected(wanted):.1%} ({wanted}) |"


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines = []
    for line in table(given.streams):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        page = ROOT / "docs" / "detect-drift.md"
        text = page.read_text(encoding="utf-8")
        made = "\n".join([BEGIN, "", *lines, "", END])
        page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: made, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
