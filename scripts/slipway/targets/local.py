"""Model servers on the runner itself: processes behind a gateway, which outlive the job."""

from __future__ import annotations

from pathlib import Path

from slipway.policy.deployment import LocalTarget as Rule
from slipway.runner.errors import InputError
from slipway.targets import haproxy
from slipway.targets.embedded import EmbeddedTarget
from slipway.targets.gateways import Builtin, Gateway
from slipway.targets.haproxy import HAProxy
from slipway.targets.kept import Place
from slipway.targets.models import Processes


def target(rule: Rule, *, model: str, ready_seconds: float) -> EmbeddedTarget:
    """The target that the policy describes."""
    place = Place(Path(rule.folder).resolve())
    lasting = place.folder / "environments"
    return EmbeddedTarget(
        shown=f"local, http://127.0.0.1:{rule.port}",
        model=model,
        port=rule.port,
        ready_seconds=ready_seconds,
        place=place,
        servers=Processes(lasting),
        gateway=_gateway(rule, place, lasting),
    )


def _gateway(rule: Rule, place: Place, lasting: Path) -> Gateway:
    """The gateway that is asked for; with `auto` the one that serves already, whatever was installed since."""
    folder, program = place.folder / "gateway", haproxy.program()
    wanted: str = rule.gateway
    if wanted == "auto":
        kept = place.read()
        wanted = kept.gateway if kept and kept.versions else "haproxy" if program else "builtin"
    if wanted == "builtin":
        return Builtin(folder, rule.port, lasting)
    if program is None:
        raise InputError(
            "HAProxy is not installed on this machine, and the target is behind it.",
            fix="Install it (`apt-get install haproxy`); for `gateway: builtin` take its versions away first.",
        )
    return HAProxy(folder, rule.port, program)
