"""A starting slipway.yml and workflow: what can be told from the data, each guess marked for a person to review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from slipway.data.inference import CATEGORIES, Seen, scalar, shown
from slipway.policy.dataset import TRAINING_NAMES

HOLDOUTS = ("holdout", "test", "validation", "valid", "eval")
"""What people call the rows that judge."""

TARGETS = ("target", "label", "y", "outcome", "class", "response")
"""What people call the column of truths."""

GATES = {
    "binary": ("roc_auc: {margin: 0.01}", "log_loss: {}", "accuracy: {}"),
    "multiclass": ("accuracy: {margin: 0.01}", "f1_macro: {}"),
    "regression": ("r2: {margin: 0.01}", "mean_absolute_error: {}"),
}
"""Metrics of a task, the first with a gate that makes sense in whatever unit the target has."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is written. data: path and schema's path by the dataset's name. target: empty where there is none."""

    model: str
    command: str
    data: Mapping[str, tuple[str, str]]
    holdout: str
    target: str
    task: Literal["binary", "multiclass", "regression"] = "regression"
    why_target: str = ""
    why_task: str = ""


def holdout_of(names: list[str]) -> str:
    """The dataset whose rows judge; empty where there is only the one that the model is trained on."""
    named = [name for name in HOLDOUTS if name in names]
    others = [name for name in names if name not in TRAINING_NAMES]
    return (named or others[-1:] or [""])[0]


def target_of(columns: Mapping[str, Seen], said: str) -> tuple[str, str]:
    """The column of truths and why it is taken for it: the one that was named, one of `TARGETS`, or the last one."""
    if said:
        return said, "it was given"
    usual = [name for name in columns if name.lower() in TARGETS]
    return (usual[0], "it is called so") if usual else (list(columns)[-1], "it is the last column")


def task_of(seen: Seen, distinct: int) -> tuple[Literal["binary", "multiclass", "regression"], str]:
    """The task that fits a target with so many different values, and why."""
    values = f"{distinct:,} different values of type {seen.dtype}"
    if distinct == 2 and not isinstance(seen.dtype, (pl.Date, pl.Datetime)):
        return "binary", values
    if seen.dtype in (pl.String, pl.Categorical) or (seen.dtype.is_integer() and distinct <= CATEGORIES):
        return "multiclass", values
    return "regression", values


def policy_text(start: Start) -> str:
    """slipway.yml."""
    lines = [
        "# A start. Every line that says `review` is a guess: a person decides. Slipway's docs/policy.md has all keys.",
        "version: 1",
        f"model: {scalar(start.model)}  # review: the model's name in the registry",
        "",
        "data:",
    ]
    for name, (path, schema) in start.data.items():
        lines += [f"  {scalar(name)}: {{path: {scalar(path)}, schema: {scalar(schema)}}}"]
    if not any(name in start.data for name in TRAINING_NAMES):
        lines += ["  # review: add `train`, the data that the model learns from"]
    lines += ["", "training:", f"  command: {scalar(start.command)}  # review: what makes the model; no shell reads it"]
    lines += ["  # requirements: requirements.txt  # review: best a lock with hashes", ""]
    if start.holdout and start.target:
        lines += [
            "evaluation:",
            f"  task: {start.task}  # review: {shown(start.target)} has {shown(start.why_task)}",
            f"  holdout: {scalar(start.holdout)}  # review: rows that the model never learned from",
            f"  target: {scalar(start.target)}  # review: taken for it because {start.why_target}",
            "  # cluster: ...  # review: a column of rows that belong together (a customer, a day)",
            "  metrics:  # review: how much worse than production a candidate may be",
            *(f"    {gate}" for gate in GATES[start.task]),
        ]
    else:
        lines += [
            "# review: without a dataset that the model does not learn from nothing can be judged. Add `holdout`,"
        ]
        lines += ["# and `evaluation` with its `task`, `holdout`, `target` and `metrics`."]
    return "\n".join(lines) + "\n"


def workflow_text(repository: str) -> str:
    """The caller's workflow. repository: where Slipway is kept."""
    return f"""\
# The gate for every pull request, and for what is merged. Slipway's docs/pipeline.md explains it.
name: Model gate

on:
  pull_request:
  push:
    branches: [main]  # review: your default branch

permissions: {{}}

jobs:
  gate:
    # review: put the commit of Slipway that you trust in place of <commit>
    uses: {repository}/.github/workflows/pipeline.yml@<commit>
    permissions:
      contents: write       # append to the ledger's branch; only the job that runs no code of yours has it
      pull-requests: write  # write the one comment
    with:
      tracking-uri: ${{{{ vars.MLFLOW_TRACKING_URI }}}}  # review: set this variable in the repository's settings
    secrets:
      credentials: ${{{{ secrets.SLIPWAY_CREDENTIALS }}}}  # review: lines such as MLFLOW_TRACKING_TOKEN=…
"""
