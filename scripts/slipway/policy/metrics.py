"""Names and ranges of the metrics that a policy may ask for: what cannot be meant is refused before anything is run.

How each is calculated is `slipway.evaluation.metrics`; a test holds the two against each other.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

Task = Literal["binary", "multiclass", "multilabel", "ranking", "regression", "forecasting", "text"]
Range = tuple[float, float]

SHARE: Range = (0.0, 1.0)
CORRELATION: Range = (-1.0, 1.0)
SKILL: Range = (-inf, 1.0)
LOSS: Range = (0.0, inf)
ANY: Range = (-inf, inf)

_OF_LABELS = dict.fromkeys(("accuracy", "balanced_accuracy"), SHARE)
_AGREEMENT = dict.fromkeys(("matthews_corrcoef", "cohen_kappa"), CORRELATION)
_OF_NUMBERS = {
    "r2": SKILL,
    "explained_variance": SKILL,
    **dict.fromkeys(
        (
            "mean_absolute_error",
            "mean_squared_error",
            "root_mean_squared_error",
            "mean_squared_log_error",
            "root_mean_squared_log_error",
            "mean_absolute_percentage_error",
            "mean_poisson_deviance",
            "mean_gamma_deviance",
            "median_absolute_error",
        ),
        LOSS,
    ),
}


def _averaged(averages: tuple[str, ...], stems: tuple[str, ...]) -> dict[str, Range]:
    return {f"{stem}_{average}": SHARE for stem in stems for average in averages}


RANGES: Mapping[Task, Mapping[str, Range]] = {
    "binary": {
        **_OF_LABELS,
        **dict.fromkeys(("precision", "recall", "specificity", "negative_predictive_value", "f1", "jaccard"), SHARE),
        **_AGREEMENT,
        "expected_cost": ANY,
        "roc_auc": SHARE,
        "average_precision": SHARE,
        "d2_log_loss_score": SKILL,
        "log_loss": LOSS,
        "brier_score": SHARE,
        "squared_calibration_error": SHARE,
    },
    "multiclass": {
        **_OF_LABELS,
        **_averaged(("macro", "weighted", "micro"), ("precision", "recall", "f1")),
        **_averaged(("macro", "weighted"), ("jaccard",)),
        **_AGREEMENT,
        "roc_auc_ovr": SHARE,
        "d2_log_loss_score": SKILL,
        "log_loss": LOSS,
        "brier_score": (0.0, 2.0),
    },
    "multilabel": {
        "accuracy": SHARE,
        "hamming_loss": SHARE,
        **_averaged(("micro", "macro", "weighted", "samples"), ("precision", "recall", "f1", "jaccard")),
        "label_ranking_average_precision": SHARE,
        "roc_auc_macro": SHARE,
        "roc_auc_micro": SHARE,
        "average_precision_macro": SHARE,
    },
    "ranking": dict.fromkeys(("ndcg", "mean_average_precision", "mean_reciprocal_rank"), SHARE),
    "regression": _OF_NUMBERS,
    "forecasting": {
        **_OF_NUMBERS,
        "mean_absolute_scaled_error": LOSS,
        "symmetric_mean_absolute_percentage_error": LOSS,
        "wape": LOSS,
    },
    "text": {},
}
"""Between which values a metric lies, by task and scikit-learn's name. Those of texts are named by their scorers."""

OF_GROUPS: Mapping[Task, Mapping[str, Range]] = {
    "binary": {"selection_rate": SHARE, "false_positive_rate": SHARE},
    "regression": {"mean_prediction": ANY},
}
"""Metrics that only tell groups apart."""


@dataclass(frozen=True)
class Family:
    """Metrics that differ in a number behind an `@`. symbol: what documentation calls it. example: one that it may be.

    above, below: what the number lies between. whole: whether it is a count.
    """

    symbol: str
    example: str
    range: Range
    above: float = 0.0
    below: float = inf
    whole: bool = False

    @property
    def limits(self) -> str:
        """What the number may be, in words."""
        if self.whole:
            return "a whole number from 1 on"
        return "a number above 0" if self.below == inf else "a share between 0 and 1"


_AT_K = Family("k", "10", SHARE, whole=True)
_QUANTILE = Family("q", "0.9", LOSS, below=1.0)
FAMILIES: Mapping[Task, Mapping[str, Family]] = {
    "binary": {"fbeta": Family("beta", "2", SHARE)},
    "multiclass": {"top_k_accuracy": Family("k", "5", SHARE, whole=True)},
    "ranking": {"ndcg": _AT_K, "precision": _AT_K, "recall": _AT_K},
    "regression": {"mean_pinball_loss": _QUANTILE},
    "forecasting": {"mean_pinball_loss": _QUANTILE},
}

ALSO = {"mase": "mean_absolute_scaled_error", "smape": "symmetric_mean_absolute_percentage_error"}
ALSO |= {"weighted_absolute_percentage_error": "wape", "brier_score_loss": "brier_score"}
"""Other names of the same."""

SHORT: Mapping[str, tuple[str, ...]] = {
    "mae": ("mean_absolute_error",),
    "mse": ("mean_squared_error",),
    "rmse": ("root_mean_squared_error",),
    "msle": ("mean_squared_log_error",),
    "rmsle": ("root_mean_squared_log_error",),
    "mape": ("mean_absolute_percentage_error",),
    "medae": ("median_absolute_error",),
    **dict.fromkeys(("auc", "auroc", "roc"), ("roc_auc", "roc_auc_ovr", "roc_auc_macro")),
    **dict.fromkeys(("pr_auc", "auprc", "ap"), ("average_precision", "average_precision_macro")),
    **dict.fromkeys(("logloss", "cross_entropy"), ("log_loss",)),
    "mcc": ("matthews_corrcoef",),
    "kappa": ("cohen_kappa",),
    **dict.fromkeys(("sensitivity", "tpr"), ("recall", "recall_macro")),
    "tnr": ("specificity",),
    "ppv": ("precision", "precision_macro"),
    "npv": ("negative_predictive_value",),
    "iou": ("jaccard", "jaccard_macro"),
    "map": ("mean_average_precision",),
    "mrr": ("mean_reciprocal_rank",),
}
"""Short names of the field, none of which is near to its metric's name, by what they may stand for."""

INSTEAD = {
    "expected_calibration_error": "squared_calibration_error",
    "ece": "squared_calibration_error",
}
"""What is asked for in vain, since it has no honest interval, and what has one."""


def canonical(name: str, task: Task) -> str:
    """The name of a metric that is asked for by a scorer's or function's name, with or without `neg_` or `_score`.

    Raises ValueError whose message names the nearest known metric.
    """
    known = RANGES[task]
    families = FAMILIES.get(task, {})
    scorer = name.removeprefix("neg_")  # of a loss, whose scorer scikit-learn turns round
    if scorer != name and (scorer == "brier_score" or known.get(scorer) == LOSS):
        name = scorer
    for spelt in (name, name.removesuffix("_score"), ALSO.get(name, "")):
        if spelt in known:
            return spelt
    stem, _, number = name.partition("@")
    if stem in families:
        _check_number(name, stem, families[stem], number)
        return name
    if INSTEAD.get(name) in known:
        raise ValueError(f"`{name}` has no honest interval; take `{INSTEAD[name]}`, which has")
    full = {spelt: each for each in known for spelt in (each, f"{each}_score")}
    full |= {short: long for short, long in ALSO.items() if long in known}
    full |= {form: form for form in (f"{stem}@{each.symbol}" for stem, each in families.items())}
    meant = _meant(name.lower(), full)
    listed = ", ".join(f"`{each}`" for each in meant)
    hint = (
        f"did you mean {' or '.join(listed.rsplit(', ', 1))}?"
        if meant
        else f"known for {task} tasks: {', '.join(sorted({*full.values()}))}"
    )
    raise ValueError(f"`{name}` is no metric for {task} tasks; {hint}")


def _meant(name: str, known: Mapping[str, str]) -> list[str]:
    """What a name may stand for: another way to write it, a short name, one of several averages, or a near one."""
    short = [known[each] for each in (name, *SHORT.get(name, ())) if each in known]
    averages = sorted({each for each in known.values() if each.startswith(f"{name}_")})
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return short[:1] or averages or [known[each] for each in close]


def _check_number(name: str, stem: str, family: Family, number: str) -> None:
    form = f"{stem}@{family.symbol}"
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"`{name}` lacks its number: `{form}`, such as `{stem}@{family.example}`") from None
    if not family.above < value < family.below or (family.whole and not value.is_integer()):
        raise ValueError(f"`{name}`: {family.symbol} of `{form}` must be {family.limits}")


def range_of(name: str, task: Task, *, groups: bool = False) -> Range:
    """Between which values a metric lies. groups: whether it may be one that only tells groups apart.

    Raises ValueError as `canonical`.
    """
    own = OF_GROUPS.get(task, {})
    if groups and name in own:
        return own[name]
    found = canonical(name, task)
    family = FAMILIES.get(task, {}).get(found.partition("@")[0])
    return family.range if family and "@" in found else RANGES[task][found]
