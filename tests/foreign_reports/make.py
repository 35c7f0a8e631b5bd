"""Make the reports of this folder with the tools themselves. Not run in CI: each tool needs an environment of its own.

    python -m venv tool; tool/bin/pip install evidently==0.7.23 "pandas<3"; tool/bin/python make.py evidently
    … evidently==0.7.4 "pandas<2.3" "numpy<2.1" "scikit-learn<1.6"                … make.py evidently
    … evidently==0.4.40 "pandas<2.3" "numpy<2" "scikit-learn<1.6" "scipy<1.14"    … make.py evidently-old
    … nannyml==0.13.1 "pandas<3" statsmodels                                      … make.py nannyml
    … whylogs[viz]==1.6.4 "pandas<3"                                              … make.py whylogs

Each has a window like the reference (`quiet`) and one in which `age` and `plan` have moved, and `income` has not
(`moved`).
Times of writing are taken out. README.md says where the files of Arize, Vertex and SageMaker come from.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def frame(rows: int, seed: int, *, moved: bool = False, start: str = "2026-01-01") -> Any:
    """Three features, the score of a model, what it predicted, and the truth."""
    random = np.random.default_rng(seed)
    age = random.normal(50 if moved else 40, 10, rows)
    score = 1 / (1 + np.exp(-(age - 40) / 10))
    return pd.DataFrame(
        {
            "time": pd.date_range(start, periods=rows, freq="30min"),
            "age": age,
            "income": random.normal(3, 1, rows),
            "plan": random.choice(list("abc"), rows, p=[0.1, 0.2, 0.7] if moved else [0.5, 0.3, 0.2]),
            "score": score,
            "predicted": (score > 0.5).astype(int),
            "late": (random.random(rows) < score).astype(int),
        }
    )


def windows(rows: int) -> dict[str, Any]:
    """The two windows after the reference."""
    return {
        "quiet": frame(rows, 2, start="2026-03-01"),
        "moved": frame(rows, 3, moved=True, start="2026-03-01"),
    }


FEATURES = ["age", "income", "plan"]


def evidently() -> None:
    """Reports of 0.7 with and without tests, and one with tests of other kinds and of a user's own."""
    from evidently import Report
    from evidently.metrics import MissingValueCount, RowCount, ValueDrift
    from evidently.presets import DataDriftPreset
    from evidently.tests import eq, lt

    name = f"evidently-{version('evidently')}"
    reference = frame(500, 1)[FEATURES]
    for kind, window in windows(500).items():
        for tests in (True, False):
            run = Report([DataDriftPreset()], include_tests=tests).run(window[FEATURES], reference)
            run.save_json(str(HERE / f"{name}-{kind}{'' if tests else '-untested'}.json"))
    gappy = windows(500)["quiet"][FEATURES]
    gappy.loc[:9, "income"] = np.nan
    metrics = [
        RowCount(),
        MissingValueCount(column="income", tests=[eq(0)]),
        ValueDrift(column="age", method="psi"),
        ValueDrift(column="income", method="wasserstein", tests=[lt(0.3)]),
    ]
    Report(metrics).run(gappy, reference).save_json(str(HERE / f"{name}-own-tests.json"))


def evidently_old() -> None:
    """A report and a test suite as 0.4 to 0.6 write them."""
    from evidently.metric_preset import DataDriftPreset
    from evidently.report import Report
    from evidently.test_preset import DataDriftTestPreset
    from evidently.test_suite import TestSuite

    name, reference = f"evidently-{version('evidently')}", frame(500, 1)[FEATURES]
    for kind, window in windows(500).items():
        for what, made in (
            ("report", Report(metrics=[DataDriftPreset()])),
            ("suite", TestSuite(tests=[DataDriftTestPreset()])),
        ):
            made.run(current_data=window[FEATURES], reference_data=reference)
            said = json.loads(made.json())
            said.pop("timestamp")
            write(f"{name}-{what}-{kind}", said)


def nannyml() -> None:
    """Drift by column in both forms and by every method; estimated and realised performance; missing values."""
    import nannyml as nml

    name, reference = f"nannyml-{version('nannyml')}", frame(2000, 1)
    chunks = {"timestamp_column_name": "time", "chunk_size": 500}
    model = {"y_pred_proba": "score", "y_pred": "predicted", "y_true": "late", "problem_type": "classification_binary"}
    columns = [*FEATURES, "score"]
    by_methods = {
        "column_names": ["age", "plan"],
        "continuous_methods": ["kolmogorov_smirnov", "wasserstein"],
        "categorical_methods": ["chi2", "l_infinity"],
    }
    makers = {
        "drift": nml.UnivariateDriftCalculator(column_names=columns, **chunks),
        "methods": nml.UnivariateDriftCalculator(**by_methods, **chunks),
        "reconstruction": nml.DataReconstructionDriftCalculator(column_names=["age", "income", "score"], **chunks),
        "missing": nml.MissingValuesCalculator(column_names=["age"], **chunks),
        "realised": nml.PerformanceCalculator(metrics=["roc_auc"], **model, **chunks),
        "estimated": nml.CBPE(metrics=["roc_auc", "f1"], **model, **chunks),
    }
    for what, maker in makers.items():
        maker.fit(reference)
        for kind, window in windows(1000).items():
            result = maker.estimate(window) if what == "estimated" else maker.calculate(window)
            found = result.to_df()
            (HERE / f"{name}-{what}-{kind}.json").write_text(found.to_json())
            if what == "drift":
                flat = result.filter(period="analysis").to_df(multilevel=False)
                (HERE / f"{name}-{what}-{kind}-records.json").write_text(flat.to_json(orient="records"))


def whylogs() -> None:
    """Scores with and without thresholds, the older drift values, and constraints."""
    import whylogs as why
    from whylogs.core.constraints import ConstraintsBuilder
    from whylogs.core.constraints.factories import greater_than_number, no_missing_values
    from whylogs.viz.drift.column_drift_algorithms import Hellinger, calculate_drift_scores
    from whylogs.viz.utils.drift_calculations import calculate_drift_values

    name, reference = f"whylogs-{version('whylogs')}", why.log(frame(500, 1)[FEATURES]).view()
    for kind, window in windows(500).items():
        view = why.log(window[FEATURES]).view()
        write(f"{name}-scores-{kind}", calculate_drift_scores(view, reference, with_thresholds=True))
        write(f"{name}-untested-{kind}", calculate_drift_scores(view, reference))
        write(f"{name}-values-{kind}", calculate_drift_values(view, reference))
        by = {"age": Hellinger(), "plan": Hellinger()}  # which has no score for texts
        write(f"{name}-hellinger-{kind}", calculate_drift_scores(view, reference, drift_map=by, with_thresholds=True))
        built = ConstraintsBuilder(dataset_profile_view=view)
        built.add_constraint(no_missing_values(column_name="income"))
        built.add_constraint(greater_than_number(column_name="age", number=15))
        write(f"{name}-constraints-{kind}", built.build().generate_constraints_report())


def write(name: str, said: Any) -> None:
    """One report, as `json.dump` writes it."""
    (HERE / f"{name}.json").write_text(json.dumps(said) + "\n")


if __name__ == "__main__":
    {"evidently": evidently, "evidently-old": evidently_old, "nannyml": nannyml, "whylogs": whylogs}[sys.argv[1]]()
