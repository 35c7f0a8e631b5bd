"""The policy's section `deployment`: the environments that a version comes to, and what serves it there."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, StrictBool, model_validator

from slipway.policy.strict import NUMBER, Name, Strict, misplaced
from slipway.policy.targets import HuggingFaceTarget, KServeTarget, MLflowTarget, VertexTarget

PRODUCTION = "production"
Port = Annotated[int, Field(ge=1024, le=65_535), NUMBER]


class LocalTarget(Strict):
    """Model servers on the runner itself, behind a gateway that splits the requests."""

    folder: Annotated[str, Field(min_length=1, max_length=500)]
    """Where it keeps what it serves; outside of the checkout, which the next job replaces."""

    port: Port
    """Where the gateway listens, on the loopback."""

    gateway: Literal["auto", "builtin", "haproxy"] = "auto"
    """HAProxy where it is installed, or else a small gateway of Slipway's own."""


class ContainerTarget(Strict):
    """Containers of the versions' images on the runner itself, behind the same gateway."""

    folder: Annotated[str, Field(min_length=1, max_length=500)]
    """Where it keeps what it serves; outside of the checkout, which the next job replaces."""

    port: Port
    """Where the gateway listens, on the loopback."""

    engine: Literal["auto", "podman", "docker"] = "auto"
    """What runs containers; Podman where both are there."""


PLACES = {
    "local": (("folder",), ("port",)),
    "container": (("folder",), ("port",)),
    "kserve": (("context", "namespace", "service"),),
    "vertex": (("project", "location", "endpoint"),),
    "huggingface": (("repository", "branch"),),
    "mlflow": (("uri", "name"),),
}
"""By target the keys that together name one place, where only one environment can serve."""


class TargetRule(Strict):
    """What serves the model; exactly one of them."""

    local: LocalTarget | None = None
    """Model servers on the runner itself."""

    container: ContainerTarget | None = None
    """Containers on the runner itself."""

    kserve: KServeTarget | None = None
    """An InferenceService in a Kubernetes cluster."""

    vertex: VertexTarget | None = None
    """An endpoint of Vertex AI."""

    huggingface: HuggingFaceTarget | None = None
    """A branch of a repository of the Hugging Face Hub."""

    mlflow: MLflowTarget | None = None
    """A deployment of one of MLflow's plugins."""

    @property
    def given(self) -> tuple[str, Strict]:
        """The target's name and what is said of it."""
        return next((name, rule) for name in PLACES if (rule := getattr(self, name)) is not None)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        names = list(type(self).model_fields)
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(f"`{name}`" for name in names)
            raise ValueError(f"needs exactly one of {known} ({len(given)} are given)")
        return self


class DeploymentEnvironment(Strict):
    """One environment: what serves there, and how a version gets its traffic."""

    target: TargetRule
    """What serves the model there."""

    rollout: Literal["at_once", "canary"] = "at_once"
    """Whether a version gets all requests once it has passed the golden test, or as the section `canary` says."""

    approval: Literal["required", "none"] | None = None
    """Whether the ledger must hold an approval of the version; by default where the environment is `production`."""

    ready_seconds: Annotated[FiniteFloat, Field(gt=0, le=7_200), NUMBER] = 300
    """A version that does not answer after so long is not released."""

    keep_previous: StrictBool = True
    """Whether the version before is kept ready, without traffic, so that a rollback takes a moment."""


class Deployment(Strict):
    """The environments that a version comes to."""

    environments: Annotated[dict[Name, DeploymentEnvironment], Field(min_length=1, max_length=20)]
    """In their order: a version comes to one after it was live in the one before. Each has the registry's alias of its
    name; the last is usually `production`."""

    tolerance: Annotated[FiniteFloat, Field(ge=0), NUMBER] | None = None
    """How far a number that a served version answers may be from the recorded one; as in `packaging` by default."""

    def asks_approval(self, name: str) -> bool:
        """Whether the environment's versions must be approved."""
        asked = self.environments[name].approval
        return name == PRODUCTION if asked is None else asked == "required"

    def before(self, name: str) -> list[str]:
        """The environments that a version comes to before this one, in their order."""
        names = list(self.environments)
        return names[: names.index(name)] if name in names else []

    @model_validator(mode="after")
    def _names_can_be_aliases(self) -> Self:
        for name in self.environments:
            if name in ("candidate", "latest") or re.fullmatch(r"v\d+", name, re.IGNORECASE) or " " in name:
                problem = f"`{name}` cannot be an environment's name, since the registry has no alias of it to give"
                raise misplaced([(("environments", name), problem)])
        canaries = [name for name, each in self.environments.items() if each.rollout == "canary"]
        if len(canaries) > 1:
            problem = f"`{canaries[0]}` has a canary already, and a version has one"
            raise misplaced([(("environments", canaries[1], "rollout"), problem)])
        return self

    @model_validator(mode="after")
    def _share_no_place(self) -> Self:
        seen: dict[tuple[Any, ...], str] = {}
        for name, each in self.environments.items():
            kind, rule = each.target.given
            for keys in PLACES[kind]:
                other = seen.setdefault((*keys, *(_meant(rule, key) for key in keys)), name)
                if other != name:
                    place = ("environments", name, "target", kind, keys[-1])
                    raise misplaced([(place, f"is that of `{other}`, too: each environment needs its own")])
        for name, each in self.environments.items():
            if (vertex := each.target.vertex) and vertex.trial_endpoint:
                (keys,) = PLACES["vertex"]
                serves = seen.get((*keys, vertex.project, vertex.location, vertex.trial_endpoint))
                if serves:
                    place = ("environments", name, "target", "vertex", "trial_endpoint")
                    raise misplaced([(place, f"is where `{serves}` serves: a trial takes away what is there")])
        return self


def _meant(rule: Strict, key: str) -> Any:
    value = getattr(rule, key)
    return os.path.normpath(value) if key == "folder" else value
