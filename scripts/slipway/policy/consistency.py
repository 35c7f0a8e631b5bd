"""Keys of an evaluation that cannot stand beside each other, or not without another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway.policy.metrics import Task
from slipway.policy.scorers import BUILT_IN_SCORERS

if TYPE_CHECKING:
    from slipway.policy.evaluation import Evaluation

OF_TASKS: dict[str, tuple[Task, ...]] = {
    "positive": ("binary",),
    "costs": ("binary",),
    "threshold": ("binary", "multilabel"),
    "query": ("ranking",),
    "time": ("forecasting",),
    "series": ("forecasting",),
    "season": ("forecasting",),
}
"""Keys that only these tasks have."""

REQUIRED: dict[Task, str] = {"ranking": "query", "forecasting": "time"}

Place = tuple[str, ...]


def problems(evaluation: Evaluation) -> Iterator[tuple[Place, str]]:
    """What is wrong, and at which key below `evaluation`; at none where the sentence names it."""
    said = _of_texts(evaluation) if evaluation.task == "text" else _of_others(evaluation)
    for problem in (*said, *_of_the_task(evaluation), *_of_costs(evaluation)):
        yield (), problem


def _of_others(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.target:
        yield "`target` is missing: the column that holds the truth"
    if evaluation.scorers or evaluation.scorer_requirements:
        yield f"`scorers` are for `task: text`, and the task is {evaluation.task}"


def _of_texts(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.robustness and evaluation.robustness.declared:
        yield "`robustness` disturbs numbers and categories, and the task is text"
    for name in evaluation.metrics:
        scorer = evaluation.scorers.get(name)
        if scorer is None and name not in BUILT_IN_SCORERS:
            yield f"`metrics.{name}` is no scorer: declare it under `scorers`"
        if scorer is None and name == "regex":
            yield "`metrics.regex` needs its `pattern`: declare it under `scorers`"
        if (scorer.use if scorer else name) in ("exact_match", "token_f1") and not evaluation.target:
            yield f"`metrics.{name}` compares with a reference, and `target` is missing"
    for section in ("slices", "fairness"):
        within = getattr(evaluation, section)
        for name in sorted(within.metrics.keys() - evaluation.metrics.keys() if within else ()):
            key = f"`{section}.metrics.{name}`"
            yield f"{key} is not among the `metrics` of the evaluation, so its texts are not scored"
    for name in sorted(evaluation.scorers.keys() - evaluation.metrics.keys()):
        yield f"`scorers.{name}` has no entry under `metrics`, so it would never be looked at"


def _of_the_task(evaluation: Evaluation) -> Iterator[str]:
    task, target = evaluation.task, evaluation.target
    for key, tasks in OF_TASKS.items():
        if getattr(evaluation, key) is not None and task not in tasks:
            yield f"`{key}` belongs to {' and '.join(tasks)} tasks, and the task is {task}"
    needed = REQUIRED.get(task)
    if needed and getattr(evaluation, needed) is None:
        yield f"`task: {task}` needs `{needed}`"
    if isinstance(target, list) and task != "multilabel":
        yield f"`target` is a list of columns only in multilabel tasks, and the task is {task}"
    if isinstance(target, list) and len(set(target)) < len(target):
        yield "`target` names a column twice"


def _of_costs(evaluation: Evaluation) -> Iterator[str]:
    counted = "expected_cost" in evaluation.metrics
    if counted and evaluation.costs is None and evaluation.task == "binary":
        yield "the metric `expected_cost` needs `costs`"
    if evaluation.costs is not None and not counted and evaluation.task == "binary":
        yield "`costs` count only in the metric `expected_cost`, which `metrics` does not name"
