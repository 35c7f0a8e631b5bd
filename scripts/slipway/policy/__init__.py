"""Ground floor: slipway.yml as typed values, and the strict reading of every YAML file that a person writes."""

from slipway.policy.evaluation import Evaluation, MetricRule, Scorer
from slipway.policy.model import Dataset, Policy, PullRequest, Signing, SigningMethod, Training
from slipway.policy.reading import read_text
from slipway.policy.source import SourcedPolicy, load

__all__ = [
    "Dataset",
    "Evaluation",
    "MetricRule",
    "Policy",
    "PullRequest",
    "Scorer",
    "Signing",
    "SigningMethod",
    "SourcedPolicy",
    "Training",
    "load",
    "read_text",
]
