"""Profiles what a candidate was trained on, in an environment of its own: a training needs no polars.

A training takes hours and a profile takes seconds, so one that cannot be made costs the profile, never the training.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

import yaml

from slipway import datasets
from slipway.policy.dataset import SPARK_TOKEN, Dataset
from slipway.policy.model import Policy
from slipway.policy.source import SourcedPolicy
from slipway.runner import commands, environments, redaction
from slipway.runner.environments import REPOSITORY
from slipway.runner.errors import SlipwayError
from slipway.training import command

FILE = "profile.json"
"""Its name beside the model."""

TAG = "slipway.profile"
"""Tag of the version with the digest of that file."""

GROUPS = {"polars": "profile-data", "spark": "validate-data-spark"}
"""The requirements that each engine needs."""

TIMEOUT = 1800.0
"""Seconds; a hundred million rows of thirty columns take a few minutes."""


def make(sourced: SourcedPolicy, model: Path, folder: Path) -> tuple[Path | None, str]:
    """The profile of the training data in `folder`, and a remark where there is none though there should be one.

    Of the columns it holds the features that the model's signature names, and the target; all, where the model names
    none. `model`: the model's files.
    """
    policy = sourced.policy
    name = policy.training_dataset
    if not name:
        commands.say("No dataset of the policy is called `train` or `training`: there is nothing to profile.")
        return None, ""
    file, dataset = folder / FILE, policy.data[name]
    try:
        with tempfile.TemporaryDirectory(prefix="slipway-") as beside:
            if dataset.schema_:
                schema = Path(beside) / Path(dataset.schema_).name
                schema.write_text(sourced.gate_file(dataset.schema_), encoding="utf-8")
                dataset = dataset.model_copy(update={"schema_": str(schema)})
            why = run(dataset, policy.spark.remote or "", columns(policy, model), file)
    except (SlipwayError, OSError, subprocess.SubprocessError) as error:
        why = error.what if isinstance(error, SlipwayError) else str(error)
    if not why:
        return file, ""
    remark = f"The dataset `{name}` has no profile, so drift cannot be told from it: {why}"
    commands.warning(remark, title="Profile")
    return None, remark


def columns(policy: Policy, model: Path) -> list[str]:
    """The features and the target; empty where the model does not say what its features are."""
    found = features(model)
    target = policy.evaluation.target if policy.evaluation else ""
    return [*found, *([target] if isinstance(target, str) else target)] if found else []


def features(model: Path) -> list[str]:
    """Names of the inputs in the signature of an MLflow model; empty where it has none, or tensors."""
    try:
        said = yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))
        return [str(each["name"]) for each in json.loads(said["signature"]["inputs"])]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return []


def run(dataset: Dataset, server: str, chosen: Collection[str], file: Path, *, cluster: str = "") -> str:
    """Profile the dataset, whose schema is a file of this machine.

    server: of Spark Connect. cluster: as scripts/profile_data.py takes it.

    Why it failed, in a few words; empty where it did not.
    """
    given = {
        "INPUT_DATA": dataset.path if dataset.stays else datasets.fetch_missing(dataset.path),
        "INPUT_SCHEMA": dataset.schema_ or "",
        "INPUT_COLUMNS": "\n".join(filter(None, chosen)),
        "INPUT_CLUSTER": cluster,
        "INPUT_ENGINE": dataset.engine,
        "INPUT_SPARK_SERVER": server,
        "INPUT_PROFILE": str(file),
    }
    if dataset.engine == "spark":
        given[SPARK_TOKEN] = os.environ.get(SPARK_TOKEN, "")
    python = environments.for_group(GROUPS[dataset.engine])
    done = subprocess.run(
        # Without the job's settings of Python, which are those of the training's environment.
        [str(python), "-E", str(REPOSITORY / "scripts" / "profile_data.py")],
        # Off the runner its errors are plain text: an error here is not one of the step.
        env=command.environ_for({**given, "GITHUB_ACTIONS": "false"}),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode == 0 and file.is_file():
        commands.say(done.stdout.strip())
        return ""
    said = redaction.without_secrets(done.stderr or done.stdout).strip()
    return said.removeprefix("error: ").split("\n")[0][:300] or f"it ended with {done.returncode}"
