"""The policy's section `retraining`: when a drift report may set off a retraining, and how."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StrictBool, model_validator

from slipway.policy.strict import NUMBER, Strict

Cause = Literal["performance", "estimated_performance", "prediction", "feature"]
Count = Annotated[int, Field(ge=1, le=1_000), NUMBER]
Hours = Annotated[FiniteFloat, Field(ge=0, le=8_784), NUMBER]
Days = Annotated[FiniteFloat, Field(gt=0, le=3_660), NUMBER]


class Persistence(Strict):
    """How often drift must be found before it counts."""

    drifted: Count = 2
    """So many windows must have drifted."""

    windows: Count = 3
    """Of so many newest windows, this one included. Earlier ones are read from the ledger."""

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.drifted > self.windows:
            raise ValueError(f"`drifted: {self.drifted}` can never be met by `windows: {self.windows}`")
        return self


class BackOff(Strict):
    """How much longer to wait after a retraining that did not help."""

    factor: Annotated[FiniteFloat, Field(ge=1, le=100), NUMBER] = 2
    """The cooldown is multiplied by it for each retraining in a row that did not help; 1 never backs off."""

    max_days: Days = 30
    """The longest wait."""


class Refresh(Strict):
    """How a retraining comes by new data."""

    command: Annotated[str, Field(min_length=1)] | tuple[str, ...]
    """Brings the data up to date and changes what pins them in the repository: `.dvc` files, `dvc.lock`, or the
    addresses in `data` of the policy. No shell reads it."""

    requirements: str | None = None
    """A hash-locked file with the packages that it needs; without it the job's own Python is used."""

    timeout_minutes: Annotated[FiniteFloat, Field(gt=0, le=14_400), NUMBER] = 60
    """It is stopped after so long."""


Pattern = Annotated[str, Field(pattern=r"^[^/:].*$", max_length=500)]


class Envelope(Strict):
    """What a retraining may change and still be released without a person."""

    paths: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    """Patterns of files, from the repository's root; `*` stays within a folder, `**` does not. A retraining that
    changes any other file is outside."""

    generations: Count = 1
    """So many retrainings that follow from each other are inside; a person decides on the next."""


class Retraining(Strict):
    """When a drift report may set off a retraining, and how."""

    workflow: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9 _.-]*\.ya?ml$", max_length=100)]
    """File name of the workflow that retrains, below `.github/workflows` of the default branch."""

    event: Literal["workflow_dispatch", "repository_dispatch"] = "workflow_dispatch"
    """How it is started. `workflow_dispatch` needs `actions: write` and gives the run back; `repository_dispatch` needs
    no more than `contents: write`, which the ledger needs anyway."""

    event_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)] = "slipway-retraining"
    """The type that the workflow listens for, with `repository_dispatch`."""

    ref: Annotated[str, Field(min_length=1)] | None = None
    """Branch that is retrained, with `workflow_dispatch`; the default branch by default."""

    causes: Annotated[tuple[Cause, ...], Field(min_length=1)] = (
        "performance",
        "estimated_performance",
        "prediction",
        "feature",
    )
    """What must have drifted: at least one failed check of the drift report has one of these roles."""

    refresh: Refresh | None = None
    """How the workflow that retrains comes by new data."""

    envelope: Envelope | None = None
    """What a retraining may change and still be released without a person; without it a person decides on each."""

    data_quality: Literal["required", "if_given"] = "required"
    """Whether a report of validate-data on the drifted data must be given. One that is given must pass in any case."""

    max_report_age_hours: Annotated[FiniteFloat, Field(gt=0, le=8_784), NUMBER] = 72
    """An older drift report sets off nothing."""

    persistence: Persistence = Persistence()
    """How often drift must be found before it counts."""

    generations: Count = 3
    """So many retrainings may follow from each other before a person has to look."""

    generation_days: Days = 30
    """A retraining follows from the one before if that is no longer ago than this."""

    cooldown_hours: Hours = 24
    """At least so long between two retrainings of the model."""

    per_day: Count = 1
    """At most so many retrainings of the model within any 24 hours."""

    back_off: BackOff = BackOff()
    """How much longer to wait after a retraining that did not help."""

    dry_run: StrictBool = False
    """Decide and record, but start nothing."""

    on_inconclusive: Literal["warn", "fail"] = "warn"
    """What it does to the step where the governor could not decide. Nothing is started in any case."""
