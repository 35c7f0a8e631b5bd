"""The policy's section `evaluation.robustness`: how much worse a candidate may get on rows that were disturbed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat

from slipway.policy.strict import NUMBER, Strict

Columns = Annotated[tuple[str, ...], Field(min_length=1)]


class Perturbation(Strict):
    """A disturbance of the features, and how much of a metric it may cost."""

    columns: Columns
    """Columns that are disturbed."""

    metric: str
    """The metric that tells the loss, under scikit-learn's name."""

    max_drop: Annotated[FiniteFloat, Field(ge=0), NUMBER]
    """The candidate may get worse by at most this, in the metric's own unit."""


class Noise(Perturbation):
    """Normal noise on numbers."""

    scale: Annotated[FiniteFloat, Field(gt=0), NUMBER] = 0.1
    """Its standard deviation, in standard deviations of the column."""


class Missing(Perturbation):
    """Values that are lost."""

    share: Annotated[FiniteFloat, Field(gt=0, le=1), NUMBER] = 0.1
    """Share of the rows, drawn for each column."""


class Swap(Perturbation):
    """Values that change places with those of other rows."""

    share: Annotated[FiniteFloat, Field(gt=0, le=1), NUMBER] = 0.1
    """Share of the rows, drawn for each column."""


class Units(Perturbation):
    """Numbers in another unit."""

    factor: Annotated[FiniteFloat, Field(gt=0), NUMBER]
    """What they are multiplied by: 1.609 for miles in place of kilometres."""


class Robustness(Strict):
    """How much worse a candidate may get on rows that were disturbed."""

    noise: Noise | None = None
    """Normal noise on numbers."""

    missing: Missing | None = None
    """Values that are lost."""

    swap: Swap | None = None
    """Values that change places with those of other rows."""

    units: Units | None = None
    """Numbers in another unit."""

    @property
    def declared(self) -> dict[str, Noise | Missing | Swap | Units]:
        """What the policy declares, by name."""
        found = {"noise": self.noise, "missing": self.missing, "swap": self.swap, "units": self.units}
        return {name: each for name, each in found.items() if each is not None}
