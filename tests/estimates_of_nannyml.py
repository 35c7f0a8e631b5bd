"""Records what NannyML 0.13.1 estimates (CBPE) on rows that `rows` draws.

    python estimates_of_nannyml.py > estimates_of_nannyml.json

Run it in an environment of its own: `pip install nannyml==0.13.1 statsmodels`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


def rows(seed: int, count: int, shift: float, squeeze: float) -> dict[str, Any]:
    """Scores, labels and truths. shift: of the feature. squeeze: how much too sure (above 1) the scores are."""
    draw = np.random.default_rng(seed)
    z = 1.5 * (draw.standard_normal(count) + shift)
    truth = draw.random(count) < 1 / (1 + np.exp(-z))
    score = 1 / (1 + np.exp(-squeeze * z))
    return {"score": score, "label": score >= 0.5, "truth": truth}


CASES = {"calibrated": 1.0, "too sure": 3.0}
COUNT = 5_000


def main() -> None:
    import nannyml
    import pandas as pd

    found: dict[str, dict[str, float]] = {}
    for name, squeeze in CASES.items():
        sides = [pd.DataFrame(rows(seed, COUNT, shift, squeeze)).astype(float) for seed, shift in ((1, 0), (2, 0.7))]
        estimator = nannyml.CBPE(
            metrics=["roc_auc", "f1", "precision", "recall", "accuracy"],
            y_pred="label",
            y_pred_proba="score",
            y_true="truth",
            problem_type="classification_binary",
            chunk_size=COUNT,
        )
        estimator.fit(sides[0])
        result = estimator.estimate(sides[1]).filter(period="analysis").to_df()
        metrics = ("roc_auc", "f1", "precision", "recall", "accuracy")
        found[name] = {each: float(result[(each, "value")].iloc[0]) for each in metrics}
        found[name]["needs_calibration"] = bool(estimator.needs_calibration)
    json.dump({"nannyml": nannyml.__version__, "estimates": found}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
