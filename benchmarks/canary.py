"""False rollbacks and detection of a canary on streams of which it is known what they are, beside the usual rules.

`python benchmarks/canary.py` prints the tables; with `--write` they go into docs/judge-canary.md. Every rule sees the
same streams and is asked at every look. The rules of other tools are written down here as their sources have them.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from slipway.canary import bands, looking  # noqa: E402
from slipway.canary.looking import CanaryState  # noqa: E402
from slipway.canary.observations import Arm, Histogram, Observation, Scores  # noqa: E402
from slipway.policy.canary import Canary  # noqa: E402

LOOKS, POINTS = 30, 5
"""Looks of a stream, and points of a time series that the judge of Kayenta sees of each."""

REQUESTS = 2_000
HARMS = (1.0, 1.25, 1.5, 2.0, 5.0)
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PAGE = ROOT / "docs" / "judge-canary.md"
BEGIN, END = "<!-- canary: made by benchmarks/canary.py -->", "<!-- /canary -->"
Counts = NDArray[np.int64]


class Kind(NamedTuple):
    """A kind of stream. rates: of errors at each look; shares: of the canary.

    together: how many errors come at once in one arm. begins: looks before the harm begins. wander: how the log of the
    rate goes on from one point to the next, and by how much.
    """

    name: str
    rates: NDArray[np.float64]
    shares: NDArray[np.float64]
    together: int = 1
    wander: tuple[float, float] = (0.0, 0.0)
    begins: int = 0


TENTH = np.full(LOOKS, 0.1)
STAGED = np.repeat([0.01, 0.05, 0.25, 0.5], [5, 10, 10, 5])
KINDS = (
    Kind("steady 1 %, a tenth of the traffic", np.full(LOOKS, 0.01), TENTH),
    Kind("0.5 % rising to 3 %, stages of 1, 5, 25, 50 %", np.linspace(0.005, 0.03, LOOKS), STAGED),
    Kind("around 1 %, wandering (AR 0.6)", np.full(LOOKS, 0.01), TENTH, wander=(0.6, 0.4)),
    Kind("1 %, errors come in fives", np.full(LOOKS, 0.01), TENTH, together=5),
    Kind("steady 20 %, a tenth of the traffic", np.full(LOOKS, 0.2), TENTH),
    Kind("steady 1 %, half of the traffic, harm from look 21 on", np.full(LOOKS, 0.01), np.full(LOOKS, 0.5), begins=20),
)


@dataclass(frozen=True)
class Stream:
    """Requests and errors of both arms, by look and point."""

    requests: tuple[Counts, Counts]
    errors: tuple[Counts, Counts]
    usual: float

    def totals(self, look: int) -> tuple[int, int, int, int]:
        """Errors and requests of the canary, then of the baseline, at one look."""
        (n, m), (x, y) = self.requests, self.errors
        return int(x[look].sum()), int(n[look].sum()), int(y[look].sum()), int(m[look].sum())


def drawn(kind: Kind, harm: float, rng: np.random.Generator) -> Stream:
    """One stream."""
    shape = (LOOKS, POINTS)
    n = rng.binomial(REQUESTS // POINTS, np.broadcast_to(kind.shares[:, None], shape))
    m = REQUESTS // POINTS - n
    rates = np.broadcast_to(kind.rates[:, None], shape).copy()
    carry, size = kind.wander
    if size:
        noise, held = rng.normal(0, size, shape[0] * shape[1]), 0.0
        for place in range(noise.size):
            held = carry * held + noise[place]
            noise[place] = held
        rates *= np.exp(noise.reshape(shape))

    def errors(counted: Counts, rate: NDArray[np.float64]) -> Counts:
        found = kind.together * rng.binomial(counted, np.minimum(1, rate / kind.together))
        return np.asarray(np.minimum(found, counted), dtype=np.int64)

    harmed = np.where(np.arange(LOOKS)[:, None] < kind.begins, 1.0, harm) * rates
    return Stream((n, m), (errors(n, harmed), errors(m, rates)), float(kind.rates.mean()))


# The rules. Each gives the look at which it rolls back, or None.


def evidence(stream: Stream, cluster: int = 1) -> int | None:
    """Slipway's, through the same `look` that the stage takes."""
    rules = policy(cluster)
    state = looking.begin(rules, NOON)
    for number in range(LOOKS):
        x, n, y, m = stream.totals(number)
        since = NOON + timedelta(minutes=number)
        at = since + timedelta(minutes=1)
        share = n / (n + m) if n else None
        state = looking.look(
            state,
            Observation(
                at=at,
                share=share,
                canary=Arm(since=since, requests=n, errors=x),
                baseline=Arm(since=since, requests=m, errors=y),
            ),
            rules,
            at,
        )
        if state.decision == "roll-back":
            return number + 1
    return None


def policy(cluster: int = 1) -> Canary:
    """A canary that nothing but harm ends."""
    stages = [{"share": 0.5, "minutes": 100_000}]
    return Canary.model_validate({"stages": stages, "metrics": {"errors": {"cluster": cluster}}})


def threshold(stream: Stream) -> int | None:
    """Roll back once the canary's rate in a look is above twice the usual one, as a fixed limit of Argo Rollouts'
    `failureCondition` or Flagger's `thresholdRange` says."""
    for look in range(LOOKS):
        x, n, _, _ = stream.totals(look)
        if n and x / n > 2 * stream.usual:
            return look + 1
    return None


def repeated_z(stream: Stream) -> int | None:
    """A one-sided z-test of two proportions at 5 %, of all that was seen, at every look."""
    seen = np.zeros(4)
    for look in range(LOOKS):
        seen += stream.totals(look)
        x, n, y, m = seen
        pooled = (x + y) / (n + m) if n and m else 0.0
        if 0 < pooled < 1 and (x / n - y / m) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)) > 1.645:
            return look + 1
    return None


def mann_whitney(stream: Stream) -> int | None:
    """Of each point's rate, at 1 % to the one side, of all that was seen, at every look from the tenth point on, with
    the canary's mean higher: the test of Kayenta's NetflixACAJudge with its confidence of 0.98."""
    (n, m), (x, y) = stream.requests, stream.errors
    ours, theirs = (np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0) for a, b in ((x, n), (y, m)))
    for look in range(1, LOOKS):
        one, other = (each[: look + 1].ravel() for each in (ours, theirs))
        one, other = one[~np.isnan(one)], other[~np.isnan(other)]
        if one.size < 5 or one.mean() <= other.mean():
            continue
        if stats.mannwhitneyu(one, other, alternative="greater", method="asymptotic").pvalue < 0.01:
            return look + 1
    return None


RULES: dict[str, Callable[[Stream], int | None]] = {
    "Slipway": evidence,
    "above twice the usual rate": threshold,
    "z-test at every look": repeated_z,
    "Mann-Whitney (Kayenta)": mann_whitney,
}


def measured(kind: Kind, harm: float, streams: int) -> dict[str, tuple[float, float | None]]:
    """For each rule the share of streams that it rolls back, and the median look at which it does."""
    rng = np.random.default_rng([KINDS.index(kind), int(100 * harm)])
    asked = dict(RULES)
    if kind.together > 1:
        asked[f"Slipway, `cluster: {kind.together}`"] = lambda stream: evidence(stream, kind.together)
    found: dict[str, list[int | None]] = {name: [] for name in asked}
    for _ in range(streams):
        stream = drawn(kind, harm, rng)
        for name, rule in asked.items():
            found[name].append(rule(stream))
    said: dict[str, tuple[float, float | None]] = {}
    for name, looks in found.items():
        ended = [look for look in looks if look is not None]
        said[name] = (len(ended) / streams, float(np.median(ended)) if ended else None)
    return said


def rollbacks(streams: int) -> Iterator[str]:
    """The table of rollbacks."""
    yield "| stream | rule | no harm | × 1.25 | × 1.5 | × 2 | × 5 |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for kind in KINDS:
        by_harm = {harm: measured(kind, harm, streams) for harm in HARMS}
        for name in by_harm[1.0]:
            cells = [_cell(*by_harm[harm][name], harm) for harm in HARMS]
            yield f"| {kind.name} | {name} | {' | '.join(cells)} |"


def _cell(share: float, look: float | None, harm: float) -> str:
    said = f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
    return said if harm == 1 or look is None else f"{said}, {look:.0f}"


def promotions(streams: int) -> Iterator[str]:
    """How often it is shown that a canary is not worse than a margin, and when."""
    yield "| margin | equal canary | at the margin |"
    yield "|---|--:|--:|"
    for margin in (1.25, 1.5, 2.0):
        cells = []
        for harm in (1.0, margin):
            rules = Canary.model_validate(
                {
                    "stages": [{"share": 0.1, "minutes": 1, "requests": 1}],
                    "metrics": {"errors": {"margin": margin, "harm": margin, "floor": 0}},
                }
            )
            rng = np.random.default_rng([7, int(100 * harm), int(100 * margin)])
            ended = []
            for _ in range(streams):
                stream, state = drawn(KINDS[0], harm, rng), looking.begin(rules, NOON)
                for number in range(LOOKS):
                    x, n, y, m = stream.totals(number)
                    since = NOON + timedelta(minutes=number)
                    arms = {
                        "canary": Arm(since=since, requests=n, errors=x),
                        "baseline": Arm(since=since, requests=m, errors=y),
                    }
                    seen = Observation.model_validate({"at": since + timedelta(minutes=1), **arms})
                    state = looking.look(state, seen, rules, seen.at)
                    if state.is_final:
                        break
                if state.decision == "promote":
                    ended.append(state.looks)
            cells.append(_cell(len(ended) / streams, float(np.median(ended)) if ended else None, 0))
        yield f"| × {margin:g} | {' | '.join(cells)} |"


TIMED = 5_000
SLOWER = (1.0, 1.02, 1.05, 1.1, 1.2)
BOUNDS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def latencies(streams: int) -> Iterator[str]:
    """Rollbacks for latency: by bets at every bound, by bands around both distributions, and by a repeated test."""
    names = ("Slipway", "time-uniform bands", "Kolmogorov-Smirnov at every look")
    found: dict[str, list[str]] = {name: [] for name in names}
    rules = Canary.model_validate(
        {
            "stages": [{"share": 0.1, "minutes": 100_000}],
            "metrics": {"errors": None, "latency": {}},
        }
    )
    for slower in SLOWER:
        rng = np.random.default_rng([9, int(100 * slower)])
        ended: dict[str, list[int]] = {name: [] for name in names}
        for _ in range(streams):
            for name, look in _slow(rng, slower, rules).items():
                ended[name].append(look)
        for name in names:
            looks = ended[name]
            found[name].append(_cell(len(looks) / streams, float(np.median(looks)) if looks else None, slower))
    yield "| rule | as fast | 2 % slower | 5 % | 10 % | 20 % |"
    yield "|---|--:|--:|--:|--:|--:|"
    for name, cells in found.items():
        yield f"| {name} | {' | '.join(cells)} |"


def _slow(rng: np.random.Generator, slower: float, rules: Canary) -> dict[str, int]:
    """The look at which each rule rolls a stream back; those that do not are left out."""
    state, seen = looking.begin(rules, NOON), [np.zeros(len(BOUNDS) + 1, dtype=np.int64) for _ in range(2)]
    found: dict[str, int] = {}
    for look in range(1, LOOKS + 1):
        at, arms = NOON + look * timedelta(minutes=1), {}
        n = int(rng.binomial(TIMED, 0.1))
        for place, (name, count, factor) in enumerate((("canary", n, slower), ("baseline", TIMED - n, 1.0))):
            times = factor * 0.08 * np.exp(0.5 * rng.standard_normal(count))
            cells = np.bincount(np.searchsorted(BOUNDS, times), minlength=len(BOUNDS) + 1)
            seen[place] = seen[place] + cells
            histogram = Histogram(bounds=BOUNDS, counts=tuple(map(int, cells)))
            arms[name] = Arm(since=at - timedelta(minutes=1), requests=count, latency=histogram)
        state = looking.look(state, Observation.model_validate({"at": at, **arms}), rules, at)
        if state.decision == "roll-back":
            found.setdefault("Slipway", look)
        sizes = [int(each.sum()) for each in seen]
        below = [np.cumsum(each)[:-1] / size for each, size in zip(seen, sizes, strict=True)]
        apart = float((below[1] - below[0]).max())
        if apart > sum(bands.radius(size, 0.025) for size in sizes):
            found.setdefault("time-uniform bands", look)
        if apart > 1.22 * sqrt(1 / sizes[0] + 1 / sizes[1]):
            found.setdefault("Kolmogorov-Smirnov at every look", look)
    return found


def cost() -> Iterator[str]:
    """The processor time of one look at many metrics, with reading and writing the state, at several traffics."""
    yield "| requests a look | one look | state |"
    yield "|--:|--:|--:|"
    said: dict[str, Any] = {
        "errors": {},
        "latency": {},
        "predictions": {},
        "outcomes": {name: {} for name in ("right", "useful")},
    }
    rules = Canary.model_validate({"stages": [{"share": 0.1, "minutes": 100_000}], "metrics": said})
    bounds = tuple(round(0.005 * 1.4**step, 6) for step in range(20))
    for requests in (21_000, 21_000_000, 21_000_000_000):
        state = looking.begin(rules, NOON)
        spent = []
        for number in range(1, 31):
            at = NOON + number * timedelta(minutes=1)
            arms = {}
            for name, share in (("canary", 0.1), ("baseline", 0.9)):
                count = int(requests * share)
                histogram = Histogram(bounds=bounds, counts=(count // 21,) * 21)
                labels = Scores(values=(0.0, 1.0), counts=(count // 5, count - count // 5))
                arms[name] = Arm(
                    since=at - timedelta(minutes=1),
                    requests=count,
                    errors=count // 100,
                    latency=histogram,
                    predictions=histogram,
                    outcomes={"right": labels, "useful": labels},
                )
            seen = Observation.model_validate({"at": at, **arms})
            raw = state.model_dump_json()
            begun = time.process_time()
            state = looking.look(CanaryState.model_validate_json(raw), seen, rules, at)
            written = state.model_dump_json()
            spent.append(time.process_time() - begun)
        yield f"| {requests:,} | {1_000 * float(np.median(spent)):.1f} ms | {len(written) / 1_000:.0f} kB |"


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    parts = [
        f"Share of {given.streams:,} streams of {LOOKS} looks, {REQUESTS:,} requests each, that are rolled back, and "
        "the median look at which they are:",
        "\n".join(rollbacks(given.streams)),
        f"Share of {given.streams:,} streams (steady 1 %, a tenth of the traffic) in which it is shown within {LOOKS} "
        "looks that the canary is not worse than the margin:",
        "\n".join(promotions(given.streams)),
        f"Share of {given.streams // 5:,} streams of {LOOKS} looks, {TIMED:,} requests each, a tenth of them the "
        "canary's, that are rolled back for their latency (log-normal around 80 ms, a histogram of ten bounds):",
        "\n".join(latencies(given.streams // 5)),
        "Processor time of one look at errors, latency and predictions (20 bounds each) and two outcomes, the state's "
        "JSON read and written:",
        "\n".join(cost()),
    ]
    text = "\n\n".join(parts)
    sys.stdout.write(f"{text}\n")
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        made = f"{BEGIN}\n\n{text}\n\n{END}"
        PAGE.write_text(
            re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, page, flags=re.DOTALL), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
