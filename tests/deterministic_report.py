"""Prints one evaluation as JSON: what `test_evaluation_determinism.py` runs in processes of different settings."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from slipway.evaluation.fairness import judge_fairness
from slipway.evaluation.findings import Findings
from slipway.evaluation.intervals import of_difference, of_one
from slipway.evaluation.judgement import judge
from slipway.evaluation.leakage import tripwires
from slipway.evaluation.sampling import Sampling
from slipway.evaluation.search import worst_slices
from slipway.evaluation.slices import judge_slices
from slipway.policy.evaluation import Evaluation
from test_evaluation_reference import BY_ROW, MAKERS

ROWS = 40_000
"""Enough for BLAS to share a sum out among threads, which it does from 10,000 numbers on."""

POLICY = {
    "task": "binary",
    "target": "late",
    "holdout": "holdout",
    "metrics": {"roc_auc": {"margin": 0.01, "min": 0.6}, "f1": {"margin": 0.01}, "log_loss": {"margin": 0.01}},
    "slices": {"columns": ["city", ["city", "hour"]]},
    "fairness": {"groups": ["city"], "metrics": {"recall": {"max_gap": 0.1}}},
    "cluster": "day",
}


def findings() -> list[Findings]:
    """Every suite that computes, on two classes in clusters."""
    random = np.random.default_rng(5)
    evaluation = Evaluation.model_validate(POLICY)
    candidate, production = pair("binary")
    named = pl.DataFrame(
        {
            "city": random.choice(["York", "Leeds", "Hull", "Bath"], ROWS),
            "hour": random.normal(size=ROWS),
        }
    )
    sampling = Sampling(ROWS, clusters=random.permutation(np.arange(ROWS) // 3), seed=7)
    return [
        judge(evaluation, candidate, production, sampling),
        judge_slices(evaluation, candidate, production, named, sampling),
        judge_fairness(evaluation, candidate, production, named, sampling),
        worst_slices(evaluation, candidate, production, named.get_columns(), sampling),
        tripwires(evaluation, candidate, production, named.get_columns()),
    ]


def pair(task: str) -> Any:
    """Two models with one truth."""
    one, other = (MAKERS[task](ROWS, seed) for seed in (1, 2))
    same_truth: dict[str, Any] = {"truth": vars(one)["truth"]}
    return one, replace(other, **same_truth)


def intervals() -> list[Any]:
    """Every metric alone and compared, with rows in clusters and without."""
    found: list[Any] = []
    for metric in BY_ROW:
        candidate, production = pair(metric.task)
        for clusters in (None, np.arange(ROWS) // 3):
            sampling = Sampling(ROWS, clusters=clusters)
            for each in (of_one(metric, candidate, sampling), of_difference(metric, production, candidate, sampling)):
                found.append([metric.task, metric.name, each.low, each.value, each.high, each.standard_error])
    return found


if __name__ == "__main__":
    print(TypeAdapter(Any).dump_json([*intervals(), *map(asdict, findings())], indent=1).decode())
