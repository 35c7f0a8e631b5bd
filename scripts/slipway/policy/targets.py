"""Systems beyond the runner that serve models: where they are, and what they are told. No policy holds credentials."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, StrictBool, StrictInt, StrictStr, model_validator

from slipway.policy.strict import Strict

Label = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""What Kubernetes calls a label of a host name."""

Address = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2_000)]


class KServeTarget(Strict):
    """An InferenceService of KServe on Knative, whose revisions share the requests."""

    namespace: Label
    """The namespace of Kubernetes that it lies in."""

    service: Label
    """Its name. Slipway makes it; what else is set in it afterwards (replicas, resources, nodes) is kept."""

    context: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Of the kubeconfig; its current one by default."""

    ingress: Address | None = None
    """Where the cluster's gateway is reached from the runner, as `http://host:port`: the golden test asks there. By
    default the service's own address."""


Replicas = Annotated[StrictInt, Field(ge=1, le=1_000)]
EndpointId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class VertexTarget(Strict):
    """An endpoint of Vertex AI, whose deployed models share the requests."""

    project: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:-]{3,61}[a-z0-9]$")]
    """The project's id or number."""

    location: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+[0-9]+$")]
    """The region of endpoint and models."""

    endpoint: EndpointId
    """The endpoint's id. It must exist, so that its name and rights are yours."""

    trial_endpoint: EndpointId | None = None
    """Another endpoint, where a version is asked before it has requests: Vertex AI routes by shares alone, so nobody
    can ask one version of an endpoint. Without it there is no golden test."""

    machine_type: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,60}$")] = "n1-standard-2"
    """Of the machines that serve a version."""

    min_replicas: Replicas = 1
    """Machines of a version that are always up."""

    max_replicas: Replicas = 1
    """Machines of a version at most."""

    service_account: Annotated[str, Field(pattern=r"^[^@\s]+@[a-z0-9.-]+$", max_length=300)] | None = None
    """As whom the container runs; by default as Vertex AI's own agent."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"`min_replicas` ({self.min_replicas}) is above `max_replicas` ({self.max_replicas})")
        if self.trial_endpoint == self.endpoint:
            raise ValueError("`trial_endpoint` must be another one than `endpoint`, or the trial would have requests")
        return self


class HuggingFaceTarget(Strict):
    """A model repository of the Hugging Face Hub, whose consumers pin a branch."""

    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")]
    """`owner/name`; it must exist."""

    branch: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$", max_length=200)
    ] = "production"
    """What consumers pin."""

    @model_validator(mode="after")
    def _is_no_branch_of_a_version(self) -> Self:
        if self.branch.startswith("slipway/"):
            raise ValueError("`branch` must not begin with `slipway/`: versions that are kept ready have such branches")
        return self


class MLflowTarget(Strict):
    """A deployment of one of MLflow's plugins: SageMaker, Azure ML and whatever else has one."""

    uri: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*(:[^\s@]*)?$", max_length=500)]
    """The target as MLflow names it: `sagemaker:/eu-west-1`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,40}$")]
    """Of the deployment that clients ask. A version that is kept ready has one of its own, `<name>-<version>`."""

    requirements: Annotated[str, Field(min_length=1, max_length=500)]
    """A lock with MLflow and the plugin's package; the client runs in its environment."""

    flavor: Annotated[str, Field(pattern=r"^[a-z_]{1,50}$")] | None = None
    """The model's flavour to deploy; by default the plugin's choice."""

    endpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$")] | None = None
    """For plugins that have endpoints."""

    config: Annotated[dict[str, StrictBool | StrictInt | FiniteFloat | StrictStr], Field(max_length=100)] = Field(
        default_factory=dict
    )
    """What the plugin is told: machines, roles, timeouts. No secrets."""
