"""How often the interval of a paired difference holds the true difference: every metric, three sizes, common and rare.

`python benchmarks/coverage.py` prints the table; with `--write` it goes into docs/statistics.md. An interval of 95 %
should hold the truth in 95 % of the samples. The truth comes from a sample of a million rows of the same source.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from slipway.evaluation.intervals import Sampling, of_difference  # noqa: E402
from slipway.evaluation.metrics import METRICS, Metric, UndefinedError  # noqa: E402
from slipway.evaluation.outcomes import Binary, Multiclass, Outcome, Regression  # noqa: E402

SIZES = (200, 1_000, 10_000)
REPLICATIONS = 2_000
BOOTSTRAPPED = 400
"""Replications of a metric that needs the bootstrap, whose every interval takes 2,000 draws."""
TRUTH_ROWS, TRUTH_PIECES = 100_000, 10
AIM = (0.935, 0.965)
BEGIN, END = "<!-- coverage: made by benchmarks/coverage.py -->", "<!-- /coverage -->"

Pair = tuple[Outcome, Outcome]
Make = Callable[[np.random.Generator, int], Pair]


def binary(positives: float) -> Make:
    """Two models that share most of what they see; the candidate sees a little more. Calibrated, threshold 0.3."""

    def make(random: np.random.Generator, rows: int) -> Pair:
        truth = random.random(rows) < positives
        seen = random.standard_normal(rows)

        def model(strength: float) -> Binary:
            noise = 0.8 * seen + 0.6 * random.standard_normal(rows)
            log_odds = np.log(positives / (1 - positives)) + strength * noise + strength**2 * (truth - 0.5)
            probability = 1 / (1 + np.exp(-log_odds))
            return Binary(truth, probability > 0.3, probability)

        return model(1.5), model(1.7)

    return make


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

        return model(1.5), model(1.7)

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

        return model(0.22), model(0.2)

    return make


SOURCES: dict[str, dict[str, Make]] = {
    "binary": {"half positive": binary(0.5), "5 % positive": binary(0.05)},
    "multiclass": {
        "equal classes": multiclass((1 / 3, 1 / 3, 1 / 3)),
        "one class of 5 %": multiclass((0.5, 0.45, 0.05)),
    },
    "regression": {"even errors": regression(0.0), "5 % wild errors": regression(0.05)},
}


def value(metric: Metric, outcome: Outcome) -> float:
    """The metric alone."""
    if metric.estimate is not None:
        return metric.estimate(outcome).value
    assert metric.weighted is not None
    return float(metric.weighted(outcome, np.ones((1, len(outcome))))[0])


def metrics_of(task: str) -> list[Metric]:
    """One of each name."""
    return [metric for metric in METRICS if metric.task == task]


def true_differences(make: Make, metrics: list[Metric]) -> dict[str, float]:
    """Candidate minus production in a very large sample, taken in pieces that fit any memory."""
    random = np.random.default_rng(2**32)
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(TRUTH_PIECES):
        production, candidate = make(random, TRUTH_ROWS)
        for metric in metrics:
            found[metric.name].append(value(metric, candidate) - value(metric, production))
    return {name: float(np.mean(differences)) for name, differences in found.items()}


Counts = dict[str, list[int]]
"""By metric: samples whose interval holds the truth, samples that gave an interval, samples that gave none."""


def of_source(task: str, source: str, replications: int) -> dict[int, Counts]:
    """The counts by number of rows."""
    make, metrics = SOURCES[task][source], metrics_of(task)
    truth = true_differences(make, metrics)
    return {rows: covered(make, metrics, truth, rows, replications) for rows in SIZES}


def covered(make: Make, metrics: list[Metric], truth: dict[str, float], rows: int, replications: int) -> Counts:
    """The counts of one number of rows; large samples, which differ less, are a quarter as many."""
    counts = {metric.name: [0, 0, 0] for metric in metrics}
    random = np.random.default_rng(rows)
    for replication in range(replications // 4 if rows == SIZES[-1] else replications):
        production, candidate = make(random, rows)
        for metric in metrics:
            if metric.estimate is None and replication >= BOOTSTRAPPED:
                continue
            count = counts[metric.name]
            try:
                found = of_difference(metric, production, candidate, Sampling(rows, seed=replication))
            except UndefinedError:
                count[2] += 1
                continue
            count[0] += found.low <= truth[metric.name] <= found.high
            count[1] += 1
    return counts


def lines(replications: int) -> Iterator[str]:
    """A table for each task; what misses the aim stands in bold."""
    work = [(task, source) for task, sources in SOURCES.items() for source in sources]
    with ProcessPoolExecutor(2) as pool:
        jobs = {each: pool.submit(of_source, *each, replications) for each in work}
        results = {each: job.result() for each, job in jobs.items()}
    yield (
        f"Share of samples, in per cent, whose 95 % interval of the difference holds the true difference; "
        f"{replications:,} samples each, {replications // 4:,} of the largest. The aim is "
        f"{100 * AIM[0]:g} to {100 * AIM[1]:g}; what misses it by more than chance (three standard errors) is **bold**."
    )
    for task, sources in SOURCES.items():
        columns = [(source, rows) for source in sources for rows in SIZES]
        yield ""
        yield f"| {task} | " + " | ".join(f"{source}, {rows:,} rows" for source, rows in columns) + " |"
        yield "|:--|" + "--:|" * len(columns)
        for metric in metrics_of(task):
            cells = [cell(*results[task, source][rows][metric.name]) for source, rows in columns]
            yield f"| {metric.name} | " + " | ".join(cells) + " |"


def cell(held: int, given: int, none: int) -> str:
    """The share in per cent, and how many samples gave no interval."""
    if not given:
        return "no interval"
    share = held / given
    slack = 3 * np.sqrt(0.05 * 0.95 / given)
    shown = f"{100 * share:.1f}"
    if not AIM[0] - slack <= share <= AIM[1] + slack:
        shown = f"**{shown}**"
    return shown + (f" (none {100 * none / (given + none):.1f})" if none else "")


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
    given = parser.parse_args()
    text = "\n".join(lines(given.replications))
    print(text)
    if given.write:
        write(text, ROOT / "docs" / "statistics.md")


if __name__ == "__main__":
    main()
