"""What a look reads: what each arm has answered, as counts. The same form whatever the source.

Counts are whole numbers of the time from `since` to the observation's `at`. So a source may give counters, which keep
their `since`, or the counts of one interval after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Literal, Protocol, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, model_validator

MOST_CELLS = 64
"""Cells of a histogram. It bounds the size of the state."""

Count = Annotated[StrictInt, Field(ge=0, le=2**53)]
Counts = Annotated[tuple[Count, ...], Field(max_length=MOST_CELLS)]


class Part(BaseModel):
    """Base of an observation's parts: no undeclared keys, never changed after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Histogram(Part):
    """Numbers in cells. Of all that is said of the numbers only what holds at a bound is exact."""

    bounds: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=MOST_CELLS - 1)]
    """Upper ends of the cells, rising; a number that equals a bound is below it. Latency in seconds."""

    counts: Counts
    """Numbers in each cell (not summed up); the last are those above the last bound."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(one >= next_one for one, next_one in pairwise(self.bounds)):
            raise ValueError("`bounds` must rise")
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError("`counts` needs one number more than `bounds`: those above the last bound")
        return self


class Categories(Part):
    """Predictions by category."""

    categories: Annotated[dict[Annotated[str, Field(max_length=200)], Count], Field(max_length=MOST_CELLS)]
    """How many of each; one that is not named counts as 0."""


class Scores(Part):
    """Scores of labelled predictions."""

    values: Annotated[tuple[Annotated[FiniteFloat, Field(ge=0, le=1)], ...], Field(min_length=1, max_length=MOST_CELLS)]
    """The scores that there are, from 0 to 1, rising; `[0, 1]` for wrong and right."""

    counts: Counts
    """How many labels gave each score."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(one >= next_one for one, next_one in pairwise(self.values)):
            raise ValueError("`values` must rise")
        if len(self.counts) != len(self.values):
            raise ValueError("`counts` needs one number for each of `values`")
        return self


class Arm(Part):
    """What one version has answered from `since` to the observation's time."""

    version: Annotated[str, Field(max_length=200)] | None = None
    """The version; null where the source does not name it."""

    since: AwareDatetime | None
    """When the counts began: the start of the interval, or of the server whose counters these are; null for counters
    of which that is not known, which count from the first look on."""

    requests: Count
    """Requests that were answered or failed."""

    errors: Count | None = None
    """Those that failed; null where it was not measured."""

    latency: Histogram | None = None
    """How long they took, in seconds; null where it was not measured."""

    predictions: Histogram | Categories | None = None
    """What was predicted; null where it was not measured."""

    outcomes: Annotated[dict[Annotated[str, Field(max_length=200)], Scores], Field(max_length=5)] = Field(
        default_factory=dict
    )
    """Labels that arrived in this time, by the name of the score. They may be of earlier predictions."""

    @model_validator(mode="after")
    def _errors_are_requests(self) -> Self:
        if self.errors is not None and self.errors > self.requests:
            raise ValueError(f"{self.errors} errors of {self.requests} requests")
        return self


class Observation(Part):
    """One reading of both arms. Only versions that answer at the same time can be compared."""

    schema_version: Literal[1] = 1
    """Version of this format."""

    at: AwareDatetime
    """When it was read: the end of the time that it is about."""

    share: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = None
    """The canary's share of the requests as the traffic is set; null where the source does not know it."""

    canary: Arm
    """The new version."""

    baseline: Arm
    """The version in production, at the same time."""

    def is_of(self, canary: str, baseline: str) -> bool | None:
        """Whether it is of these two versions; None where it does not name both."""
        named = self.canary.version, self.baseline.version
        if any(said is not None and said != asked for said, asked in zip(named, (canary, baseline), strict=True)):
            return False
        return None if None in named else True

    def begins_after(self, moment: datetime) -> bool:
        """Whether all of it was counted after a moment."""
        return all(arm.since is not None and arm.since >= moment for arm in (self.canary, self.baseline))

    @model_validator(mode="after")
    def _time_runs_forward(self) -> Self:
        if any(arm.since and arm.since > self.at for arm in (self.canary, self.baseline)):
            raise ValueError("`since` is later than `at`")
        return self


class Observations(Protocol):
    """A source of observations: a file, a metrics server, a command, or the target itself."""

    def observe(self, since: datetime | None) -> Sequence[Observation]:
        """Observations later than `since` (all that there are where it is None), oldest first; none is an answer.

        Raises RemoteError where the source cannot be asked, InputError where it says what is no observation.
        """
        ...
