"""The policy: what slipway.yml may say. Unknown keys are errors; the JSON Schema for editors comes from these types."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

OnInconclusive = Literal["warn", "fail"]
OnMutable = Literal["warn", "fail"]
Task = Literal["binary", "multiclass", "regression"]
SigningMethod = Literal["key", "certificate", "workflow"]
Label = StrictBool | StrictInt | StrictStr
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$", max_length=200)]
"""Letters, digits, space, `_`, `.`, `-`: what every registry, file system and container tag can carry."""


def _no_truth_value(value: object) -> object:
    """YAML reads `yes` and `on` as true, which would count as the number 1 and open a gate wide."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


NUMBER = BeforeValidator(_no_truth_value)
"""Stands last in `Annotated`, so that the limits before it reach the JSON Schema."""


class Strict(BaseModel):
    """Frozen, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Strict):
    """One dataset of the model."""

    path: str
    """File, folder or glob of parquet or CSV, relative to the repository; or a URI: `s3://`, `gs://`, `az://`,
    `lakefs://`, `hf://`."""

    schema_: str | None = Field(default=None, alias="schema")
    """Path of the pandera schema (YAML) that the dataset must satisfy."""


class Training(Strict):
    """How a candidate is made."""

    command: str | Annotated[list[str], Field(min_length=1)]
    """The command, run without a shell from the repository's root: `python train.py`, `dvc repro`, `mlflow run .`."""

    requirements: str | None = None
    """A requirements file (best: hash-locked) from which Slipway builds the command's Python environment.
    Without it the command runs with the Python that the job has on its PATH."""

    parameters: str | None = None
    """A YAML or JSON file of parameters; logged to the run and kept in the provenance."""

    model: str | None = None
    """Where the command leaves an MLflow model folder, if it does not log the model to the run itself."""

    code: Annotated[list[str], Field(min_length=1)] | None = None
    """Files and folders of the repository that the model follows from. Where they, the data, the environment and the
    policy are as in an earlier training, that one is reused. By default everything in the repository."""

    seed: Annotated[int, NUMBER] | None = None
    """Exported to the command as SLIPWAY_SEED and PYTHONHASHSEED, and kept in the provenance."""

    timeout_minutes: Annotated[FiniteFloat, Field(gt=0, le=7200), NUMBER] = 350
    """The command is stopped after this time; below GitHub's own limit of 6 hours by default."""

    experiment: str | None = None
    """The MLflow experiment; the model's name by default."""


class MetricRule(Strict):
    """What a metric must satisfy. Without any rule the metric is shown and gates nothing."""

    margin: Annotated[FiniteFloat, Field(ge=0), NUMBER] | None = None
    """Non-inferiority: the candidate may be worse than production by less than this, in the metric's own unit."""

    better_by: Annotated[FiniteFloat, Field(ge=0), NUMBER] | None = None
    """Superiority: the candidate must be better than production by more than this."""

    min: Annotated[FiniteFloat, NUMBER] | None = None
    """The candidate's own value must be at least this."""

    max: Annotated[FiniteFloat, NUMBER] | None = None
    """The candidate's own value must be at most this."""

    @model_validator(mode="after")
    def _one_relative_gate(self) -> Self:
        if self.margin is not None and self.better_by is not None:
            raise ValueError("`margin` and `better_by` exclude each other: keep the stricter one, `better_by`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` ({self.min}) is above `max` ({self.max}): nothing could pass")
        return self


class Evaluation(Strict):
    """How a candidate is judged against production."""

    task: Task
    """Kind of prediction."""

    holdout: str
    """Name, under `data`, of the dataset on whose rows both models are compared."""

    target: str
    """Column that holds the truth. It is taken out of what the models see."""

    positive: Label | None = None
    """Binary tasks: the label that counts as positive. By default the greater of the two."""

    threshold: Annotated[FiniteFloat, Field(gt=0, lt=1), NUMBER] | None = None
    """Binary tasks: probability from which a row is called positive. By default the model's own decision."""

    cluster: str | None = None
    """Column whose equal values mark rows that are not independent (customer, day, document)."""

    confidence: Annotated[FiniteFloat, Field(ge=0.5, lt=1), NUMBER] = 0.95
    """Level of the two-sided intervals."""

    min_rows: Annotated[int, Field(ge=2), NUMBER] = 100
    """With fewer rows in the holdout every gate is inconclusive."""

    on_inconclusive: OnInconclusive = "warn"
    """Whether an inconclusive verdict fails the step in a pull request."""

    metrics: Annotated[dict[str, MetricRule], Field(min_length=1)]
    """Rules by metric, under scikit-learn's names."""


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
    """Whose `data`, `reproducibility`, `evaluation` and `signing` sections, schemas and public keys judge a pull
    request. With `base` a change cannot loosen its own gate. Only the base branch's own copy of this line counts."""


class Reproducibility(Strict):
    """What a candidate must be made from, so that it can be made again."""

    mutable_data: OnMutable = "warn"
    """Whether train-model refuses a dataset that can change under its name, or only says so."""


class Policy(Strict):
    """slipway.yml."""

    version: Literal[1]
    """Version of this format."""

    model: Name
    """The model's name in the registry."""

    data: dict[Name, Dataset] = Field(default_factory=dict)
    """The model's datasets by name."""

    reproducibility: Reproducibility = Reproducibility()
    """What a candidate must be made from, so that it can be made again."""

    training: Training | None = None
    """How a candidate is made."""

    evaluation: Evaluation | None = None
    """How a candidate is judged against production."""

    signing: Signing | None = None
    """Whose signature a model must carry before it is deployed."""

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

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of all that the policy says, comments and layout left out."""
        said = self.model_dump(mode="json", by_alias=True)
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
