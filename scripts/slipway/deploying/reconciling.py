"""Brings an environment to what is on record, one step after the other, until nothing is left to do.

The ledger is read again before every step. So a rollback that somebody records meanwhile wins: whatever this run had in
mind, its next step is one of the rollback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from slipway.deploying.record import Known, Releases
from slipway.deploying.versions import Versions
from slipway.packaging import smoke
from slipway.policy.deployment import DeploymentEnvironment
from slipway.report import Check, Report, Verdict
from slipway.rollout.steps import Cause, Fail, Opened, Point, Promote, Revert, Shift, Start, Step, Stop, Try, next_step
from slipway.runner import commands
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError
from slipway.targets.protocol import NotReadyError, Served, Target

MOST_STEPS = 50
"""More than two runs that undo each other's steps may take before a person looks."""


@dataclass
class Reconciler:
    """One run's work on one environment.

    tell: the report as it stands, which becomes evidence of what is put on record.
    """

    environment: str
    rules: DeploymentEnvironment
    releases: Releases
    target: Target
    versions: Versions
    tolerance: float
    tell: Callable[[], Report]
    checks: list[Check] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    """Every step that was taken, in words."""

    served: tuple[Served, ...] = ()
    """What the target had at the end."""

    _accused: tuple[int, Cause] | None = None
    """The release that this run takes back, and why."""

    _started: set[str] = field(default_factory=set)
    _tried: set[str] = field(default_factory=set)
    _pointed: str | None = None

    def run(self) -> Known:
        """Take steps until nothing is left to do; what is on record then.

        Raises:
            RemoteError: ledger, target or registry refused or did not answer; the next run goes on from there.
            GateError: a version that is to answer does not come up.
            ConflictError: two runs undo each other's steps.
        """
        for _ in range(MOST_STEPS):
            found = self._read()
            self.served = self.target.state()
            step = next_step(
                found.record,
                self.served,
                started=self._started,
                tried=self._tried,
                cause=self._cause(found),
                pointed=self._pointed,
                keep_previous=self.rules.keep_previous,
            )
            if step is None:
                return found
            commands.say(in_words(step))
            try:
                self._take(step, found)
            except (ConflictError, InputError) as failure:
                # Another run was faster, a rollback for one: what it did shows when all is read again.
                if isinstance(failure, InputError) and self._read().newest == found.newest:
                    raise
                self.done.append(f"{in_words(step)} Not done: {failure.what}")
                continue
            self.done.append(in_words(step))
        raise ConflictError(
            f"{self.environment} does not come to rest after {MOST_STEPS} steps.",
            why="Another run, or a person, undoes what this one does: " + "; ".join(self.done[-4:]),
            fix="End the other run, or whatever changes the traffic there, and run this again.",
        )

    def accuse(self, release: Opened, cause: Cause) -> None:
        """Take this release back from now on."""
        self._accused = release.number, cause

    def _cause(self, found: Known) -> Cause | None:
        """Why the release is taken back that is on record; nothing of another one, which began meanwhile."""
        opened = found.record.opened
        return self._accused[1] if self._accused and opened and opened.number == self._accused[0] else None

    def _read(self) -> Known:
        """What is on record. Requests are taken from a harmful version even where the ledger cannot be read."""
        try:
            return self.releases.read()
        except RemoteError:
            last = self.releases.last
            if last is None or self._cause(last) is None:
                raise
            return last

    def _take(self, step: Step, found: Known) -> None:
        opened = found.record.opened
        match step:
            case Start(version):
                self._start(version, found)
            case Try(version):
                assert opened is not None
                self._try(version, opened)
            case Shift(shares):
                self.target.set_traffic(shares)
            case Fail(_, cause):
                assert opened is not None
                self.accuse(opened, cause)
            case Promote(version):
                assert opened is not None
                self.releases.promote(opened, self._ended(Verdict.PASS, f"Version {version} is live."))
            case Revert(version, cause):
                assert opened is not None
                report = self._ended(Verdict.FAIL, f"Version {version} is taken back: {cause}.")
                self.releases.revert(opened, cause, report)
            case Point(version):
                self._point(version)
            case Stop(version):
                self.target.stop(version)

    def _ended(self, verdict: Verdict, headline: str) -> Report:
        """The report as evidence of how a release ended."""
        return self.tell().model_copy(update={"verdict": verdict, "headline": headline})

    def _start(self, version: str, found: Known) -> None:
        opened, previous = found.record.opened, found.record.previous
        try:
            self.target.start(self.versions.servable(version))
        except GateError as failure:  # it never answered, or it is not what was registered
            detail = f"{failure.what} {failure.why}".strip()[:2_000]
            if opened and version == opened.version:
                self.accuse(opened, "not ready")
            elif previous and not opened:
                # What was live has ended and cannot be brought up again: the version before it takes over.
                self.releases.roll_back(found, previous, "unhealthy", failure.what, self.tell())
            else:
                raise
            name = "ready" if isinstance(failure, NotReadyError) else "verified"
            self.checks.append(Check(name=name, verdict=Verdict.FAIL, detail=detail))
        self._started.add(version)

    def _try(self, version: str, opened: Opened) -> None:
        """The golden test: the version must answer there as it did when it was judged."""
        if not self.target.answers:
            self._tried.add(version)
            detail = f"{self.target.shown} cannot be asked for predictions."
            self.checks.append(Check(name="golden", verdict=Verdict.INCONCLUSIVE, detail=detail))
            return
        try:
            recorded = self.versions.golden(version)
            answered = self.target.answer(version, recorded.request)
            check = smoke.same("as served", answered, recorded.predictions, self.tolerance)
        except GateError as refused:
            check = Check(name="golden as served", verdict=Verdict.FAIL, detail=f"{refused.what} {refused.why}"[:2_000])
        except RemoteError as silent:
            # Either the way to it is at fault, which passes, or the request has ended it, as it would every time.
            if all(each.health == "ready" for each in self.target.state() if each.version == version):
                raise
            detail = f"The request ended it. {silent.what} {silent.why}"[:2_000]
            check = Check(name="golden as served", verdict=Verdict.FAIL, detail=detail)
        self.checks.append(check)
        if check.verdict is Verdict.PASS:
            self._tried.add(version)
        else:
            self.accuse(opened, "golden")

    def _point(self, version: str) -> None:
        if self.versions.alias(self.environment) != version:
            self.versions.registry.set_alias(self.versions.model, self.environment, version)
        self._pointed = version


def in_words(step: Step) -> str:
    """A step as people read it."""
    match step:
        case Start(version):
            return f"Start version {version}, without requests."
        case Try(version):
            return f"Hold version {version} to its golden predictions."
        case Shift(shares):
            said = ", ".join(f"version {version}: {share:.4g}" for version, share in shares.items())
            return f"Set the traffic: {said or 'nothing is served'}."
        case Promote(version):
            return f"Record that version {version} is live."
        case Revert(version, cause):
            return f"Record that version {version} was taken back: {cause}."
        case Fail(version, cause):
            return f"Take version {version} back: {cause}."
        case Point(version):
            return f"Let the registry's alias name version {version}."
        case Stop(version):
            return f"Stop version {version}."
