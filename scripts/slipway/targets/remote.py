"""Targets beyond this machine: each is spoken to by its client program, in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slipway.policy.targets import HuggingFaceTarget, KServeTarget, MLflowTarget, VertexTarget
from slipway.runner import environments, programs
from slipway.runner.errors import BY_NAME, InputError
from slipway.targets.protocol import NotReadyError, Servable, Served, Shares

if TYPE_CHECKING:
    from slipway.canary.observations import Observation

CLIENTS = Path(__file__).with_name("clients")
KINDS = {**BY_NAME, "NotReadyError": NotReadyError}


@dataclass
class Remote:
    """A target whose client answers in JSON. kind: the name of its program.

    settings: what the program needs to know, from the policy. python: the interpreter of the program's environment.
    needs: what a version is brought as.
    """

    kind: str
    shown: str
    model: str
    ready_seconds: float
    settings: Mapping[str, Any]
    python: Callable[[], Path]
    needs: Literal["image", "files"] = "image"
    splits: bool = True
    answers: bool = True
    url: str = ""
    _seen: str = field(default="", repr=False)
    """What the system said of itself when it was last asked: whoever changes it afterwards is noticed."""

    def state(self) -> tuple[Served, ...]:
        """As `Target` says."""
        return tuple(Served(**each) for each in self._call("state")["served"])

    def start(self, servable: Servable) -> None:
        """As `Target` says."""
        given = {"version": servable.version, "model_digest": servable.model_digest, "image": servable.image}
        if self.needs == "image" and not servable.image:
            raise InputError(
                f"Version {servable.version} of `{self.model}` has no image, and {self.shown} serves images.",
                fix="Run package-model before this stage; it records the version's image in the registry.",
            )
        if self.needs == "files":
            given["folder"] = str(servable.fetch())
        self._call("start", **given)

    def answer(self, version: str, request: Mapping[str, Any]) -> Any:
        """As `Target` says."""
        if not self.answers:
            raise InputError(f"{self.shown} keeps versions and answers no requests.")
        return self._call("answer", version=version, request=request)["predictions"]

    def set_traffic(self, shares: Shares) -> None:
        """As `Target` says."""
        given = [share for share in shares.values() if share]
        if given and (abs(sum(given) - 1) > 1e-6 or any(not 0 < share <= 1 for share in given)):
            raise InputError(f"The shares {dict(shares)} are no split of the requests.", why="They do not sum to 1.")
        if not self.splits and len(given) > 1:
            raise InputError(
                f"{self.shown} serves one version at a time.",
                fix="Set `rollout: at_once` for this environment, or choose a target that splits traffic.",
            )
        self._call("set_traffic", shares=dict(shares))

    def observe(self, canary: str, baseline: str) -> Observation | None:  # noqa: ARG002 - as `Target` says
        """Nothing: none of these systems counts by version in the way that a canary is judged by."""
        return None

    def stop(self, version: str) -> None:
        """As `Target` says."""
        self._call("stop", version=version)

    def _call(self, action: str, **given: Any) -> dict[str, Any]:
        asked = {
            "settings": dict(self.settings),
            "model": self.model,
            "ready_seconds": self.ready_seconds,
            "seen": self._seen,
            **given,
        }
        program = CLIENTS / f"{self.kind}.py"
        said = programs.call(
            self.python(), program, action, asked, broke=f"The program that speaks to {self.shown}", kinds=KINDS
        )
        self._seen = said.get("seen", self._seen)
        self.url = said.get("url", self.url)
        return said


def target(
    rules: KServeTarget | VertexTarget | HuggingFaceTarget | MLflowTarget, *, model: str, ready_seconds: float
) -> Remote:
    """The target that the policy describes."""
    common: dict[str, Any] = {"model": model, "ready_seconds": ready_seconds, "settings": rules.model_dump()}
    match rules:
        case KServeTarget():
            return Remote(
                kind="kserve",
                shown=f"the InferenceService {rules.namespace}/{rules.service}",
                python=lambda: environments.for_group("kserve"),
                **common,
            )
        case VertexTarget():
            return Remote(
                kind="vertex",
                shown=f"the endpoint {rules.endpoint} of Vertex AI ({rules.project}, {rules.location})",
                python=lambda: environments.for_group("vertex"),
                answers=rules.trial_endpoint is not None,
                **common,
            )
        case HuggingFaceTarget():  # it keeps files: nobody can ask it for predictions
            return Remote(
                kind="huggingface",
                shown=f"the branch {rules.branch} of {rules.repository} on the Hugging Face Hub",
                python=lambda: environments.for_group("huggingface"),
                needs="files",
                splits=False,
                answers=False,
                **common,
            )
        case MLflowTarget():  # its plugin's packages are the user's own
            return Remote(
                kind="deployments",
                shown=f"the deployment {rules.name} at {rules.uri}",
                python=lambda: environments.for_lock(Path(rules.requirements)),
                needs="files",
                splits=False,
                **common,
            )
