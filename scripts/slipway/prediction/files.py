"""stub"""

from __future__ import annotations

from pathlib import Path

from slipway.policy import Evaluation
from slipway.prediction.holdout import Holdout
from slipway.prediction.process import Predictions


def read_predictions(path: Path, holdout: Holdout, evaluation: Evaluation) -> Predictions:
    raise NotImplementedError
