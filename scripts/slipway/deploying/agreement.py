"""Whether a target serves what the ledger says. Where it does not, somebody went behind the pipeline's back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slipway.deploying.record import Known, known
from slipway.ledger.entries import Entry
from slipway.policy.source import SourcedPolicy
from slipway.report import Check, Verdict
from slipway.rollout.steps import NEAR, shares_of
from slipway.runner.errors import RemoteError
from slipway.targets.protocol import Served, Target

BEHIND = "it was changed behind the pipeline's back, and the next run of deploy-model sets it back"


def served(entries: Iterable[Entry], sourced: SourcedPolicy, environment: str, target: Target) -> list[Check]:
    """Hold what a target serves to the ledger: which version has which share, and whether it is the recorded model."""
    entries = tuple(entries)
    canary = sourced.policy.canary
    shares = tuple(stage.share for stage in canary.stages) if canary else ()
    found = known(entries, sourced.policy.model, environment, shares)
    try:
        there = target.state()
    except RemoteError as failure:
        detail = f"{target.shown} could not be asked: {failure.what}"
        return [Check(name=f"served in {environment}", verdict=Verdict.INCONCLUSIVE, detail=detail)]
    return [
        _traffic(found, {each.version: each.share for each in there if each.share}, environment),
        *(_identity(entries, sourced.policy.model, each) for each in there if each.share and each.identity),
    ]


def _traffic(found: Known, now: Mapping[str, float], environment: str) -> Check:
    name, wanted = f"served in {environment}", shares_of(found.record)
    if now.keys() == wanted.keys() and all(abs(now[each] - wanted[each]) <= NEAR for each in wanted):
        return Check(name=name, verdict=Verdict.PASS, detail=_shown(now))
    detail = f"the ledger says {_shown(wanted)}; served is {_shown(now)}"
    release = found.record.opened
    if release and now.keys() <= {release.version, release.beside}:
        # Between a look and the step that follows it, or between two steps of a run, they differ for a while.
        detail += f"; the release of version {release.version} has not come to its end"
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=detail)
    return Check(name=name, verdict=Verdict.FAIL, detail=f"{detail}: {BEHIND}")


def _identity(entries: Iterable[Entry], model: str, served_now: Served) -> Check:
    """The digest that the target tells is the model's, or the image's, of the entries about that version."""
    name, version = f"version {served_now.version} as served", served_now.version
    about = [entry for entry in entries if entry.model == model and entry.model_version == version]
    digests = {entry.model_digest for entry in about} | {
        subject.id for entry in about for subject in entry.subjects if subject.role in ("image", "candidate")
    }
    if served_now.identity in digests:
        return Check(name=name, verdict=Verdict.PASS, detail=served_now.identity)
    detail = f"the target serves {served_now.identity}, of which no entry about version {version} speaks: {BEHIND}"
    return Check(name=name, verdict=Verdict.FAIL, detail=detail)


def _shown(shares: Mapping[str, float]) -> str:
    return ", ".join(f"version {version}: {share:.4g}" for version, share in sorted(shares.items())) or "nothing"
