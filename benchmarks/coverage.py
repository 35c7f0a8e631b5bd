"""How often intervals hold the truth: every metric, three sizes, common and rare, one model and the difference of two.

`python benchmarks/coverage.py` prints the tables; with `--write` they go into docs/statistics.md. An interval of 95 %
should hold the truth in 95 % of the samples. The truth comes from a sample of a million units of the same source.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from slipway.evaluation.formulas import Interval  # noqa: E402
from slipway.evaluation.intervals import of_difference, of_one  # noqa: E402
from slipway.evaluation.metrics import FAMILIES, METRICS, Metric, UndefinedError  # noqa: E402
from slipway.evaluation.outcomes import (  # noqa: E402
    Binary,
    Floats,
    Forecast,
    Integers,
    Multiclass,
    Multilabel,
    Outcome,
    Prices,
    Ranking,
    Regression,
)
from slipway.evaluation.sampling import Sampling  # noqa: E402

SIZES = (200, 1_000, 10_000)
REPLICATIONS = 2_000
TRUTH_UNITS, TRUTH_PIECES = 50_000, 20
AIM = (0.935, 0.965)
BEGIN, END = "<!-- coverage: made by benchmarks/coverage.py -->", "<!-- /coverage -->"


class Pair(NamedTuple):
    """Two models' predictions of the same rows. clusters: (rows,), None where rows are the independent units."""

    production: Outcome
    candidate: Outcome
    clusters: Integers | None = None


Make = Callable[[np.random.Generator, int], Pair]
"""From a number of independent units: rows, queries, times of three series, or clusters of five rows."""


def binary(positives: float, *, in_cluster: int = 1) -> Make:
    """Two models that share most of what they see; the candidate sees a little more. Calibrated, threshold 0.3.

    in_cluster: rows of a cluster, which have the same truth and see nearly the same.
    """

    def make(random: np.random.Generator, units: int) -> Pair:
        truth = np.repeat(random.random(units) < positives, in_cluster)
        seen = _seen(random, units, in_cluster)

        def model(strength: float) -> Binary:
            noise = 0.8 * seen + 0.6 * _seen(random, units, in_cluster)
            log_odds = np.log(positives / (1 - positives)) + strength * noise + strength**2 * (truth - 0.5)
            probability = 1 / (1 + np.exp(-log_odds))
            return Binary(truth, probability > 0.3, probability, Prices(false_positive=1, false_negative=5))

        return Pair(model(1.5), model(1.7), np.arange(units).repeat(in_cluster) if in_cluster > 1 else None)

    return make


def _seen(random: np.random.Generator, units: int, in_cluster: int) -> Floats:
    """Standard normal by row; the rows of a cluster share two thirds of the variance."""
    if in_cluster == 1:
        return random.standard_normal(units)
    shared = random.standard_normal(units).repeat(in_cluster)
    return 0.8 * shared + 0.6 * random.standard_normal(units * in_cluster)


def multiclass(shares: tuple[float, ...]) -> Make:
    """Softmax of noise, shared in part, with a bonus for the true class."""
    prior = np.log(shares)

    def make(random: np.random.Generator, rows: int) -> Pair:
        truth = random.choice(len(shares), size=rows, p=shares)
        seen = random.standard_normal((rows, len(shares)))

        def model(bonus: float) -> Multiclass:
            scores = prior + 0.8 * seen + 0.6 * random.standard_normal((rows, len(shares)))
            scores[np.arange(rows), truth] += bonus
            probability = np.exp(scores)
            probability /= probability.sum(axis=1, keepdims=True)
            return Multiclass(truth, probability.argmax(axis=1), len(shares), probability)

        return Pair(model(1.5), model(1.7))

    return make


def multilabel(shares: tuple[float, ...]) -> Make:
    """Labels that hang together by what makes a row hard; each is given from a probability of 0.3 on."""
    prior = np.log(np.array(shares) / (1 - np.array(shares)))

    def make(random: np.random.Generator, rows: int) -> Pair:
        truth = random.random((rows, len(shares))) < shares
        seen = 0.6 * random.standard_normal((rows, 1)) + 0.8 * random.standard_normal((rows, len(shares)))

        def model(strength: float) -> Multilabel:
            noise = 0.8 * seen + 0.6 * random.standard_normal((rows, len(shares)))
            probability = 1 / (1 + np.exp(-prior - strength * noise - strength**2 * (truth - 0.5)))
            return Multilabel(truth, probability > 0.3, probability)

        return Pair(model(1.5), model(1.7))

    return make


def ranking(relevant: float, *, in_query: int = 15) -> Make:
    """Queries of 15 rows, easy or hard ones, of which that share is relevant in grades 1 to 3."""

    def make(random: np.random.Generator, queries: int) -> Pair:
        rows = queries * in_query
        query = np.arange(queries).repeat(in_query)
        truth = np.where(random.random(rows) < relevant, random.integers(1, 4, rows), 0).astype(float)
        ease = np.exp(0.5 * random.standard_normal(queries))[query]
        seen = random.standard_normal(rows)

        def model(strength: float) -> Ranking:
            return Ranking(truth, strength * ease * truth + 0.8 * seen + 0.6 * random.standard_normal(rows), query)

        return Pair(model(0.8), model(0.9), query)

    return make


def regression(wild: float) -> Make:
    """Positive truths, errors in per cent that are shared in part; on a share of rows both err three times as much."""

    def make(random: np.random.Generator, rows: int) -> Pair:
        truth = np.exp(0.5 * random.standard_normal(rows))
        width = np.where(random.random(rows) < wild, 3.0, 1.0)
        seen = random.standard_normal(rows)

        def model(error: float) -> Regression:
            noise = 0.8 * seen + 0.6 * random.standard_normal(rows)
            return Regression(truth, truth * np.exp(error * width * noise))

        return Pair(model(0.22), model(0.2))

    return make


def forecasting(wild: float) -> Make:
    """Three series of sizes 1, 2 and 4 whose errors at one time hang together; on a share of times all err more."""
    sizes = np.array([1.0, 2.0, 4.0])
    series = len(sizes)

    def make(random: np.random.Generator, times: int) -> Pair:
        time = np.arange(times).repeat(series)
        scale = np.tile(sizes, times)
        truth = scale * np.exp(0.3 * random.standard_normal(times * series))
        width = np.where(random.random(times) < wild, 3.0, 1.0)[time]
        seen = 0.8 * random.standard_normal(times)[time] + 0.6 * random.standard_normal(times * series)

        def model(error: float) -> Forecast:
            noise = 0.8 * seen + 0.6 * random.standard_normal(times * series)
            return Forecast(truth, truth * np.exp(error * width * noise), scale)

        return Pair(model(0.22), model(0.2), time)

    return make


SOURCES: dict[str, dict[str, Make]] = {
    "binary": {
        "half positive": binary(0.5),
        "5 % positive": binary(0.05),
        "clusters of 5, 30 % positive": binary(0.3, in_cluster=5),
    },
    "multiclass": {
        "equal classes": multiclass((1 / 3, 1 / 3, 1 / 3)),
        "one class of 5 %": multiclass((0.5, 0.45, 0.05)),
    },
    "multilabel": {
        "labels of half the rows": multilabel((0.5, 0.5, 0.5)),
        "one label of 5 %": multilabel((0.5, 0.3, 0.05)),
    },
    "ranking": {"a third relevant": ranking(1 / 3), "5 % relevant": ranking(0.05)},
    "regression": {"even errors": regression(0.0), "5 % wild errors": regression(0.05)},
    "forecasting": {"even errors": forecasting(0.0), "5 % wild times": forecasting(0.05)},
}

UNITS = {"ranking": "queries", "forecasting": "times"}
"""What the sizes count, where it is not rows (or clusters)."""

NUMBERS = {"top_k_accuracy": 2.0}
"""The number of a family whose documented example says nothing of three classes."""


def metrics_of(task: str) -> list[Metric]:
    """One of each name, and one of each family."""
    families = [family for family in FAMILIES if family.task == task]
    members = [family.build(NUMBERS.get(family.name, float(family.example))) for family in families]
    return [metric for metric in METRICS if metric.task == task] + members


def value(metric: Metric, outcome: Outcome) -> float:
    """The metric alone."""
    return metric.estimate(outcome).value


Truth = dict[str, tuple[float, float]]
"""By metric: the candidate's value, and by how much it is above production's."""


def true_values(make: Make, metrics: list[Metric]) -> Truth:
    """From a very large sample, taken in pieces that fit any memory."""
    random = np.random.default_rng(2**32)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(TRUTH_PIECES):
        production, candidate, _ = make(random, TRUTH_UNITS)
        for metric in metrics:
            ours = value(metric, candidate)
            found[metric.name].append((ours, ours - value(metric, production)))
    return {name: tuple(np.mean(pieces, axis=0).tolist()) for name, pieces in found.items()}


Counts = list[int]
"""Samples whose interval holds the truth, samples that gave an interval, samples that gave none."""


class Covered(NamedTuple):
    """Of one metric."""

    one: Counts
    difference: Counts


def of_source(task: str, source: str, replications: int) -> dict[int, dict[str, Covered]]:
    """The counts by number of units and by metric."""
    make, metrics = SOURCES[task][source], metrics_of(task)
    truth = true_values(make, metrics)
    return {units: covered(make, metrics, truth, units, replications) for units in SIZES}


def covered(make: Make, metrics: list[Metric], truth: Truth, units: int, replications: int) -> dict[str, Covered]:
    """The counts of one number of units; large samples, which differ less, are a quarter as many."""
    counts = {metric.name: Covered([0, 0, 0], [0, 0, 0]) for metric in metrics}
    random = np.random.default_rng(units)
    for replication in range(replications // 4 if units == SIZES[-1] else replications):
        production, candidate, clusters = make(random, units)
        sampling = Sampling(len(production), clusters=clusters, seed=replication)
        for metric in metrics:
            of_candidate, of_both = truth[metric.name]
            one, difference = counts[metric.name]
            count(one, of_candidate, partial(of_one, metric, candidate, sampling))
            count(difference, of_both, partial(of_difference, metric, production, candidate, sampling))
    return counts


def count(counts: Counts, truth: float, find: Callable[[], Interval]) -> None:
    """Add one sample."""
    try:
        found = find()
    except UndefinedError:
        counts[2] += 1
        return
    counts[0] += found.low <= truth <= found.high
    counts[1] += 1


def lines(replications: int, processes: int) -> Iterator[str]:
    """A table for each task; what misses the aim stands in bold."""
    work = [(task, source) for task, sources in SOURCES.items() for source in sources]
    with ProcessPoolExecutor(processes) as pool:
        jobs = {each: pool.submit(of_source, *each, replications) for each in work}
        results = {each: job.result() for each, job in jobs.items()}
    few = replications // 4
    yield (
        f"Share of samples, in per cent, whose 95 % interval holds the truth: of the difference of two models, then, "
        f"after the stroke, of one model's own value. {replications:,} samples each, {few:,} of the largest size; the "
        f"Monte-Carlo standard error of a 95 is {error(replications):.1f} and {error(few):.1f}. The aim is "
        f"{100 * AIM[0]:g} to {100 * AIM[1]:g}; what misses it by more than three standard errors is **bold**. "
        f"In brackets: the share of samples that gave an interval, where not all did; the coverage is among them."
    )
    for task, sources in SOURCES.items():
        columns = [(source, units) for source in sources for units in SIZES]
        yield ""
        heads = [f"{source}, {units:,}{unit_of(task, source)}" for source, units in columns]
        yield f"| {task} | " + " | ".join(heads) + " |"
        yield "|:--|" + "--:|" * len(columns)
        for metric in metrics_of(task):
            found = [results[task, source][units][metric.name] for source, units in columns]
            cells = [f"{cell(*each.difference)} / {cell(*each.one)}" for each in found]
            yield f"| {metric.name} | " + " | ".join(cells) + " |"


def unit_of(task: str, source: str) -> str:
    """What the number of a column counts."""
    return f" {UNITS.get(task, 'clusters' if 'clusters' in source else 'rows')}"


def error(samples: int) -> float:
    """Standard error, in per cent, of a share of 95 %."""
    return float(100 * np.sqrt(0.05 * 0.95 / samples))


def cell(held: int, given: int, none: int) -> str:
    """The share in per cent, and how many samples gave an interval."""
    if not given:
        return "none"
    share = held / given
    slack = 3 * error(given) / 100
    shown = f"{100 * share:.1f}"
    if not AIM[0] - slack <= share <= AIM[1] + slack:
        shown = f"**{shown}**"
    return shown + (f" ({100 * given / (given + none):.3g})" if none else "")


def write(text: str, path: Path) -> None:
    """Put the table between its markers."""
    page = path.read_text(encoding="utf-8")
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    path.write_text(between.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page), encoding="utf-8")


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=REPLICATIONS)
    parser.add_argument("--write", action="store_true", help="put the table into docs/statistics.md")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    text = "\n".join(lines(given.replications, given.processes))
    print(text)
    if given.write:
        write(text, ROOT / "docs" / "statistics.md")


if __name__ == "__main__":
    main()
