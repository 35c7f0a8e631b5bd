"""What a stage adds to the bare import of the libraries that it cannot do without: start of Python to first work."""

from __future__ import annotations

from pathlib import Path

from slipway.runner import environments
from timing import Ratio, compare, process

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
BUDGET = 1.2

# `import pydantic` alone loads next to nothing: what a model class needs comes with the names that are used.
PYDANTIC = "from pydantic import BaseModel, Field, FiniteFloat"
NEEDS = {
    # stage: (all that is imported until the first work is done, the bare libraries)
    "validate-data": (
        "import validate_data, slipway.validating.judging, slipway.policy.model, tabulate",
        f"import polars, pandera.polars, yaml, tabulate; {PYDANTIC}",
    ),
    "train-model": ("import train_model, mlflow, tabulate", f"import mlflow, yaml, tabulate; {PYDANTIC}"),
    "evaluate-model": (
        "import evaluate_model, mlflow, tabulate",
        f"import mlflow, polars, numpy, scipy.special, yaml, tabulate; {PYDANTIC}",
    ),
    "post-report": (
        "import post_report, slipway.github_api.comments, slipway.github_api.client, tabulate",
        f"import github, tabulate; {PYDANTIC}",
    ),
}


def measure() -> list[Ratio]:
    """One ratio for each stage, in its own environment."""
    ratios = []
    for group, (stage, bare) in NEEDS.items():
        python = str(environments.for_group(group))
        ours = process([python, "-c", stage], PYTHONPATH=str(SCRIPTS))
        ratios.append(compare(f"{group}: start to first work", ours, process([python, "-c", bare]), budget=BUDGET))
    return ratios
