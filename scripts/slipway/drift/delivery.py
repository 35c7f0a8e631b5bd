"""A delivery held against a reference before anything is computed from it: from the profiles of both alone.

What drifted is decided as in `judging`: by an effect above a floor and by a chance that is corrected over all columns.
A column is named where something is wrong with it; what all other columns passed is one check, so that a frame of ten
thousand columns has a report of a few lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from slipway.drift import clusters, judging
from slipway.drift.judging import Compared
from slipway.policy.against import Against, Finding
from slipway.policy.drift import Drift
from slipway.profiles import Column, Profile
from slipway.profiles.categories import Categories
from slipway.report import Check, Verdict
from slipway.report.model import Value

NAMES_SHOWN = 10


@dataclass
class CheckKind:
    """One kind of check over all columns: what was found of it so far. does: what the policy says it does."""

    name: str
    does: Finding
    judged: int = 0
    found: list[Check] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)

    def add(
        self,
        column: str,
        detail: str,
        values: Mapping[str, Value],
        *,
        count: int | None = None,
        examples: tuple[str, ...] = (),
    ) -> None:
        """A column with which something is wrong."""
        self.found.append(
            warned_or_failed(
                Check(
                    name=f"{column}: {self.name}",
                    verdict=Verdict.FAIL,
                    detail=detail,
                    count=count,
                    examples=examples,
                    values=dict(values),
                ),
                self.does,
            )
        )

    def checks(self, why_unsettled: str) -> Iterator[Check]:
        """One for each column with which something is wrong, and one for all others; none where nothing was asked."""
        if self.does == "ignore":
            return
        yield from self.found
        if self.unsettled:
            detail = f"{_columns(len(self.unsettled))} not judged, {why_unsettled}: {_listed(self.unsettled)}"
            yield Check(name=self.name, verdict=Verdict.INCONCLUSIVE, detail=detail)
        elif self.judged > len(self.found):
            others = "other " if self.found else ""
            detail = f"nothing found in {_columns(self.judged - len(self.found), others)}"
            yield Check(name=self.name, verdict=Verdict.PASS, detail=detail)


def judge(
    reference: Profile, current: Profile, rules: Against, parts: Sequence[Profile] = (), *, examples: int = 3
) -> tuple[Check, ...]:
    """The checks of a delivery: columns, volume, drift, missing values, new categories, constant columns.

    parts: the delivery by cluster, where `rules.cluster` is given; they add up to `current`.

    Only columns of the reference are judged, those that `rules.ignore` names left out. examples: 0 quotes no value.
    What could not be measured is inconclusive.
    """
    known = {name: column for name, column in reference.columns.items() if name not in rules.ignore}
    found = judging.judge(replace(reference, columns=known), current, _as_drift(rules), parts)
    broken = {
        name
        for name, column in known.items()
        if name not in current.columns or not judging.same_type(column, current.columns[name])
    }
    whole = [each for each in found if each.name not in broken]
    return (
        *_columns_check(found, broken),
        *_volume(reference.rows, current.rows, rules),
        *_drift(whole, known, rules),
        *_missing(whole, rules),
        *_new_categories(known, current, broken, rules, examples),
        *_constant(known, current, broken, rules),
    )


def warned_or_failed(check: Check, does: Finding) -> Check:
    """A violation as the policy weighs it: as it is, or shown and failing nothing."""
    if does == "fail":
        return check
    update = {
        "verdict": Verdict.PASS,
        "detail": f"warning only: {check.detail}",
        "values": {**check.values, "warning_only": True},
    }
    return check.model_copy(update=update)


def _or_clusters(rules: Against) -> str:
    return f" or {clusters.FEWEST} clusters" if rules.cluster else ""


def _as_drift(rules: Against) -> Drift:
    return Drift(
        current="delivery",
        floor=rules.floor,
        missing_floor=rules.missing_floor,
        false_discoveries=rules.false_discoveries,
        min_rows=rules.min_rows,
        cluster=rules.cluster,
    )


def _columns_check(found: tuple[Compared, ...], broken: Collection[str]) -> Iterator[Check]:
    """What the reference has and the delivery has not, which fails whatever else the policy says."""
    for each in found:
        if each.name in broken:
            yield Check(name=f"{each.name}: as in the reference", verdict=Verdict.FAIL, detail=each.detail)
    if not found:
        yield Check(name="columns", verdict=Verdict.INCONCLUSIVE, detail="no column of the reference is compared")
    elif not broken:
        yield Check(name="columns", verdict=Verdict.PASS, detail=f"all {len(found):,} of the reference, of its types")


def _volume(before: int, now: int, rules: Against) -> Iterator[Check]:
    if rules.volume is None:
        return
    low, high = rules.volume.min_ratio, rules.volume.max_ratio
    bounds = [f"at least {low:g}" if low else "", f"at most {high:g}" if high else ""]
    name = f"volume: {' and '.join(filter(None, bounds))} times the reference"
    if not before:
        yield Check(name=name, verdict=Verdict.INCONCLUSIVE, detail="the reference has no rows")
        return
    ratio = now / before
    fits = (low is None or ratio >= low) and (high is None or ratio <= high)
    detail = f"{now:,} rows, {ratio:.3g} times the {before:,} of the reference"
    values: dict[str, Value] = {"rows": now, "reference_rows": before, "ratio": ratio}
    yield Check(name=name, verdict=Verdict.PASS if fits else Verdict.FAIL, detail=detail, values=values)


def _drift(found: list[Compared], known: Mapping[str, Column], rules: Against) -> Iterator[Check]:
    kind = CheckKind("drift", rules.drift)
    for each in found:
        if each.distance is None or each.limit is None or each.p_adjusted is None:
            # Times move on, other types are not looked into, and where neither side has a value nothing is compared.
            if known[each.name].kind in ("number", "category") and min(each.missing) < 1:
                kind.unsettled.append(each.name)
            continue
        kind.judged += 1
        if each.distance > each.limit and each.p_adjusted <= rules.false_discoveries:
            detail = f"Jensen-Shannon distance {each.distance:.3f}, above {each.limit:.3f}"
            values: dict[str, Value] = {"distance": each.distance, "limit": each.limit, "p_adjusted": each.p_adjusted}
            kind.add(each.name, detail, values)
    yield from kind.checks(f"with fewer than {rules.min_rows:,} values on one side{_or_clusters(rules)}")


def _missing(found: list[Compared], rules: Against) -> Iterator[Check]:
    kind = CheckKind("missing values as before", rules.missing_jump)
    for each in found:
        if each.missing_p_adjusted is None:
            kind.unsettled.append(each.name)
            continue
        kind.judged += 1
        before, now = each.missing
        if abs(now - before) > rules.missing_floor and each.missing_p_adjusted <= rules.false_discoveries:
            detail = f"{now:.1%} have no value, and {before:.1%} of the reference"
            values: dict[str, Value] = {"before": before, "now": now, "p_adjusted": each.missing_p_adjusted}
            kind.add(each.name, detail, values)
    yield from kind.checks(f"with fewer than {rules.min_rows:,} rows on one side{_or_clusters(rules)}")


def _new_categories(
    known: Mapping[str, Column], current: Profile, broken: Collection[str], rules: Against, examples: int
) -> Iterator[Check]:
    """Values that the reference does not have. Where it has too many to name them, every delivery brings new ones."""
    kind = CheckKind("no new categories", rules.new_categories)
    for name, column in known.items():
        now = current.columns.get(name)
        before, here = column.categories, now.categories if now else None
        if name in broken or before is None or here is None or before.named is None:
            continue
        if not before.distinct or not here.distinct:
            kind.unsettled += [name] if before.distinct or here.distinct else []
            continue
        kind.judged += 1
        if here.named is None:
            rows = int(here.in_buckets[before.in_buckets == 0].sum())
            detail = f"about {here.distinct:,.0f} different values, and {before.distinct:,} in the reference"
            kind.add(name, detail, {"distinct": here.distinct, "before": before.distinct}, count=rows)
            continue
        new = {value: count for value, count in here.named.items() if value not in before.named}
        if new:
            rows, most = sum(new.values()), sorted(new, key=lambda value: (-new[value], value))
            shown = tuple(f"{value!r} ({new[value]:,} rows)" for value in most[: NAMES_SHOWN if examples else 0])
            detail = f"{len(new):,} {'value' if len(new) == 1 else 'values'} that the reference does not have"
            kind.add(name, detail, {"new": len(new)}, count=rows, examples=shown)
    yield from kind.checks("without any value on one side")


def _constant(
    known: Mapping[str, Column], current: Profile, broken: Collection[str], rules: Against
) -> Iterator[Check]:
    """Columns with one value where the reference has several. Of times, which move on, none is looked at.

    That all other rows have the value of the first has by chance the probability (its share in the reference) **
    (n - 1); it must be at most `false_discoveries` over the number of columns (Bonferroni).
    """
    kind = CheckKind("not constant", rules.constant)
    for name, column in known.items():
        now = current.columns.get(name)
        if name in broken or now is None or column.kind not in ("number", "category") or _single(column):
            continue
        rows = judging.with_value(now)
        if not rows or now.kind == "empty":
            continue  # the check of missing values has it
        if not _single(now):
            kind.judged += 1
            continue
        by_chance = _share_of_single(column, now) ** (rows - 1)
        if by_chance <= rules.false_discoveries / len(known):
            kind.judged += 1
            kind.add(name, f"all {rows:,} rows with a value have the same one", {"rows": rows})
        else:
            kind.unsettled.append(name)
    yield from kind.checks("whose one value so few rows may have by chance")


def _single(column: Column) -> bool:
    """Whether all its values are the same one."""
    if column.numbers is not None:
        return column.numbers.minimum >= column.numbers.maximum
    return column.categories is None or column.categories.distinct <= 1


def _share_of_single(reference: Column, current: Column) -> float:
    """The share of the reference's values that may be the current column's only one; at most, where bins are wide."""
    if reference.numbers is not None and current.numbers is not None:
        bins, value = reference.numbers.histogram, current.numbers.minimum
        around = (bins.lower <= value) & (value <= bins.upper)
        return float(bins.counts[around].sum()) / max(bins.total, 1)
    before, now = reference.categories or Categories(), current.categories or Categories()
    if before.named is not None:
        return before.named.get(next(iter(now.named or {}), ""), 0) / max(sum(before.named.values()), 1)
    here = np.asarray(now.in_buckets) > 0
    return float(before.in_buckets[here].sum()) / max(int(before.in_buckets.sum()), 1)


def _columns(number: int, which: str = "") -> str:
    return f"{number:,} {which}column{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + ("…" if len(names) > NAMES_SHOWN else "")
