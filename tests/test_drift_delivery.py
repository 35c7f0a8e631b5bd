"""A delivery against a reference: what is found, what is warned of, and what stays open."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from slipway import profiles
from slipway.drift import clusters, delivery
from slipway.policy.against import Against
from slipway.report import Check, Verdict

ROWS = 1000


def frame(rows: int = ROWS, seed: int = 1) -> pl.DataFrame:
    """Numbers, a few categories, times; a tenth of `x` is missing."""
    rng = np.random.default_rng(seed)
    start = datetime(2026, 1, 1)
    return pl.DataFrame(
        {
            "x": rng.normal(size=rows),
            "n": rng.integers(0, 50, rows),
            "kind": rng.choice(["a", "b", "c"], rows),
            "flag": rng.random(rows) < 0.3,
            "at": [start + timedelta(minutes=number) for number in range(rows)],
        }
    ).with_columns(x=pl.when(pl.int_range(rows) % 10 > 0).then("x"))


def judged(
    current: pl.DataFrame, reference: pl.DataFrame | None = None, *, examples: int = 3, **rules: object
) -> dict[str, Check]:
    before = profiles.of_frame((frame() if reference is None else reference).lazy())
    now = profiles.of_frame(current.lazy())
    checks = delivery.judge(before, now, Against.model_validate(rules), examples=examples)
    found = {check.name: check for check in checks}
    assert len(found) == len(checks)
    return found


def not_passed(found: dict[str, Check]) -> dict[str, Verdict]:
    return {name: check.verdict for name, check in found.items() if check.verdict is not Verdict.PASS}


def test_delivery__like_the_reference_passes_every_check() -> None:
    found = judged(frame(seed=2), volume={"min_ratio": 0.5, "max_ratio": 2})
    assert {check.verdict for check in found.values()} == {Verdict.PASS}
    assert {name: check.detail for name, check in found.items()} == {
        "columns": "all 5 of the reference, of its types",
        "volume: at least 0.5 and at most 2 times the reference": "1,000 rows, 1 times the 1,000 of the reference",
        "drift": "nothing found in 4 columns",
        "missing values as before": "nothing found in 5 columns",
        "no new categories": "nothing found in 2 columns",
        "not constant": "nothing found in 4 columns",
    }


def test_delivery__column_that_vanished_or_changed_its_type_fails_whatever_is_ignored() -> None:
    broken = frame(seed=2).drop("x").with_columns(pl.col("n").cast(pl.String))
    found = judged(broken, drift="ignore", missing_jump="ignore", constant="ignore", new_categories="ignore")
    assert not_passed(found) == {"x: as in the reference": Verdict.FAIL, "n: as in the reference": Verdict.FAIL}
    assert found["x: as in the reference"].detail == "`x` is not there any more."
    assert "was Int64 and is String" in found["n: as in the reference"].detail
    assert not_passed(judged(broken, ignore=["x", "n"])) == {}


def test_delivery__times_that_lost_their_zone_fail_and_another_zone_does_not() -> None:
    zoned = frame().with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    assert not_passed(judged(frame(seed=2), zoned)) == {"at: as in the reference": Verdict.FAIL}
    berlin = frame(seed=2).with_columns(pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin"))
    assert not_passed(judged(berlin, zoned)) == {}


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [(499, Verdict.FAIL), (500, Verdict.PASS), (2000, Verdict.PASS), (2001, Verdict.FAIL)],
)
def test_delivery__volume_is_a_ratio_with_both_bounds_included(rows: int, verdict: Verdict) -> None:
    found = judged(frame(rows, seed=2), volume={"min_ratio": 0.5, "max_ratio": 2})
    (check,) = (check for name, check in found.items() if name.startswith("volume"))
    assert check.verdict is verdict
    assert check.values == {"rows": rows, "reference_rows": ROWS, "ratio": rows / ROWS}


def test_delivery__drift_is_warned_of_or_fails_as_the_policy_says() -> None:
    shifted = frame(seed=2).with_columns(pl.col("x") + 1)
    warned = judged(shifted)
    assert not_passed(warned) == {}
    assert warned["x: drift"].detail.startswith("warning only: Jensen-Shannon distance 0.")
    assert warned["x: drift"].values["warning_only"] is True
    assert warned["drift"].detail == "nothing found in 3 other columns"
    assert not_passed(judged(shifted, drift="fail")) == {"x: drift": Verdict.FAIL}
    assert not any("drift" in name for name in judged(shifted, drift="ignore"))


def test_delivery__new_categories_are_named_with_their_rows() -> None:
    row = pl.int_range(ROWS)
    new = frame(seed=2).with_columns(
        kind=pl.when(row < 30).then(pl.lit("z")).when(row < 35).then(pl.lit("y")).otherwise("kind")
    )
    check = judged(new, new_categories="fail")["kind: no new categories"]
    assert (check.verdict, check.count) == (Verdict.FAIL, 35)
    assert check.examples == ("'z' (30 rows)", "'y' (5 rows)")
    quiet = judged(new, new_categories="fail", examples=0)["kind: no new categories"]
    assert (quiet.count, quiet.examples) == (35, ())
    assert "'z'" not in quiet.model_dump_json()


def test_delivery__a_category_of_a_million_values_is_counted_and_named_no_more() -> None:
    many = pl.DataFrame({"kind": pl.Series(range(1_000_000)).cast(pl.String)})
    check = judged(many, frame().select("kind"), new_categories="fail")["kind: no new categories"]
    assert check.verdict is Verdict.FAIL
    assert abs(float(check.values["distinct"] or 0) / 1e6 - 1) < 0.2  # three standard errors
    assert (check.count or 0) > 900_000
    assert check.examples == ()
    # An identifier brings new values in every delivery, which is no finding.
    assert not any("categories" in name for name in judged(many, many))


@pytest.mark.parametrize("broken", [pl.lit(None, pl.Float64), pl.lit(float("nan")), pl.lit(float("inf"))])
def test_delivery__a_jump_of_missing_values_fails(broken: pl.Expr) -> None:
    found = judged(frame(seed=2).with_columns(x=pl.when(pl.int_range(ROWS) % 3 > 0).then("x").otherwise(broken)))
    assert not_passed(found) == {"x: missing values as before": Verdict.FAIL}
    assert found["x: missing values as before"].detail == "40.0% have no value, and 10.0% of the reference"


def test_delivery__missing_values_that_were_filled_are_a_jump_too() -> None:
    found = judged(frame(seed=2).with_columns(pl.col("x").fill_null(0.0)))
    assert not_passed(found) == {"x: missing values as before": Verdict.FAIL}


@pytest.mark.parametrize("column", ["x", "n", "kind", "flag"])
def test_delivery__a_column_that_turned_constant_fails(column: str) -> None:
    before = frame(seed=2)
    value = before[column].drop_nulls()[0]
    found = judged(before.with_columns(pl.when(pl.col(column).is_not_null()).then(pl.lit(value)).alias(column)))
    assert found[f"{column}: not constant"].verdict is Verdict.FAIL
    assert found["not constant"].verdict is Verdict.PASS


def test_delivery__one_value_that_chance_explains_is_open() -> None:
    rare = pl.DataFrame({"flag": [True] + [False] * 9999})
    found = judged(pl.DataFrame({"flag": [False] * 300}), rare)
    # 0.9999 ** 299 = 0.971: nothing is proved by it.
    assert found["not constant"].verdict is Verdict.INCONCLUSIVE
    assert judged(rare, rare)["not constant"].verdict is Verdict.PASS
    constant = pl.DataFrame({"flag": [False] * 500})
    assert not any("constant" in name for name in judged(constant, constant))


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_delivery__too_few_rows_are_inconclusive_and_never_pass(rows: int) -> None:
    found = judged(frame(rows or 1, seed=2).head(rows))
    assert found["drift"].verdict is Verdict.INCONCLUSIVE
    assert found["missing values as before"].verdict is Verdict.INCONCLUSIVE
    assert "fewer than 200" in found["drift"].detail
    assert rows or found["no new categories"].verdict is Verdict.INCONCLUSIVE
    assert not any(check.verdict is Verdict.FAIL for check in found.values())


def test_delivery__without_any_column_to_compare_is_inconclusive() -> None:
    found = judged(frame(), ignore=list(frame().columns))
    assert not_passed(found) == {"columns": Verdict.INCONCLUSIVE}
    assert list(found) == ["columns"]


def test_delivery__a_column_that_never_had_a_value_is_no_obstacle() -> None:
    empty = pl.lit(None, pl.Float64)
    assert not_passed(judged(frame(seed=2).with_columns(x=empty), frame().with_columns(x=empty))) == {}
    lost = judged(frame(seed=2).with_columns(x=pl.lit(None)), frame())
    assert lost["x: missing values as before"].verdict is Verdict.FAIL


def test_delivery__ten_thousand_columns_make_a_few_checks() -> None:
    rng = np.random.default_rng(5)
    wide = pl.DataFrame({f"c{number}": rng.integers(0, 5, 300) for number in range(10_000)})
    again = pl.DataFrame({f"c{number}": rng.integers(0, 5, 300) for number in range(10_000)})
    found = judged(again.with_columns(c7=pl.lit(3, pl.Int64)), wide)
    assert not_passed(found) == {"c7: not constant": Verdict.FAIL}
    assert found["drift"].detail == "nothing found in 9,999 other columns"
    assert len(found) == 6


def test_delivery__of_days_that_are_alike_is_judged_by_days() -> None:
    """Seven days with a weather of their own are no other weather; row by row they are."""
    draw = np.random.default_rng(3)

    def of_days(count: int) -> pl.DataFrame:
        day = np.repeat(np.arange(count), 100)
        return pl.DataFrame({"day": day, "x": draw.normal(size=count)[day] + draw.normal(size=len(day))})

    before, now = profiles.of_frame(of_days(300).lazy().drop("day")), of_days(7)
    parts = clusters.profiles_of(now.lazy(), "day")
    by_rows = delivery.judge(before, profiles.merge(parts), Against(drift="fail"))
    by_days = delivery.judge(before, profiles.merge(parts), Against(drift="fail", cluster="day"), parts)
    assert {check.name for check in by_rows if check.verdict is Verdict.FAIL} == {"x: drift"}
    assert {check.verdict for check in by_days} == {Verdict.PASS}
    few = clusters.profiles_of(now.filter(pl.col("day") < 4).lazy(), "day")
    open_ = delivery.judge(before, profiles.merge(few), Against(cluster="day"), few)
    assert {check.name for check in open_ if check.verdict is Verdict.INCONCLUSIVE} == {
        "drift",
        "missing values as before",
    }
