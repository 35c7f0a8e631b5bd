"""Ground floor: slipway.yml as typed values, and the strict reading of every YAML file that a person writes."""

from slipway.policy.against import Against, Volume
from slipway.policy.canary import Canary, CanaryMetrics, CanaryStage
from slipway.policy.columns import missing_columns
from slipway.policy.deployment import Deployment, DeploymentEnvironment
from slipway.policy.drift import Drift
from slipway.policy.evaluation import Evaluation, Isolation, Leakage
from slipway.policy.groups import Fairness, Slices
from slipway.policy.latency import Latency, LeastRule, MostRule
from slipway.policy.model import Dataset, Policy, PullRequest, Signing, SigningMethod
from slipway.policy.packaging import Packaging, PackagingLimits, Vulnerabilities
from slipway.policy.reading import read_text
from slipway.policy.retraining import BackOff, Persistence, Retraining
from slipway.policy.robustness import Missing, Noise, Perturbation, Robustness, Swap, Units
from slipway.policy.rules import GapRule, MetricRule
from slipway.policy.scorers import Scorer
from slipway.policy.source import SourcedPolicy, load
from slipway.policy.training import Container, Training

__all__ = [
    "Against",
    "BackOff",
    "Canary",
    "CanaryMetrics",
    "CanaryStage",
    "Container",
    "Dataset",
    "Deployment",
    "DeploymentEnvironment",
    "Drift",
    "Evaluation",
    "Fairness",
    "GapRule",
    "Isolation",
    "Latency",
    "Leakage",
    "LeastRule",
    "MetricRule",
    "Missing",
    "MostRule",
    "Noise",
    "Packaging",
    "PackagingLimits",
    "Persistence",
    "Perturbation",
    "Policy",
    "PullRequest",
    "Retraining",
    "Robustness",
    "Scorer",
    "Signing",
    "SigningMethod",
    "Slices",
    "SourcedPolicy",
    "Swap",
    "Training",
    "Units",
    "Volume",
    "Vulnerabilities",
    "load",
    "missing_columns",
    "read_text",
]
