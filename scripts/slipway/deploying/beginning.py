"""Whether a version may be released to an environment now; if so, the ledger says that it begins."""

from __future__ import annotations

from slipway.deploying.case import Case
from slipway.deploying.record import Known, require_newer, require_open_or_none
from slipway.ledger.entries import Entry
from slipway.policy.deployment import DeploymentEnvironment
from slipway.release import reading
from slipway.release.seal import Sealed
from slipway.report import Subject
from slipway.rollout.steps import Opened, Rollout
from slipway.runner.errors import ConflictError, GateError


def begin(case: Case, version: str) -> Known:
    """Begin the release of a version, where it is neither live nor being released already; what is on record then.

    Raises:
        ConflictError: another version is being released, or a newer one is live.
        GateError: the version was not live in the environment before this one, or nobody approved it.
        InputError: the registry does not have it.
    """
    found = case.releases.read()
    require_open_or_none(found, version, case.environment)
    if found.record.opened or found.record.live == version:
        return found
    require_newer(found, version, case.environment)
    require_passed_before(case, version)
    require_target(case)
    approval = require_approval(case, version)
    rollout = rollout_of(case.rules, found)
    case.report = case.report.model_copy(
        update={
            "headline": f"The release of version {version} begins, {ROLLOUTS[rollout]}.",
            "subjects": (*case.report.subjects, *case.versions.subjects(version), *_sealed(approval)),
        }
    )
    said = {"approval": approval[1].sequence} if approval else {}
    case.releases.begin(found, version, rollout, case.report, target=case.target.shown, **said)
    return case.releases.read()


ROLLOUTS: dict[Rollout, str] = {"canary": "as a canary", "at_once": "with all requests at once"}


def rollout_of(rules: DeploymentEnvironment, found: Known) -> Rollout:
    """A first release has nothing beside it, with which a canary could be compared."""
    return "canary" if rules.rollout == "canary" and found.record.live else "at_once"


def require_target(case: Case) -> None:
    """GateError where the policy wants a canary of a target that cannot split the requests."""
    if case.rules.rollout == "canary" and not case.target.splits:
        raise GateError(
            f"{case.target.shown} cannot split the requests between two versions.",
            why=f"`deployment.environments.{case.environment}` asks for `rollout: canary`.",
            fix="Set `rollout: at_once`, or take another target.",
        )


def require_passed_before(case: Case, version: str) -> None:
    """GateError where a version was not live in the environment before this one, by the policy's order."""
    deployment = case.sourced.policy.deployment
    assert deployment is not None
    before = deployment.before(case.environment)
    if before and not case.releases.was_live(before[-1], version):
        raise GateError(
            f"Version {version} was never live in {before[-1]}, which comes before {case.environment}.",
            why="What does not work there is not to be found out here.",
            fix=f"Deploy it with `environment: {before[-1]}` first.",
        )


def require_approval(case: Case, version: str) -> tuple[Sealed, Entry] | None:
    """The approval of a version, where the environment asks for one.

    It holds for one release: of exactly what was sealed, in place of the version that was live then.
    Raises GateError where there is none, or where anything is otherwise by now.
    """
    deployment = case.sourced.policy.deployment
    assert deployment is not None
    if not deployment.asks_approval(case.environment):
        return None
    begun = case.releases.begun_with(version)
    used = begun.sequence if begun else -1
    approval = case.releases.approval(version, after=used)
    if approval is None:
        why = f"The approval that there was led to the release of entry {used}." if used >= 0 else ""
        raise GateError(
            f"Nobody has approved version {version} of `{case.model}` for {case.environment}.",
            why=why or "The ledger holds no passing entry of record-approval about it that is for this environment.",
            fix="Run record-approval in a job of the environment that assess-risk names, and record-reports after it.",
        )
    sealed, entry = approval
    registered = case.versions.find(version)
    wrong = [
        f"{name}: approved was `{was or 'none'}`, and it is `{now or 'none'}`"
        for name, was, now in (
            ("the version", f"{sealed.model} {sealed.version}", f"{case.model} {version}"),
            ("the model's files", sealed.model_digest, registered.tags.get(reading.MODEL_DIGEST, "")),
            ("the image", sealed.image, registered.tags.get(reading.IMAGE, "")),
            ("the policy", sealed.policy, case.sourced.policy.digest),
            ("the version that it replaces", sealed.replaces, case.versions.alias(case.environment)),
            # On another branch the workflow that asked for it was that of the branch.
            ("the branch", entry.trigger.ref, case.run.ref or entry.trigger.ref),
        )
        if was != now
    ]
    if wrong:
        raise GateError(
            f"What was approved of version {version} is not what would be released.",
            why="; ".join(wrong),
            fix="Run assess-risk again, and have that approved.",
        )
    return approval


def _sealed(approval: tuple[Sealed, Entry] | None) -> tuple[Subject, ...]:
    if approval is None:
        return ()
    sealed, entry = approval
    return (
        Subject(role="seal", name=sealed.environment, id=sealed.digest),
        Subject(role="approval", name=f"entry {entry.sequence}", id=entry.id),
    )


def require_held(found: Known, environment: str) -> Opened:
    """The canary that waits for a person; ConflictError where none does: shown harm cannot be passed over."""
    opened = found.record.opened
    if opened is None or opened.decision != "hold":
        state = f"its canary says `{opened.decision}`" if opened else "no canary runs there"
        raise ConflictError(
            f"Nothing in {environment} waits for a person: {state}.",
            why="`promote` is for a canary that ended inconclusive. Nobody promotes against evidence, or before it.",
            fix="Let judge-canary look on, or take it back with rollback-model.",
        )
    return opened
