"""The policy's section `release`: how risky a change is, and which environment must approve it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from slipway.policy.strict import NUMBER, Strict, misplaced

Tier = Literal["low", "medium", "high"]
TIERS: tuple[Tier, ...] = ("low", "medium", "high")
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""GitHub takes more signs; these need no escape in an address or a shell."""

Reviewer = Annotated[str, Field(pattern=r"^(team/)?[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
RAISING: dict[str, Tier] = {"risk: medium": "medium", "risk: high": "high"}
Branch = Annotated[str, Field(pattern=r"^[^\s~^:\\\[][^\s~^:\\]*$", max_length=200)]
Pattern = Annotated[str, Field(pattern=r"^[^/:].*$", max_length=500)]


class Environment(Strict):
    """One GitHub Environment, and how it must be protected."""

    name: EnvironmentName
    """Its name on GitHub."""

    reviewers: Annotated[tuple[Reviewer, ...], Field(max_length=6)] = ()
    """Who may approve: logins, or `team/<slug>` of the repository's organisation. GitHub wants one of them."""

    branches: Annotated[tuple[Branch, ...], Field(min_length=1)] = ("main",)
    """Patterns of the branches from which a job may use it. `*` does not cross a `/`."""

    wait_minutes: Annotated[int, Field(ge=0, le=43_200), NUMBER] = 0
    """How long a job waits at least."""

    self_review: StrictBool = False
    """Whether whoever started the run may approve it."""

    admin_bypass: StrictBool = False
    """Whether administrators may pass without approval."""


class Environments(Strict):
    """The environment that each tier needs."""

    low: Environment
    """What a person need not look at; it may have no reviewers."""

    medium: Environment
    """What needs approval."""

    high: Environment
    """What needs the approval of whoever answers for the model."""


class Tiers(Strict):
    """The tier of each kind of difference between candidate and production. The highest counts."""

    prompt: Tier = "low"
    """A file of `prompts`."""

    threshold: Tier = "low"
    """`evaluation.threshold` of the policy, or a parameter whose name ends in `threshold`."""

    envelope: Tier = "low"
    """New data that a retraining inside of `retraining.envelope` brought."""

    parameters: Tier = "medium"
    """A parameter, the seed or the command."""

    data: Tier = "medium"
    """Another version of a dataset."""

    code: Tier = "medium"
    """A file of the repository that no other kind covers."""

    dependencies: Tier = "medium"
    """A package or the Python of the training environment."""

    image: Tier = "medium"
    """The container or machine image that it was trained on, or the base of the image that serves it."""

    policy: Tier = "medium"
    """A key of slipway.yml."""

    evaluation: Tier = "high"
    """The comparison with production did not pass."""

    features: Tier = "high"
    """What the model takes or gives: names, types and order of columns, or a schema of the data."""

    architecture: Tier = "high"
    """The flavour of the model, its estimators, or the form of its tensors; also where they cannot be told."""

    base_model: Tier = "high"
    """The model that it started from."""

    unknown: Tier = "high"
    """What cannot be compared, because one of the two has no record of it."""

    first_release: Tier = "high"
    """There is no production version."""

    taken_back: Tier = "high"
    """The version was taken back from production, and has not been live there since."""


class Release(Strict):
    """How risky a change is, and which environment must approve it."""

    environments: Environments
    """The environment that each tier needs."""

    tiers: Tiers = Tiers()
    """The tier of each kind of difference."""

    prompts: tuple[Pattern, ...] = ()
    """Patterns of files that hold prompts, from the repository's root; `*` stays within a folder, `**` does not."""

    paths: dict[Pattern, Tier] = Field(default_factory=dict)
    """Tiers of files by pattern, in place of `code`; the first that matches counts."""

    parameters: dict[str, Tier] = Field(default_factory=dict)
    """Tiers of parameters by pattern (`model.*`), in place of `parameters`; the first that matches counts."""

    labels: dict[str, Tier] = Field(default_factory=lambda: dict(RAISING))
    """Labels of the pull request that raise the tier. None lowers it."""

    approval: Literal["environment", "pull_request_review"] = "environment"
    """Who approves: the environment's reviewers, or, where the plan has none, a review of the pull request."""

    @model_validator(mode="after")
    def _somebody_approves(self) -> Self:
        for tier in TIERS[1:]:
            wanted: Environment = getattr(self.environments, tier)
            if self.approval == "environment" and not wanted.reviewers:
                problem = (
                    "needs `reviewers`: without them GitHub lets every job pass. A plan without required reviewers "
                )
                problem += "takes `approval: pull_request_review`"
                raise misplaced([(("environments", tier), problem)])
        names = [getattr(self.environments, tier).name.lower() for tier in TIERS]
        for tier, name in zip(TIERS, names, strict=True):
            first = TIERS[names.index(name)]
            if first != tier and getattr(self.environments, first) != getattr(self.environments, tier):
                problem = f"and `environments.{first}` are one environment (GitHub does not tell capitals apart) that "
                raise misplaced([(("environments", tier), f"{problem}is protected in two ways")])
        return self
