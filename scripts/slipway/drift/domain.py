"""Whether rows of today can be told from those of the reference: a classifier tries, and is asked about rows that it
did not learn from (a two-sample test by classifier; Lopez-Paz and Oquab, ICLR 2017, arXiv:1610.06545).

It sees what no single column shows: two columns that moved apart while each alone is as ever. Its area under the ROC
curve is 0.5 where nothing tells them apart, and 1 where everything does. scikit-learn is imported here alone, since
only those install it who ask for this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from slipway.drift.clusters import FEWEST
from slipway.evaluation.findings import Findings
from slipway.evaluation.formulas import Interval
from slipway.evaluation.intervals import of_one
from slipway.evaluation.metrics import Estimate, find
from slipway.evaluation.outcomes import Binary, Booleans, Floats, Integers
from slipway.evaluation.sampling import Sampling
from slipway.policy.drift import DomainClassifier
from slipway.report import Cell, Check, Column, Span, Table, Verdict

FOLDS = 5
SEED = 1610

LEVELS = 254
"""Values of a text column that are told apart, the most frequent ones; scikit-learn's trees take up to 255."""

MOST = 200
"""Columns that are shuffled to see which give it away; with more this would take longer than all else."""

ROWS_SHUFFLED = 1_000
"""Rows of each fold that are asked about again for each column."""

SHOWN = 10

CONFIDENCE = 0.95
"""Of the interval, where the policy has no `evaluation` that says another."""

ROC_AUC = find("roc_auc", "binary")

Classifier = Any


class Features(NamedTuple):
    """Both sides' columns as the classifier takes them. values: (rows, columns), NaN where there is no value."""

    names: tuple[str, ...]
    values: Floats
    texts: Booleans
    """(columns,) which hold numbers of categories."""


@dataclass(frozen=True)
class Told:
    """How well current rows were told from the reference's. weights: area lost when a column is shuffled, greatest
    first; empty where nothing is told apart."""

    area: Interval
    weights: tuple[tuple[str, float], ...]


def judge(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    rules: DomainClassifier,
    *,
    columns: Sequence[str],
    min_rows: int,
    cluster: str | None = None,
    confidence: float = CONFIDENCE,
) -> Findings:
    """One check, `domain classifier`, and the columns that gave the rows away.

    columns: those that it may look at. cluster: the column whose rows of one value are alike; a value is never learned
    from and asked about at once. Where the reference lacks it, each of its rows stands for itself.

    Fail: all of the area's interval is above the floor; pass: none of it is; else inconclusive, and so with too few
    rows, clusters or columns.
    """
    names, left_out = usable(reference, current, columns)
    open_ = _too_few(reference, current, names, min_rows, cluster)
    if open_:
        return unknown(open_)
    features = encoded(reference.select(names), current.select(names))
    truth = np.arange(len(features.values)) >= reference.height
    groups = _groups(reference, current, cluster)
    told = tell_apart(features, truth, groups, confidence=confidence, clustered=cluster is not None)
    return _findings(told, rules, left_out)


def usable(reference: pl.DataFrame, current: pl.DataFrame, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which of the columns both sides have in one form, and which of these look like identifiers and are left out.

    Times move on, and lists and structs are not looked into. An identifier is a text or a whole number that no two rows
    of the sample share: whoever sees a greater one than ever before knows that it is new, and nothing else.
    """
    names, identifiers = [], []
    for name in columns:
        sides = [each[name] for each in (reference, current) if name in each.columns]
        kinds = [_kind(each.dtype) for each in sides]
        if len(sides) < 2 or kinds[0] != kinds[1] or not kinds[0]:
            continue
        counted = all(each.dtype.is_integer() for each in sides) or kinds[0] == "text"
        both = pl.concat([each.cast(pl.String) for each in sides]).drop_nulls() if counted else None
        # Of few rows those of a wide range of amounts differ, too; a thousand seldom do.
        if both is not None and len(both) >= 1_000 and both.n_unique() == len(both):
            identifiers.append(name)
        else:
            names.append(name)
    return names, identifiers


def encoded(reference: pl.DataFrame, current: pl.DataFrame) -> Features:
    """Numbers as they are, texts as the number of their value: the most frequent `LEVELS`, and all others as one."""
    made, texts = [], []
    for name in reference.columns:
        sides = [each[name] for each in (reference, current)]
        if _kind(sides[0].dtype) == "number":
            both = pl.concat([each.cast(pl.Float64) for each in sides])
            made.append(both.to_numpy())
            texts.append(False)
            continue
        both = pl.concat([each.cast(pl.String) for each in sides])
        counts = both.drop_nulls().value_counts(name="rows").sort("rows", name, descending=[True, False])
        known = {value: place for place, value in enumerate(counts[name].head(LEVELS))}
        codes = both.replace_strict(known, default=LEVELS, return_dtype=pl.Float64)
        made.append(codes.set(both.is_null(), None).to_numpy())
        texts.append(True)
    values = np.column_stack(made).astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return Features(tuple(reference.columns), values, np.array(texts))


def tell_apart(features: Features, truth: Booleans, groups: Integers, *, confidence: float, clustered: bool) -> Told:
    """The area over the rows of all folds, each asked of a classifier that learned from the others. Its interval is
    DeLong's, by clusters that of their sums, made wider because the folds' classifiers share their rows.

    truth: (rows,) True for current rows. groups: (rows,) positions; rows of one group are never in two folds.
    """
    from threadpoolctl import threadpool_limits  # scikit-learn's own

    folds = split(truth, groups)
    score = np.empty(len(truth))
    fitted = []
    weights: dict[str, float] = {}
    models = [_classifier(features.texts) for _ in range(FOLDS)]  # so that its libraries are there to be limited
    # Small trees give threads little to do: on a busy machine two took six times the processor's time of one.
    with threadpool_limits(1):
        for fold, model in enumerate(models):
            asked = folds == fold
            model.fit(features.values[~asked], truth[~asked])
            score[asked] = model.predict_proba(features.values[asked])[:, 1]
            fitted.append((model, asked))
        sampling = Sampling(len(truth), confidence, groups if clustered else None)
        area = of_one(replace(ROC_AUC, estimate=_of_folds), Binary(truth, score >= 0.5, score), sampling)
        if area.low > 0.5 and len(features.names) <= MOST:
            weights = dict(_weights(features, truth, fitted))
    return Told(area, tuple(sorted(weights.items(), key=lambda each: (-each[1], each[0]))))


def _of_folds(outcome: Binary) -> Estimate:
    """Of cross-validation the variance is greater than of one test by 1 + folds * tested / learned from (Nadeau and
    Bengio, Machine Learning 52 (2003), section 3; without drift 1.2 to 1.45 times the standard error was measured)."""
    found = ROC_AUC.estimate(outcome)
    return Estimate(found.value, found.influence * np.sqrt(1 + FOLDS / (FOLDS - 1)))


def split(truth: Booleans, groups: Integers) -> Integers:
    """The fold of each row, by group: those with current rows are dealt out first, then all others, so that no fold
    goes without either. Shape (rows,)."""
    random = np.random.default_rng(SEED)
    count = int(groups.max()) + 1
    is_current = np.zeros(count, dtype=bool)
    is_current[groups[truth]] = True
    fold_of = np.empty(count, dtype=np.int64)
    for of_side in (is_current, ~is_current):
        places = random.permutation(np.flatnonzero(of_side))
        fold_of[places] = np.arange(len(places)) % FOLDS
    return fold_of[groups]


def _classifier(texts: Booleans) -> Classifier:
    """Small trees: what is looked for is whether there is a difference, and on no difference great ones learn noise."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=60,
        max_leaf_nodes=15,
        # Folds of clusters are not of equal shares; without this their scores could not be compared.
        class_weight="balanced",
        categorical_features=texts,
        early_stopping=False,
        random_state=SEED,
    )


def _weights(
    features: Features, truth: Booleans, fitted: Sequence[tuple[Classifier, Booleans]]
) -> Iterator[tuple[str, float]]:
    """By column, the area that is lost when its values are shuffled among the rows of each fold (Breiman, Machine
    Learning 45 (2001)): the mean over the folds."""
    random = np.random.default_rng(SEED)
    parts = []
    for model, asked in fitted:
        rows = random.permutation(np.flatnonzero(asked))[:ROWS_SHUFFLED]
        if 2 <= truth[rows].sum() <= len(rows) - 2:
            parts.append((model, features.values[rows], truth[rows]))

    def area(model: Classifier, values: Floats, true: Booleans) -> float:
        score = model.predict_proba(values)[:, 1]
        return ROC_AUC.estimate(Binary(true, score >= 0.5, score)).value

    before = [area(*part) for part in parts]
    for place, name in enumerate(features.names):
        lost = []
        for (model, values, true), was in zip(parts, before, strict=True):
            shuffled = values.copy()
            shuffled[:, place] = random.permutation(shuffled[:, place])
            lost.append(was - area(model, shuffled, true))
        yield name, float(np.mean(lost)) if lost else 0.0


def _kind(dtype: pl.DataType) -> str:
    """`number`, `text`, or nothing for what it is not shown."""
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    return "text" if dtype == pl.String or isinstance(dtype, (pl.Categorical, pl.Enum)) else ""


def _groups(reference: pl.DataFrame, current: pl.DataFrame, cluster: str | None) -> Integers:
    """Positions of the groups, those of the reference first; a value that both sides have is one group."""
    if cluster is None:
        return np.arange(reference.height + current.height)
    now = current[cluster].cast(pl.String)
    if cluster not in reference.columns:
        return np.concatenate([np.arange(reference.height), reference.height + _positions(now)])
    return _positions(pl.concat([reference[cluster].cast(pl.String), now]))


def _positions(values: pl.Series) -> Integers:
    """0, 1, … in the order of first appearance; rows without a value are one group."""
    return values.fill_null("").rank("dense").to_numpy().astype(np.int64) - 1


def _too_few(
    reference: pl.DataFrame, current: pl.DataFrame, names: Sequence[str], min_rows: int, cluster: str | None
) -> str:
    """Why nothing can be told; empty where it can."""
    fewest = min(reference.height, current.height)
    if fewest < min_rows:
        return f"{fewest:,} rows are too few: {min_rows:,} are asked for."
    if not names:
        return "Both sides have no column in common that it may look at."
    for side, rows in (("current data", current), ("reference", reference)):
        if cluster and cluster in rows.columns and rows[cluster].n_unique() < FEWEST:
            count = rows[cluster].n_unique()
            return f"{count} clusters (`{cluster}`) in the {side} are too few: {FEWEST} are needed."
    return ""


def unknown(why: str) -> Findings:
    """Nothing was told, which is never a pass."""
    check = Check(
        name="domain classifier", verdict=Verdict.INCONCLUSIVE, detail=why, values={"role": "feature", "area": None}
    )
    return Findings((check,), (), (f"The domain classifier was not judged: {why}",))


def _findings(told: Told, rules: DomainClassifier, left_out: Sequence[str]) -> Findings:
    area, floor = told.area, rules.floor
    verdict = Verdict.FAIL if area.low > floor else Verdict.PASS if area.high <= floor else Verdict.INCONCLUSIVE
    span = f"{area.low:.3f} to {area.high:.3f}"
    said = f"A classifier tells current rows from the reference's with an area of {area.value:.3f} ({span})"
    detail = f"{said}; the floor is {floor:g}."
    given_away = [name for name, lost in told.weights if lost > 0][:3]
    if given_away and verdict is not Verdict.PASS:
        detail += f" It looks at {', '.join(f'`{name}`' for name in given_away)} most."
    check = Check(
        name="domain classifier",
        verdict=verdict,
        detail=detail,
        values={
            "role": "feature",
            "area": area.value,
            "area_low": area.low,
            "area_high": area.high,
            "floor": floor,
            "given_away_by": ", ".join(given_away),
        },
    )
    reasons = [] if verdict is Verdict.PASS else [detail]
    if left_out:
        listed = ", ".join(f"`{name}`" for name in left_out[:10]) + ("…" if len(left_out) > 10 else "")
        reasons.append(f"The domain classifier was not shown what looks like an identifier: {listed}.")
    return Findings((check,), (_table(told, floor, verdict),), tuple(reasons))


def _table(told: Told, floor: float, verdict: Verdict) -> Table:
    area = told.area
    span = Span(
        text=f"{area.low:.3f} to {area.high:.3f}",
        low=area.low,
        value=area.value,
        high=area.high,
        limit=floor,
        above=False,
    )
    rows: list[tuple[Cell, ...]] = [("all columns", f"{area.value:.3f}", span, verdict.value)]
    rows += [(name, f"{-lost:+.3f}", None, "–") for name, lost in told.weights[:SHOWN] if lost > 0]
    return Table(
        title="Domain classifier: current rows against the reference's",
        columns=(
            Column(name="column", kind="code"),
            Column(name="area under the ROC curve", kind="number"),
            Column(name="interval", kind="number"),
            Column(name="verdict", kind="verdict"),
        ),
        rows=tuple(rows),
        note=f"0.5: nothing tells them apart. Drift: the whole interval is above {floor:g}. Below the first line, what "
        "is lost when the column's values are shuffled. It says nothing of how well the model does.",
    )
