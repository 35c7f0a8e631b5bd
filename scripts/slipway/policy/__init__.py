"""Ground floor: slipway.yml as typed values, and the strict reading of every YAML file that a person writes."""

from slipway.policy.evaluation import Evaluation, Fairness, GapRule, Leakage, MetricRule, Scorer, Slices
from slipway.policy.model import Dataset, Policy, PullRequest, Signing, SigningMethod, Training
from slipway.policy.reading import read_text
from slipway.policy.source import SourcedPolicy, load

__all__ = [
    "Dataset",
    "Evaluation",
    "Fairness",
    "GapRule",
    "Leakage",
    "MetricRule",
    "Policy",
    "PullRequest",
    "Scorer",
    "Signing",
    "SigningMethod",
    "Slices",
    "SourcedPolicy",
    "Training",
    "load",
    "read_text",
]
