"""Model servers on the runner itself: processes behind a gateway, which outlive the job."""

from __future__ import annotations

from pathlib import Path

from slipway.policy.deployment import LocalTarget as Rule
from slipway.targets.embedded import EmbeddedTarget
from slipway.targets.gateways import Builtin
from slipway.targets.kept import Place
from slipway.targets.models import Processes


def target(rule: Rule, *, model: str, ready_seconds: float) -> EmbeddedTarget:
    """The target that the policy describes."""
    folder = Path(rule.folder).resolve()
    lasting = folder / "environments"
    return EmbeddedTarget(
        shown=f"local, http://127.0.0.1:{rule.port}",
        model=model,
        port=rule.port,
        ready_seconds=ready_seconds,
        place=Place(folder),
        servers=Processes(lasting),
        gateway=Builtin(folder / "gateway", rule.port, lasting),
    )
