"""What a model said about the holdout's rows, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Binary:
    """Two classes.

    truth, label: (rows,) True for the positive class.
    probability: (rows,) of the positive class, if the model gives it.
    """

    truth: Booleans
    label: Booleans
    probability: Floats | None = None

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
class Regression:
    """A number. truth, prediction: (rows,)."""

    truth: Floats
    prediction: Floats

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Text:
    """Scored texts. scores: (rows,) by the metric's name; whether more is better, by the same name."""

    scores: Mapping[str, Floats]
    greater_is_better: Mapping[str, bool]

    def __len__(self) -> int:
        return len(next(iter(self.scores.values())))


Outcome = Binary | Multiclass | Regression | Text
