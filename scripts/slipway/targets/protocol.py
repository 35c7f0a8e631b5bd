"""What a place that serves models must be able to do.

Every call can be repeated: it brings about what it says, or finds that it is so already. A run may end between any two
of them, and the next one reads `state` and goes on from there. Versions are named as in the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from slipway.runner.errors import GateError

if TYPE_CHECKING:
    from slipway.canary.observations import Observation

Health = Literal["ready", "starting", "failed"]
Shares = Mapping[str, float]
"""Version to its share of the requests, 0 to 1; they sum to 1. What is not named gets nothing."""


@dataclass(frozen=True)
class Servable:
    """A version as a target needs it.

    model_digest: of its files, `sha256:…`. image: `repository@sha256:…`, empty where none was packaged.
    fetch: brings the registered files here, held to their digest, and returns their folder; it may raise RemoteError.
    python: the interpreter of the version's own locked environment, given that folder; built where it is missing.
    """

    model: str
    version: str
    model_digest: str
    image: str
    fetch: Callable[[], Path]
    python: Callable[[Path], Path]


@dataclass(frozen=True)
class Served:
    """A version that a target has.

    share: of the requests, as the traffic is set; 0 for one that is only kept ready. identity: the digest of the model
    or the image that the target says it is; empty where it does not say.
    """

    version: str
    share: float
    health: Health
    identity: str = ""


class NotReadyError(GateError):
    """A version was started, and does not answer in time, or ended. The target is as before otherwise."""


class Target(Protocol):
    """A place that serves the versions of one model.

    Every method raises RemoteError where the system refuses or does not answer.
    """

    shown: str
    """What people call it: the kind and its address, without a secret."""

    url: str
    """Where clients send their requests; empty where that is not known."""

    splits: bool
    """Whether two versions can share the requests. Without it there is no canary here."""

    answers: bool
    """Whether a version can be asked for predictions. Without it there is no golden test here, and `answer` raises
    InputError."""

    def state(self) -> tuple[Served, ...]:
        """Every version that is there, with its share as it is really set."""

    def start(self, servable: Servable) -> None:
        """Bring a version here without any traffic, and wait until it answers. NotReadyError where it never does."""

    def answer(self, version: str, request: Mapping[str, Any]) -> Any:
        """What one version itself answers to a request of `/invocations`: its `predictions`, whatever the traffic.

        GateError, in the server's own words, where the version refuses the request.
        """

    def set_traffic(self, shares: Shares) -> None:
        """Set every version's share at once. ConflictError where somebody else changed it meanwhile."""

    def observe(self, canary: str, baseline: str) -> Observation | None:
        """Both versions' counters as they stand; None where the target counts nothing."""

    def stop(self, version: str) -> None:
        """Take a version away once its requests have ended. InputError where it has traffic."""
