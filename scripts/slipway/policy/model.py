"""The policy: what slipway.yml may say. Unknown keys are errors; the JSON Schema for editors comes from these types."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StrictBool, model_validator

from slipway.policy.against import PRODUCTION, Against
from slipway.policy.canary import Canary
from slipway.policy.dataset import TRAINING_NAMES, Dataset, Spark
from slipway.policy.deployment import Deployment
from slipway.policy.drift import Drift
from slipway.policy.evaluation import Evaluation
from slipway.policy.packaging import Packaging
from slipway.policy.release import Release
from slipway.policy.retraining import Retraining
from slipway.policy.strict import NUMBER, Name, Strict, misplaced
from slipway.policy.training import Training

OnMutable = Literal["warn", "fail"]
Grade = Literal["bytes", "structure", "predictions", "metrics", "none"]
GRADES: tuple[Grade, ...] = ("bytes", "structure", "predictions", "metrics", "none")
"""How well a rebuilt model can match the recorded one, best first."""

SigningMethod = Literal["key", "certificate", "workflow"]


class Signing(Strict):
    """Whose signature a model must carry. What belongs to another method than `method` counts for nothing."""

    method: SigningMethod
    """A key pair of your own, a certificate of an authority of your own, or the identity of a workflow (Sigstore)."""

    public_key: str | None = None
    """Method `key`: path of the public key (PEM, elliptic curve)."""

    certificate_chain: str | None = None
    """Method `certificate`: path of the certificates (PEM) of the authorities that are trusted."""

    identity: str | None = None
    """Method `workflow`: the workflow that must have signed, `https://github.com/<owner>/<name>/.github/workflows/
    <file>@<ref>`. Method `certificate`: common name, address or URI that its certificate must name; any by default."""

    identity_provider: str = "https://token.actions.githubusercontent.com"
    """Method `workflow`: who vouches for the workflow; GitHub's own by default."""

    required: StrictBool = True
    """Whether a version without a signature is refused. A wrong signature always is."""

    @model_validator(mode="after")
    def _the_method_has_what_it_needs(self) -> Self:
        needed = {"key": "public_key", "certificate": "certificate_chain", "workflow": "identity"}[self.method]
        if not getattr(self, needed):
            raise ValueError(f"`method: {self.method}` needs `{needed}`")
        return self


class PullRequest(Strict):
    """What holds in pull requests."""

    gates_from: Literal["base", "head"] = "base"
    """Whose `data`, `spark`, `reproducibility`, `evaluation`, `signing` and `packaging` sections, schemas and public
    keys judge a pull request. With `base` a change cannot loosen its own gate. Only the base branch's own copy of this
    line counts."""


class Reproducibility(Strict):
    """What a candidate must be made from, so that it can be made again."""

    mutable_data: OnMutable = "warn"
    """Whether train-model refuses a dataset that can change under its name, or only says so."""

    grade: Literal["bytes", "structure", "predictions", "metrics"] = "predictions"
    """How well a version that reproduce-model rebuilds must match the recorded one, at least: the same files, the same
    estimator, the same answers for the holdout, or metrics that do not differ."""

    tolerance: Annotated[FiniteFloat, Field(ge=0, le=1), NUMBER] = 1e-6
    """How far a number or probability that the rebuilt model answers may be from the recorded model's: absolutely up to
    1, relative to it above. Labels and texts must be the same."""

    on_inconclusive: Literal["warn", "fail"] = "fail"
    """What becomes of a rebuild that could not be judged, because something did not answer or could not be compared."""


class Policy(Strict):
    """slipway.yml."""

    version: Literal[1]
    """Version of this format."""

    model: Name
    """The model's name in the registry."""

    data: dict[Name, Dataset] = Field(default_factory=dict)
    """The model's datasets by name."""

    spark: Spark = Spark()
    """The Spark of the datasets with `engine: spark`."""

    reproducibility: Reproducibility = Reproducibility()
    """What a candidate must be made from, so that it can be made again."""

    training: Training | None = None
    """How a candidate is made."""

    evaluation: Evaluation | None = None
    """How a candidate is judged against production."""

    drift: Drift | None = None
    """When what production sees is distributed otherwise than what the model learned from."""

    signing: Signing | None = None
    """Whose signature a model must carry before it is deployed."""

    packaging: Packaging | None = None
    """How a registered version becomes an image."""

    retraining: Retraining | None = None
    """When a drift report may set off a retraining, and how."""

    canary: Canary | None = None
    """How a canary is judged against the version beside it."""

    release: Release | None = None
    """How risky a change is, and which environment must approve it."""

    deployment: Deployment | None = None
    """The environments that a version comes to, and what serves there."""

    pull_request: PullRequest = PullRequest()
    """What holds in pull requests."""

    @model_validator(mode="after")
    def _names_are_declared(self) -> Self:
        if self.evaluation and self.evaluation.holdout not in self.data:
            known = ", ".join(self.data) or "none"
            raise ValueError(
                f"`evaluation.holdout` names the dataset `{self.evaluation.holdout}`, which `data` does not declare "
                f"(declared: {known})"
            )
        return self

    @model_validator(mode="after")
    def _a_canary_has_rules(self) -> Self:
        if self.deployment and self.canary is None:
            asked = [name for name, each in self.deployment.environments.items() if each.rollout == "canary"]
            if asked:
                place = ("deployment", "environments", asked[0], "rollout")
                raise misplaced(
                    [(place, "`rollout: canary` needs the section `canary`: docs/judge-canary.md shows it")]
                )
        return self

    @model_validator(mode="after")
    def _an_observed_environment_is_declared(self) -> Self:
        named = self.canary.observations.target if self.canary and self.canary.observations else None
        declared = self.deployment.environments if self.deployment else {}
        if named is not None and named not in declared:
            known = ", ".join(declared) or "none"
            problem = f"names the environment `{named}`, which `deployment` does not declare (declared: {known})"
            raise misplaced([(("canary", "observations", "target"), problem)])
        return self

    @model_validator(mode="after")
    def _a_container_has_an_image(self) -> Self:
        container = self.training.container if self.training else None
        if container and not container.image and not self.packaging:
            why = "needs `image`, by digest, or the section `packaging`, whose `base` it is then"
            raise misplaced([(("training", "container"), why)])
        return self

    @property
    def training_image(self) -> str:
        """The image of the container that the training command runs in; empty where it runs on the machine."""
        container = self.training.container if self.training else None
        if container is None:
            return ""
        return container.image or (self.packaging.base if self.packaging else "")

    @property
    def training_dataset(self) -> str:
        """The dataset that the model is trained on; empty where none has its name."""
        holdout = self.evaluation.holdout if self.evaluation else ""
        return next((name for name in TRAINING_NAMES if name in self.data and name != holdout), "")

    @property
    def candidate_data(self) -> dict[str, Dataset]:
        """The datasets that a candidate is made from and judged on: all but what production sees (`drift.current`)."""
        holdout = self.evaluation.holdout if self.evaluation else ""
        live = self.drift.current if self.drift else ""
        needed = (holdout, self.training_dataset)
        return {name: each for name, each in self.data.items() if name != live or name in needed}

    @model_validator(mode="after")
    def _current_data_are_declared(self) -> Self:
        named = {"current": self.drift.current, "reference": self.drift.reference} if self.drift else {}
        for key, name in named.items():
            if name is not None and name not in self.data:
                known = ", ".join(self.data) or "none"
                raise ValueError(
                    f"`drift.{key}` names the dataset `{name}`, which `data` does not declare (declared: {known})"
                )
        if self.drift and self.drift.domain_classifier and not (self.drift.reference or self.evaluation):
            raise ValueError(
                "`drift.domain_classifier` compares rows, and a profile holds none: name the dataset under "
                "`drift.reference`, or the holdout of `evaluation`"
            )
        return self

    @model_validator(mode="after")
    def _references_are_declared(self) -> Self:
        for name, dataset in self.data.items():
            said = dataset.against
            if said is None or said.reference == PRODUCTION or said.is_profile:
                continue
            if said.reference == name or said.reference not in self.data:
                others = ", ".join(each for each in self.data if each != name) or "none"
                raise ValueError(
                    f"`data.{name}.against.reference` is `{said.reference}`: give `production`, another dataset "
                    f"(declared: {others}), or the path of a profile (.json)"
                )
        return self

    def reference_data(self, against: Against) -> Dataset | None:
        """The dataset that another one is held against; None where `reference` names none."""
        return None if against.reference == PRODUCTION or against.is_profile else self.data.get(against.reference)

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of all that the policy says, comments and layout left out."""
        said = self.model_dump(mode="json", by_alias=True)
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
