"""What a stage adds to the bare import of the libraries that it cannot do without: start of Python to first work."""

from __future__ import annotations

from pathlib import Path

from slipway.runner import environments
from timing import Ratio, compare, process

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
BUDGET = 1.2

NEEDS = {
    # stage: (all that is imported until the first work is done, the bare libraries)
    "validate-data": (
        "import validate_data, slipway.policy.model; import tabulate",
        "import polars, pandera.polars, pydantic, yaml, tabulate",
    ),
    "train-model": ("import train_model, mlflow, tabulate", "import mlflow, pydantic, yaml, tabulate"),
    "evaluate-model": (
        "import evaluate_model, mlflow, tabulate",
        "import mlflow, polars, numpy, scipy.special, pydantic, yaml, tabulate",
    ),
    "post-report": (
        "import post_report, slipway.github_api.comments, slipway.github_api.client, tabulate",
        "import github, pydantic, tabulate",
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
