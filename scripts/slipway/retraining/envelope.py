"""Whether a retraining stays within what was declared beforehand, so that it may be released without a person."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.policy.retraining import Envelope
from slipway.retraining.change import Changed
from slipway.runner.errors import GateError, PolicyError

WORKFLOWS = ".github/"


@dataclass(frozen=True)
class Placed:
    """inside: whether no person has to decide. reasons: why not. id: digest of the envelope; empty without one."""

    inside: bool
    reasons: tuple[str, ...]
    id: str = ""


def place(envelope: Envelope | None, outside: Sequence[str], generation: int) -> Placed:
    """Hold a retraining against the envelope. outside: the changed files that its patterns do not match."""
    if envelope is None:
        return Placed(False, ("The policy declares no `retraining.envelope`, so a person decides on each retraining.",))
    canonical = json.dumps(envelope.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    reasons = []
    if outside:
        shown = ", ".join(f"`{each}`" for each in outside[:5]) + ("…" if len(outside) > 5 else "")
        reasons.append(f"It changes {shown}, which no pattern of `retraining.envelope.paths` matches.")
    if generation > envelope.generations:
        reasons.append(
            f"It is number {generation} of retrainings that followed from each other without a person, and "
            f"{envelope.generations} may be released so."
        )
    return Placed(not reasons, tuple(reasons), "sha256:" + hashlib.sha256(canonical.encode()).hexdigest())


def require_own_judges(before: str, after: str | None, changed: Sequence[Changed], policy_path: str) -> None:
    """Refuse a change of what judges the retraining: workflows, `judges_of`, and the policy but for its addresses.

    before, after: the policy's text in the commit that was refreshed, and with the change. None: not readable any more.
    Raises GateError.
    """
    names = {each.path for each in changed}
    policy = read_text(before, Policy, file=policy_path)
    touched = sorted(names & judges_of(policy, policy_path) | {name for name in names if name.startswith(WORKFLOWS)})
    if policy_path in names and not _same_but_for_addresses(policy, after, policy_path):
        touched.append(policy_path)
    if touched:
        raise GateError(
            f"The refresh changes {', '.join(f'`{each}`' for each in touched[:5])}, which judges the retraining.",
            why="A retraining may bring new data, and nothing that decides whether they are good enough. Of the policy "
            "it may change the addresses in `data`.",
            fix="Change it in a pull request of your own.",
        )


def judges_of(policy: Policy, path: str) -> set[str]:
    """The files that judge by the policy at `path`: schemas, profiles, keys, scorers and what these are run with."""
    named: list[str | None] = [each.schema_ for each in policy.data.values()]
    named += [each.against.reference for each in policy.data.values() if each.against and each.against.is_profile]
    if policy.signing:
        named += [policy.signing.public_key, policy.signing.certificate_chain]
    if policy.evaluation:
        modules = [each.use.partition(":")[0] for each in policy.evaluation.own_scorers.values()]
        named += [policy.evaluation.scorer_requirements, *(f"{Path(path).parent / name}.py" for name in modules)]
    return {os.path.normpath(each) for each in named if each}


def _same_but_for_addresses(before: Policy, text: str | None, path: str) -> bool:
    try:
        after = read_text(text or "", Policy, file=path)
    except PolicyError:
        return False
    if after.data.keys() != before.data.keys():
        return False
    addressed = {name: each.model_copy(update={"path": before.data[name].path}) for name, each in after.data.items()}
    return after.model_copy(update={"data": addressed}).digest == before.digest
