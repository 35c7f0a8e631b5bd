"""The policy's section `data.<name>.against`: what a delivery is held against beside its schema."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from slipway.policy.strict import NUMBER, Share, Strict

PRODUCTION = "production"
"""Instead of a dataset's name or a profile's path: what the version in production learned from."""

Finding = Literal["ignore", "warn", "fail"]
Ratio = Annotated[FiniteFloat, Field(gt=0), NUMBER]


class Volume(Strict):
    """How many rows a delivery may have, as a multiple of the reference's."""

    min_ratio: Ratio | None = None
    """At least so many times the rows of the reference."""

    max_ratio: Ratio | None = None
    """At most so many times the rows of the reference."""

    @model_validator(mode="after")
    def _some_number_fits(self) -> Self:
        if self.min_ratio is None and self.max_ratio is None:
            raise ValueError("give `min_ratio`, `max_ratio` or both")
        if self.min_ratio is not None and self.max_ratio is not None and self.min_ratio > self.max_ratio:
            raise ValueError(f"`min_ratio` ({self.min_ratio:g}) is above `max_ratio` ({self.max_ratio:g})")
        return self


class Against(Strict):
    """What a delivery is held against beside its schema: an earlier one, or what the model learned from."""

    reference: str = PRODUCTION
    """`production`, the profile of what the version in production learned from; the name of another dataset under
    `data`; or the path of a profile (`.json`, see docs/profiles.md)."""

    volume: Volume | None = None
    """Bounds of the rows as a multiple of the reference's; not looked at by default."""

    drift: Finding = "warn"
    """What a column does that is distributed otherwise: `fail` the dataset, `warn` in the report, or `ignore`."""

    new_categories: Finding = "warn"
    """What values do that the reference does not have, in a column of at most 512 different ones."""

    missing_jump: Finding = "fail"
    """What a changed share of rows without a value (null, NaN, infinite) does."""

    constant: Finding = "fail"
    """What a column does that holds one value only, where the reference has several and chance does not explain it."""

    floor: Share = 0.1
    """Jensen-Shannon distance (0 to 1) that a column must be above to have drifted, however many rows there are."""

    missing_floor: Share = 0.05
    """Change of the share of rows without a value that a jump must be above."""

    false_discoveries: Share = 0.05
    """Share of what is called drift or a jump that may be wrong (Benjamini-Hochberg over all columns)."""

    min_rows: Annotated[int, Field(ge=20), NUMBER] = 200
    """Rows with a value that a column needs on both sides; with fewer it is inconclusive."""

    cluster: str | None = None
    """Column of the data whose rows of one value are alike, such as the day: chance is then that between the clusters,
    not between rows."""

    ignore: tuple[str, ...] = ()
    """Columns that are not compared: identifiers, counters."""

    @property
    def is_profile(self) -> bool:
        """Whether `reference` is the path of a profile."""
        return self.reference.endswith(".json")
