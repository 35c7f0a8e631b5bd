"""The columns that a later stage will ask a dataset for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slipway.policy import Evaluation
from slipway.report.model import Check, Verdict

NAMES_SHOWN = 20


def columns(holdout: str, evaluation: Evaluation, there: Sequence[str]) -> Iterator[Check]:
    """A failing check for each column that the evaluation names and the holdout lacks. there: the columns it has."""
    for key in ("target", "cluster", "query", "series", "time"):
        said = getattr(evaluation, key)
        for name in evaluation.targets if key == "target" else [said] if said else []:
            if name not in there:
                detail = f"`evaluation.{key}` names it; the columns are {', '.join(there[:NAMES_SHOWN])}"
                yield Check(name=f"{holdout}: column {name}", verdict=Verdict.FAIL, detail=detail)
