"""One look at current data: which columns are distributed otherwise than in the reference, by effect and by chance.

A column drifts only where both hold. The effect: its Jensen-Shannon distance is above a floor that is set in advance,
and above what two samples of these sizes reach without drift. The evidence: the p-value stands after correction over
all columns. Significance alone alarms on every large window, a floor alone on every small one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from slipway.drift import cells, clusters, distances
from slipway.drift.cells import Cells
from slipway.drift.clusters import APART, Alike, Design, Floats
from slipway.drift.distances import Bounded
from slipway.evaluation.multiplicity import benjamini_hochberg
from slipway.policy.drift import Drift
from slipway.profiles import Column, Profile
from slipway.profiles.histogram import Integers
from slipway.report import Verdict, combine

K = TypeVar("K")

MOST_SHOWN = 9
"""Categories that are shown by name."""

EXPECTED = 5.0
"""Fewest rows of a cell that the chi-square distribution is trusted with (Cochran 1954); rarer cells are pooled."""


class Counted(NamedTuple):
    """What one test compares: rows by cell, and those of the current data by cluster and cell where they have one."""

    both: Cells
    parts: Integers | None

    @property
    def shares(self) -> Floats:
        """Of the cells, in reference and current data together."""
        whole = self.both.reference + self.both.current
        return np.asarray(whole / whole.sum())

    @property
    def clustered(self) -> tuple[Integers, Floats] | None:
        """Rows by cluster and cell, and the cells' shares, without cells that hold none; None without clusters."""
        some = self.shares > 0
        return None if self.parts is None else (self.parts[:, some], self.shares[some])


Tests = Mapping[Literal["values", "missing"], Counted]


class Part(NamedTuple):
    """One cell: what it holds, and the shares of reference and current rows in it."""

    label: str
    before: float
    now: float


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One column. None for what was not measured; limit: what `distance` had to be above.

    missing: shares without a value (null, NaN, infinite) of reference and current data.
    """

    name: str
    verdict: Verdict | None
    detail: str
    missing: tuple[float, float]
    role: Literal["feature", "prediction", "quality"] = "feature"
    """`prediction` for what the model answers; `quality` where a delivery is to blame, and no world that changed: gone,
    of another type, without values."""

    distance: float | None = None
    limit: float | None = None
    stability: float | None = None
    kolmogorov_smirnov: Bounded | None = None
    wasserstein: Bounded | None = None
    p_adjusted: float | None = None
    missing_p_adjusted: float | None = None
    importance: float | None = None
    """How much the model's answers hang on it (`drift.importance`); None where that is not known."""

    shape: tuple[Part, ...] = ()
    """The cells that were compared, categories by how many rows they have; empty where they have no names."""

    design_effect: float | None = None
    """Rows that say as much as one independent row, where the policy names a cluster."""

    @property
    def drifted(self) -> bool:
        """Whether it has drifted, in its values or in how many it has."""
        return self.verdict is Verdict.FAIL


def judge(reference: Profile, current: Profile, rules: Drift, parts: Sequence[Profile] = ()) -> tuple[Compared, ...]:
    """Every column of the reference, in its order. Of times, which move on, and of types that are not looked into only
    the share without a value is judged.

    parts: the current data by cluster, where their rows are not independent; they add up to `current`.

    A column that vanished or changed its type has drifted; one with too few values or clusters is inconclusive.
    """
    found = {
        name: _compared(
            name,
            column,
            current.columns.get(name),
            rules,
            [part.columns[name] for part in parts if name in part.columns],
        )
        for name, column in reference.columns.items()
    }
    tests = {(name, kind): counted for name, each in found.items() for kind, counted in each[1].items()}
    alike = _alike(tests)
    raw = [_p_of(counted, alike.get(key, APART)) for key, counted in tests.items()]
    p_values: dict[str, dict[str, float]] = {}
    for (name, kind), p in zip(tests, benjamini_hochberg(raw) if raw else [], strict=True):
        p_values.setdefault(name, {})[kind] = p
    limited = {
        name: _limited(each, tests[name, "values"], rules, alike.get((name, "values"), APART))
        if (name, "values") in tests
        else each
        for name, (each, _) in found.items()
    }
    return tuple(_decided(each, p_values.get(name, {}), rules) for name, each in limited.items())


def verdict(columns: Iterable[Compared]) -> Verdict:
    """Of the whole look: fail with any drift, inconclusive where nothing or not everything could be judged."""
    return combine(each.verdict for each in columns if each.verdict is not None)


def without_waiting(current: Profile, targets: Iterable[str], rules: Drift) -> tuple[Profile, list[str]]:
    """The current data with those truths alone that have come, and the targets of which too few have to be judged.

    A truth that is not known yet is no value that a delivery has lost.
    """
    columns, waiting = dict(current.columns), []
    for name in targets:
        column = columns.get(name)
        known = with_value(column) if column else 0
        if column is None or (known < rules.min_rows <= current.rows):
            waiting.append(name)
        elif column.kind != "empty":
            numbers = replace(column.numbers, nans=0) if column.numbers else None
            nans = column.numbers.nans if column.numbers else 0
            columns[name] = replace(column, rows=column.rows - column.nulls - nans, nulls=0, numbers=numbers)
    return replace(current, columns=columns), waiting


def same_type(reference: Column, current: Column) -> bool:
    """Whether values of the one can be values of the other; a column without a type fits any.

    Numbers of all widths are alike, and so are texts and categories. Truth values are no texts, durations no numbers,
    and a time that lost its zone means another moment.
    """
    if "empty" in (reference.kind, current.kind):
        return True
    return reference.kind == current.kind and _families(reference) == _families(current)


def _families(column: Column) -> set[str]:
    """What the types of its parts mean: both where they differ."""
    found = set()
    for dtype in column.dtypes:
        if dtype in ("Boolean", "Time") or dtype.startswith("Duration"):
            found.add(dtype.partition("(")[0])
        elif dtype.startswith("Datetime"):
            found.add("with a zone" if "time_zone='" in dtype else "any")
        elif dtype != "Null":
            found.add("any")
    return found or {"any"}


def new_columns(reference: Profile, current: Profile) -> tuple[str, ...]:
    """Columns that only the current data have. They are no drift of what the model knows."""
    return tuple(name for name in current.columns if name not in reference.columns)


def _compared(
    name: str, reference: Column, current: Column | None, rules: Drift, parts: Sequence[Column]
) -> tuple[Compared, Tests]:
    """What can be measured without the other columns, and the counts of its tests."""
    missing = (_missing(reference), _missing(current) if current else 1.0)
    if current is None:
        gone = f"`{name}` is not there any more."
        return Compared(name=name, verdict=Verdict.FAIL, detail=gone, missing=missing, role="quality"), {}
    if not same_type(reference, current):
        types = f"`{name}` was {', '.join(reference.dtypes)} and is {', '.join(current.dtypes)}."
        return Compared(name=name, verdict=Verdict.FAIL, detail=types, missing=missing, role="quality"), {}
    if min(reference.rows, current.rows) < rules.min_rows:
        few = f"{min(reference.rows, current.rows):,} rows are too few: {rules.min_rows:,} are asked for."
        return Compared(name=name, verdict=Verdict.INCONCLUSIVE, detail=few, missing=missing), {}
    if rules.cluster and len(parts) < clusters.FEWEST:
        few = f"{len(parts)} clusters (`{rules.cluster}`) are too few: {clusters.FEWEST} are needed."
        return Compared(name=name, verdict=Verdict.INCONCLUSIVE, detail=few, missing=missing), {}
    tests: dict[Literal["values", "missing"], Counted] = {"missing": _with_and_without(reference, current, parts)}
    if reference.kind in ("time", "other"):
        what = "Times move on." if reference.kind == "time" else f"{', '.join(reference.dtypes)} is not looked into."
        return Compared(name=name, verdict=None, detail=what, missing=missing), tests
    if min(with_value(reference), with_value(current)) < rules.min_rows:
        few = f"Fewer than {rules.min_rows:,} rows have a value."
        return Compared(name=name, verdict=Verdict.INCONCLUSIVE, detail=few, missing=missing), tests
    both = cells.of(reference, current)
    tests["values"] = Counted(both, cells.of_parts(reference, current, parts) if parts else None)
    numbers = (reference.numbers, current.numbers) if reference.numbers and current.numbers else None
    measured = Compared(
        name=name,
        verdict=Verdict.PASS,
        detail="",
        missing=missing,
        distance=distances.jensen_shannon(both),
        shape=_shape(both, cells.labels(reference, current), ordered=numbers is not None),
        stability=distances.population_stability(both),
        kolmogorov_smirnov=distances.kolmogorov_smirnov(*(each.histogram for each in numbers)) if numbers else None,
        wasserstein=distances.wasserstein(*numbers) if numbers else None,
    )
    return measured, tests


def _alike(tests: Mapping[K, Counted]) -> Mapping[K, Alike]:
    """For each test how alike clusters and the next ones are; nothing where rows are independent."""
    found = {key: clusters.neighbours(*counts) for key, each in tests.items() if (counts := each.clustered)}
    first, others = (
        clusters.correlations({key: known for key, each in found.items() if (known := each[place])}) for place in (0, 1)
    )
    return {key: (first.get(key, 0.0), others.get(key, 0.0)) for key in found}


def _limited(column: Compared, counted: Counted, rules: Drift, alike: Alike) -> Compared:
    """The column with what its distance must be above: the floor, and what chance reaches with so many rows."""
    found = _design(counted, alike)
    both = counted.both
    before, now = (clusters.effective(int(each.sum()), found) for each in (both.reference, both.current))
    limit = max(rules.floor, distances.jensen_shannon_limit(before, now, len(both.reference)))
    return replace(column, limit=limit, design_effect=found.effect if found else None)


def _decided(column: Compared, p: Mapping[str, float], rules: Drift) -> Compared:
    before, now = column.missing
    reasons = []
    distance, limit = column.distance or 0.0, column.limit or 0.0
    if "values" in p and distance > limit and p["values"] <= rules.false_discoveries:
        reasons.append(f"its distance {distance:.3f} is above {limit:.3f}")
    role = column.role
    if "missing" in p and abs(now - before) > rules.missing_floor and p["missing"] <= rules.false_discoveries:
        reasons.append(f"{now:.1%} have no value, and {before:.1%} had none")
        role = "quality"
    column = replace(column, p_adjusted=p.get("values"), missing_p_adjusted=p.get("missing"))
    if reasons:
        said = f"`{column.name}` has drifted: {'; '.join(reasons)}."
        return replace(column, verdict=Verdict.FAIL, detail=said, role=role)
    return column


def _shape(both: Cells, labels: Sequence[str], *, ordered: bool) -> tuple[Part, ...]:
    """The cells with their names; of categories the most frequent ones, and all others as one."""
    shares = [counts / counts.sum() for counts in (both.reference, both.current)]
    parts = [Part(label, float(p), float(q)) for label, p, q in zip(labels, *shares, strict=False)]
    if ordered:
        return tuple(parts)
    parts.sort(key=lambda part: -(part.before + part.now))
    most, rest = parts[:MOST_SHOWN], parts[MOST_SHOWN:]
    others = [Part("others", sum(part.before for part in rest), sum(part.now for part in rest))] if rest else []
    return (*most, *others)


def _p_of(counted: Counted, alike: Alike) -> float:
    """Of Pearson's test, after cells that expect too few rows of the smaller column were made one."""
    both, parts = counted
    rare = counted.shares * min(both.reference.sum(), both.current.sum()) < EXPECTED
    if rare.sum() >= 2:
        both = Cells(*(np.append(each[~rare], each[rare].sum()) for each in (both.reference, both.current)))
        if parts is not None:
            parts = np.column_stack([parts[:, ~rare], parts[:, rare].sum(axis=1)])
    found = _design(Counted(both, parts), alike)
    return clusters.p_value(both, found) if found else distances.chi_square(both).p_value


def _design(counted: Counted, alike: Alike) -> Design | None:
    """How much less the rows say than independent ones; None where they are independent."""
    known = counted.clustered
    return clusters.design(*known, alike) if known else None


def _with_and_without(reference: Column, current: Column, parts: Sequence[Column]) -> Counted:
    """Rows without a value, and those with one."""
    counts = [np.array([each.rows - with_value(each), with_value(each)]) for each in (reference, current)]
    by_part = np.array([[each.rows - with_value(each), with_value(each)] for each in parts]) if parts else None
    return Counted(Cells(counts[0], counts[1]), by_part)


def with_value(column: Column) -> int:
    """Rows with a value: not null, not NaN, not infinite."""
    unusual = column.numbers
    strange = unusual.nans + unusual.negative_infinities + unusual.positive_infinities if unusual else 0
    return column.rows - column.nulls - strange


def _missing(column: Column) -> float:
    return 1 - with_value(column) / column.rows if column.rows else 1.0
