"""Disturbs the holdout's features as the policy declares: one file for each disturbance, the same for both models."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import polars as pl

from slipway.policy.robustness import Missing, Noise, Perturbation, Robustness, Swap, Units
from slipway.runner.errors import InputError


def perturb_features(features: Path, robustness: Robustness, folder: Path, *, seed: int) -> dict[str, Path]:
    """Write the disturbed features into `folder`; the file of each disturbance by its name.

    The same seed disturbs the same rows. Raises InputError where a column is not there or cannot be disturbed so.
    """
    frame = pl.read_parquet(features)
    written = {}
    for name, said in robustness.declared.items():
        # A seed of its own: whether another disturbance is declared changes nothing.
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        changed = [_changed(name, said, frame, column, random) for column in said.columns]
        written[name] = folder / f"features-{name}.parquet"
        frame.with_columns(changed).write_parquet(written[name])
    return written


def _changed(name: str, said: Perturbation, frame: pl.DataFrame, column: str, random: np.random.Generator) -> pl.Series:
    if column not in frame.columns:
        raise InputError(
            f"The holdout has no column `{column}` to disturb.",
            fix=f"Correct `evaluation.robustness.{name}.columns`. Its columns are: {', '.join(frame.columns)[:500]}.",
        )
    values = frame[column]
    match said:
        case Noise() | Units():
            if not values.dtype.is_numeric():
                raise InputError(
                    f"The column `{column}` holds {values.dtype}, which `robustness.{name}` cannot change.",
                    fix="Name columns of numbers, or use `swap` or `missing`.",
                )
            as_float = values.cast(pl.Float64)
            if isinstance(said, Units):
                changed = as_float * said.factor
            else:
                spread = float(as_float.filter(as_float.is_finite()).std() or 0.0)  # type: ignore[arg-type]
                changed = as_float + pl.Series(random.normal(0, said.scale * spread, len(values)))
            # Whole numbers stay whole: a model's signature refuses others.
            return (_whole(changed, values) if values.dtype.is_integer() else changed).alias(column)
        case Missing():
            hit = pl.Series(random.random(len(values)) < said.share)
            return pl.select(pl.when(hit).then(None).otherwise(values).cast(values.dtype).alias(column)).to_series()
        case Swap():
            rows = np.flatnonzero(random.random(len(values)) < said.share)
            places = np.arange(len(values))
            order = random.permutation(rows)
            places[order] = np.roll(order, 1)  # along a cycle: every row takes the value of another
            return values[places].alias(column)
    raise AssertionError(name)


def _whole(numbers: pl.Series, of: pl.Series) -> pl.Series:
    """Rounded, as the type of `of`; where that does not reach so far, the end of its range."""
    rounded, lowest, highest = numbers.round(), of.lower_bound().item(), of.upper_bound().item()
    held = rounded.cast(of.dtype, strict=False)
    too_low, too_high = rounded <= lowest, rounded >= highest
    whole = pl.when(too_low).then(lowest).when(too_high).then(highest).otherwise(held)
    return pl.select(whole.cast(of.dtype)).to_series()
