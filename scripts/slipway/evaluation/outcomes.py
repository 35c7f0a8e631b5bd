"""What a model said about the holdout's rows, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What one row of each kind costs, in any unit. Negative: it earns."""

    false_positive: float
    false_negative: float
    true_positive: float = 0.0
    true_negative: float = 0.0


@dataclass(frozen=True)
class Binary:
    """Two classes.

    truth, label: (rows,) True for the positive class.
    probability: (rows,) of the positive class, if the model gives it.
    costs: what right and wrong labels cost, if the policy says so.
    """

    truth: Booleans
    label: Booleans
    probability: Floats | None = None
    costs: Prices | None = None

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Multiclass:
    """Any number of classes.

    truth, label: (rows,) positions in the common list of classes. probability: (rows, classes), if the model gives it.
    """

    truth: Integers
    label: Integers
    classes: int
    probability: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Multilabel:
    """Any number of labels to each row.

    truth, label: (rows, labels) whether the row has, and is given, the label.
    probability: (rows, labels), if the model gives it; they need not add up to 1.
    """

    truth: Booleans
    label: Booleans
    probability: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def labels(self) -> int:
        """How many labels there are."""
        return int(self.truth.shape[1])


@dataclass(frozen=True)
class Ranking:
    """An order of the rows of each query.

    truth: (rows,) grade of relevance, at least 0; above 0 is relevant. score: (rows,) the greater is shown first.
    query: (rows,) a number for each row's query; rows of one query need not be neighbours.
    """

    truth: Floats
    score: Floats
    query: Integers

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Regression:
    """A number. truth, prediction: (rows,)."""

    truth: Floats
    prediction: Floats

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Forecast(Regression):
    """A number with a time. scale: (rows,) what the naive forecast errs by in the row's series, NaN where unknown."""

    scale: Floats


@dataclass(frozen=True)
class Text:
    """Scored texts. scores: (rows,) by the metric's name; whether more is better, by the same name."""

    scores: Mapping[str, Floats]
    greater_is_better: Mapping[str, bool]

    def __len__(self) -> int:
        return len(next(iter(self.scores.values())))


Outcome = Binary | Multiclass | Multilabel | Ranking | Regression | Text
