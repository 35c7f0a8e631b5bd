"""A target on this machine: a gateway in front of one server for each version.

What is on disk is what shall be. Every call first brings the gateway to it, so that a run that was killed between
writing it down and doing it, or a machine that was started anew, is made good by the next run.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from slipway.canary.observations import Arm, Observation
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError, SlipwayError
from slipway.targets import cells
from slipway.targets.asking import ask, free_port
from slipway.targets.gateways import Gateway
from slipway.targets.kept import Kept, Place, Version, unwritable
from slipway.targets.models import Servers
from slipway.targets.protocol import Health, NotReadyError, Servable, Served, Shares

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")
"""What a version may be called: it becomes a folder's name and a label of metrics."""

STOP_SECONDS = 30
"""What a server may take to end; it gives requests 25 s."""

DRAIN_SECONDS = 60
"""How long requests of a version that is taken away may take, before its server is asked to end."""

ANSWER_SECONDS = 120
CHECK_SECONDS = 2
CHECKS = 3
NEAR = 1e-9


@dataclass
class EmbeddedTarget:
    """One model's versions on this machine."""

    shown: str
    model: str
    port: int
    ready_seconds: float
    place: Place
    servers: Servers
    gateway: Gateway
    splits: bool = True
    answers: bool = True
    url: str = field(init=False)
    _seen: Mapping[str, float] | None = field(default=None, init=False)
    """The traffic as this run has last seen or set it."""

    def __post_init__(self) -> None:
        if sys.platform != "linux":
            raise InputError(f"A target on the runner itself needs Linux, and this is {sys.platform}.")
        self.url = f"http://127.0.0.1:{self.port}"

    def state(self) -> tuple[Served, ...]:
        """What is there, each version asked whether it answers."""
        with self._opened() as kept:
            self._seen = kept.shares
        return tuple(
            Served(name, kept.shares.get(name, 0.0), self._health(name, version), version.identity)
            for name, version in kept.versions.items()
        )

    def start(self, servable: Servable) -> None:
        """Bring it here; one whose server has ended is started again, and keeps its traffic."""
        name = _checked(servable.version)
        identity = self.servers.identity(servable)
        with self._opened(begins=True) as kept:
            known = kept.versions.get(name)
            if known and known.identity != identity:
                raise ConflictError(
                    f"Version {name} is served already, and is another.",
                    why=f"{known.identity} is served, and {identity} is asked for.",
                    fix="A registered version never changes: find out what changed it. `stop` takes it away.",
                )
            if known and known.leaving:
                known = known.model_copy(update={"leaving": False})
                self._keep(kept.having(name, known))
            elif not known:
                self.gateway.serve(kept)  # before anything else: where its port is taken nothing is begun
        try:
            hung = known if known and known.ready and self._health(name, known) == "failed" else None
            if hung or not self.servers.alive(self.place.version(name)):
                self._launch(servable, name, identity, hung)
            self._wait_until_ready(name)
        except SlipwayError:
            self._withdraw(name)
            raise

    def answer(self, version: str, request: Mapping[str, Any]) -> Any:
        """Ask its server, past the gateway."""
        with self._opened() as kept:
            known = self._known(kept, version)
        try:
            status, said = ask(known.port, "POST", "/invocations", request, seconds=ANSWER_SECONDS)
            answer = json.loads(said) if status == 200 else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RemoteError(f"Version {version} does not answer.", why=str(error)) from error
        if not isinstance(answer, dict) or "predictions" not in answer:
            raise GateError(
                f"Version {version} refuses a request.", why=f"{status}: {said.decode(errors='replace')[:1_000]}"
            )
        bounds = cells.bounds_of(answer["predictions"])
        if bounds != known.bounds:
            with self._opened() as kept:
                if version in kept.versions:
                    self._keep(kept.having(version, kept.versions[version].model_copy(update={"bounds": bounds})))
        return answer["predictions"]

    def set_traffic(self, shares: Shares) -> None:
        """Write it down and hand it to the gateway."""
        wanted = {version: float(share) for version, share in shares.items() if share}
        if wanted and (abs(sum(wanted.values()) - 1) > 1e-6 or any(not 0 < each <= 1 for each in wanted.values())):
            raise InputError(f"The shares {dict(shares)} do not sum to 1.")
        with self._opened() as kept:
            for version in wanted:
                self._known(kept, version)
            if self._seen is not None and not _alike(self._seen, kept.shares):
                raise ConflictError(
                    f"The traffic of {self.shown} was changed meanwhile: it is {_told(kept.shares)}, and was "
                    f"{_told(self._seen)}.",
                    fix="Run the job again; it goes on from what it finds.",
                )
            if not _alike(wanted, kept.shares):
                bounds = kept.bounds
                if len(wanted) == 1:
                    # While two versions are compared the cells stay what they were.
                    bounds = kept.versions[next(iter(wanted))].bounds or bounds
                self._keep(kept.but(shares=wanted, bounds=bounds))
        self._seen = wanted

    def observe(self, canary: str, baseline: str) -> Observation | None:
        """What the gateway has counted."""
        with self._opened() as kept:
            for version in (canary, baseline):
                self._known(kept, version)
        told = self.gateway.counters()
        if told is None:
            return None
        one, other = kept.shares.get(canary, 0.0), kept.shares.get(baseline, 0.0)
        try:
            return Observation(
                at=datetime.now(UTC),
                share=one if one and other and abs(one + other - 1) < 1e-6 else None,
                canary=Arm.model_validate(told[canary]),
                baseline=Arm.model_validate(told[baseline]),
            )
        except (ValidationError, LookupError) as error:
            raise RemoteError("What the gateway says is no observation.", why=str(error)[:500]) from error

    def stop(self, version: str) -> None:
        """Give it nothing more, let what has begun end, end its server, and remove its files."""
        with self._opened() as kept:
            known = kept.versions.get(version)
            if kept.shares.get(version):
                raise InputError(
                    f"Version {version} has {kept.shares[version]:g} of the requests, and is not taken away.",
                    fix="Set the traffic first.",
                )
            if known is None:
                return
            self._keep(kept.having(version, known.model_copy(update={"leaving": True})))
        give_up = time.monotonic() + DRAIN_SECONDS
        while self.gateway.in_flight(version) and time.monotonic() < give_up:
            time.sleep(0.05)
        with self._opened() as kept:
            known = kept.versions.get(version)
            if known is not None and known.leaving:
                self._remove(kept, version)

    def _launch(self, servable: Servable, name: str, identity: str, hung: Version | None) -> None:
        """Start its server. hung: what was found not to answer; it is ended."""
        folder = self.place.version(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            launch = self.servers.prepare(servable, folder)
        except OSError as error:
            raise unwritable(folder, error) from error
        with self._opened(begins=True) as kept:
            before = kept.versions.get(name)
            if hung and before and before.port == hung.port:
                self.servers.end(folder, STOP_SECONDS)
            elif self.servers.alive(folder):
                return  # another run was faster
            port = free_port(taken={each.port for each in kept.versions.values()})
            self._keep(kept.having(name, Version(port=port, identity=identity, bounds=before.bounds if before else ())))
            launch(port)

    def _wait_until_ready(self, name: str) -> None:
        folder, give_up = self.place.version(name), time.monotonic() + self.ready_seconds
        while True:
            kept = self.place.read()
            known = kept.versions.get(name) if kept else None
            if known is None or known.leaving:
                raise ConflictError(f"Version {name} was taken away while it was started.", fix="Run the job again.")
            alive = self.servers.alive(folder)
            if alive and self._answers(name, known):
                break
            if not alive or time.monotonic() > give_up:
                how = f"did not answer within {self.ready_seconds:g} s" if alive else "ended before it answered"
                raise NotReadyError(
                    f"Version {name}: its server {how}.",
                    why=self.servers.last_words(folder)[-2_000:] or "It said nothing.",
                    fix="Mend the model or its packages and release another version; a version that only takes its "
                    "time needs a higher `ready_seconds`.",
                )
            time.sleep(0.1)
        if not known.ready:
            with self._opened() as kept:
                if name in kept.versions:
                    self._keep(kept.having(name, kept.versions[name].model_copy(update={"ready": True})))

    def _withdraw(self, name: str) -> None:
        """Leave nothing of a version that did not come up; one that has traffic stays in the books as failed."""
        with self._opened(begins=True) as kept:
            if kept.shares.get(name):
                self.servers.end(self.place.version(name), STOP_SECONDS)
            else:
                self._remove(kept, name)

    def _remove(self, kept: Kept, name: str) -> None:
        folder = self.place.version(name)
        known = kept.versions.get(name)
        if known and not known.leaving:
            self._keep(kept.having(name, known.model_copy(update={"leaving": True})))
        self.servers.end(folder, STOP_SECONDS)
        self.servers.remove(folder)
        left = kept.without(name)
        if left.versions:
            self._keep(left)
        else:
            self.gateway.end()
            self.place.write(left.but(shares={}, bounds=()))

    def _health(self, name: str, version: Version) -> Health:
        # One that is leaving has to be started before it could be given anything again.
        if version.leaving or not self.servers.alive(self.place.version(name)):
            return "failed"
        for _ in range(CHECKS if version.ready else 1):
            if self._answers(name, version):
                return "ready"
        return "failed" if version.ready else "starting"

    def _answers(self, name: str, version: Version) -> bool:
        """Whether it is this version that answers on its port."""
        route = f"/v2/models/{quote(self.model, safe='')}/versions/{quote(name)}/ready"
        try:
            return ask(version.port, "GET", route, seconds=CHECK_SECONDS)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    @contextmanager
    def _opened(self, *, begins: bool = False) -> Iterator[Kept]:
        """What is kept, while no other run changes it; the gateway is brought to it first.

        begins: whether a folder is made where there is none.
        """
        ours = {"model": self.model, "port": self.port, "gateway": self.gateway.name, "servers": self.servers.name}
        nothing = Kept.model_validate(ours)
        if not begins and not self.place.file.is_file():
            yield nothing
            return
        with self.place.locked():
            kept = self.place.read() or nothing
            theirs = {name: getattr(kept, name) for name in ours}
            if theirs != ours and kept.versions:
                raise InputError(
                    f"{self.place.folder} is another target's: {_described(theirs)}.",
                    why=f"Ours is {_described(ours)}.",
                    fix="Give every target a `folder` of its own; to change this one, take its versions away first.",
                )
            kept = kept.but(**ours)
            if kept.versions:
                self.gateway.serve(kept)
            yield kept

    def _keep(self, kept: Kept) -> None:
        self.gateway.check(kept)
        self.place.write(kept)
        self.gateway.serve(kept)

    def _known(self, kept: Kept, version: str) -> Version:
        known = kept.versions.get(version)
        if known is None or known.leaving:
            there = ", ".join(name for name, each in kept.versions.items() if not each.leaving) or "none"
            raise InputError(
                f"There is no version {version} in {self.place.folder}; there are: {there}.",
                fix="Deploy it first, on this machine.",
            )
        return known


def _checked(version: str) -> str:
    if not VERSION.fullmatch(version):
        raise InputError(f"A version cannot be called `{version[:200]}`.", fix="Give its number in the registry.")
    return version


def _described(kind: Mapping[str, Any]) -> str:
    return "`{model}` on port {port}, by {servers} behind {gateway}".format(**kind)


def _alike(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return all(abs(one.get(each, 0.0) - other.get(each, 0.0)) < NEAR for each in {*one, *other})


def _told(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{version}: {share:.4g}" for version, share in shares.items()) or "nothing"
