"""What a look found, as checks for machines and as table, chart and reasons for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan

from slipway.drift.judging import Compared
from slipway.policy.drift import Drift
from slipway.report import Cell, Chart, Check, Column, Point, Series, Table, Verdict, glyphs
from slipway.report.model import Value

MOST_BARS = 30
MOST_HISTOGRAMS = 8
MOST_REASONS = 20


def checks(columns: Sequence[Compared]) -> tuple[Check, ...]:
    """One for each column that was judged. `role` says what it is about: `feature`, `prediction`, or `quality` of the
    delivery."""
    return tuple(
        Check(
            name=f"{'prediction drift' if each.role == 'prediction' else 'drift'}: {each.name}",
            verdict=each.verdict,
            detail=each.detail,
            values={"role": each.role, **_values(each)},
        )
        for each in columns
        if each.verdict is not None
    )


def table(columns: Sequence[Compared], rules: Drift) -> Table:
    """Every column, what drifted first: predictions, then by importance for the model and by distance."""
    ordered = sorted(columns, key=_order)
    rows: list[tuple[Cell, ...]] = [
        (
            each.name,
            _shapes(each),
            _number(each.importance),
            _number(each.distance),
            _number(each.limit),
            _number(each.stability),
            _number(each.kolmogorov_smirnov.value if each.kolmogorov_smirnov else None),
            _number(each.wasserstein.value if each.wasserstein else None),
            f"{each.missing[0]:.1%} → {each.missing[1]:.1%}",
            f"{each.p_adjusted:.2g}" if each.p_adjusted is not None else "–",
            each.verdict.value if each.verdict else "–",
        )
        for each in ordered
    ]
    named = (
        *("importance", "Jensen-Shannon", "limit", "PSI", "Kolmogorov-Smirnov", "Wasserstein / sd", "without a value"),
        "adjusted p",
    )
    return Table(
        title="Columns against what the model learned from",
        columns=(
            Column(name="column", kind="code"),
            Column(name="then → now"),
            *(Column(name=name, kind="number") for name in named),
            Column(name="verdict", kind="verdict"),
        ),
        rows=tuple(rows),
        note=f"Drift: the Jensen-Shannon distance (0 to 1) is above its limit, {rules.floor:g} or what chance reaches "
        f"with so many rows, and the p-value, adjusted over all columns, is at most {rules.false_discoveries:g}. "
        "Importance: how far the model's answers move, in their standard deviations, when the column is shuffled.",
    )


def chart(columns: Sequence[Compared]) -> tuple[Chart, ...]:
    """The distances, greatest first, and the values of what drifted most."""
    ordered = sorted((each for each in columns if each.distance is not None), key=lambda each: -(each.distance or 0.0))
    points = tuple(Point(label=each.name, y=each.distance or 0.0) for each in ordered[:MOST_BARS])
    if not points:
        return ()
    distances = Chart(kind="bars", title="Distance by column", series=(Series(name="Jensen-Shannon", points=points),))
    drifted = [each for each in ordered if each.drifted and each.shape]
    return (distances, *map(_histogram, drifted[:MOST_HISTOGRAMS]))


def reasons(columns: Sequence[Compared], new: Sequence[str]) -> tuple[str, ...]:
    """What failed, then what is open, then what is new. Of many columns the first are named: the table has all."""
    failed = [each.detail for each in sorted(columns, key=_order) if each.verdict is Verdict.FAIL]
    unsettled = [f"`{each.name}`: {each.detail}" for each in columns if each.verdict is Verdict.INCONCLUSIVE]
    listed = ", ".join(f"`{name}`" for name in new[:10]) + ("…" if len(new) > 10 else "")
    found = [*failed, *unsettled]
    more = [f"{len(found) - MOST_REASONS:,} more are in the table."] if len(found) > MOST_REASONS else []
    return (*found[:MOST_REASONS], *more, *([f"Columns that the model did not learn from: {listed}."] if new else []))


def _shapes(each: Compared) -> str:
    """Small histograms of reference and current data, on one scale."""
    if not each.shape:
        return "–"
    before, now = ([part.before for part in each.shape], [part.now for part in each.shape])
    top = max(*before, *now)
    return f"{glyphs.columns(before, top)} → {glyphs.columns(now, top)}"


def _histogram(each: Compared) -> Chart:
    """Shares of the rows, cell by cell."""
    sides = {"reference": [part.before for part in each.shape], "now": [part.now for part in each.shape]}
    series = tuple(
        Series(
            name=name, points=tuple(Point(label=part.label, y=y) for part, y in zip(each.shape, shares, strict=True))
        )
        for name, shares in sides.items()
    )
    return Chart(kind="bars", title=f"Shares of {each.name}", series=series)


def _values(each: Compared) -> dict[str, Value]:
    found: dict[str, Value] = {
        "distance": each.distance,
        "limit": each.limit,
        "stability": each.stability,
        "p_adjusted": each.p_adjusted,
        "missing_before": each.missing[0],
        "missing_now": each.missing[1],
        "missing_p_adjusted": each.missing_p_adjusted,
        "design_effect": each.design_effect,
        "importance": each.importance,
    }
    for name, bounded in (("kolmogorov_smirnov", each.kolmogorov_smirnov), ("wasserstein", each.wasserstein)):
        if bounded and isfinite(bounded.value):
            found[name] = bounded.value
    return found


def _number(value: float | None) -> str:
    return "–" if value is None or isnan(value) else f"{value:.3f}"


def _order(each: Compared) -> tuple[int, bool, float, float, str]:
    return _rank(each), each.role != "prediction", -(each.importance or 0.0), -(each.distance or 0.0), each.name


def _rank(each: Compared) -> int:
    return {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}[each.verdict] if each.verdict else 3
