"""Records how well NannyML 0.13.1's domain classifier tells rows apart that `rows` draws.

    python domain_of_nannyml.py

Run it in an environment of its own: `pip install nannyml==0.13.1 statsmodels`. It writes domain_of_nannyml.json, since
LightGBM talks on the standard output.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def rows(seed: int, count: int, together: float, shift: float) -> dict[str, Any]:
    """Three normal columns. together: correlation of the first two. shift: of the third."""
    draw = np.random.default_rng(seed)
    one, other, third = draw.standard_normal((3, count))
    return {"a": one, "b": together * one + np.sqrt(1 - together**2) * other, "c": third + shift}


CASES = {"quiet": (0.0, 0.0), "together": (0.8, 0.0), "shifted": (0.0, 0.5)}
COUNT = 2_000


def main() -> None:
    import nannyml
    import pandas as pd

    found: dict[str, float] = {}
    for name, (together, shift) in CASES.items():
        before, now = (pd.DataFrame(rows(*each)) for each in ((1, COUNT, 0.0, 0.0), (2, COUNT, together, shift)))
        calculator = nannyml.DomainClassifierCalculator(feature_column_names=["a", "b", "c"], chunk_size=COUNT)
        calculator.fit(before)
        result = calculator.calculate(now).filter(period="analysis").to_df()
        found[name] = float(result[("domain_classifier_auroc", "value")].iloc[0])
    said = json.dumps({"nannyml": nannyml.__version__, "areas": found}, indent=2)
    Path(__file__).with_suffix(".json").write_text(said + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
