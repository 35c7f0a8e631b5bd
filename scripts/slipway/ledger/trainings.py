"""Whether a training may follow what the ledger says already: one version is one model, and of one registry."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.ledger.entries import Draft, Entry
from slipway.runner.errors import InputError

FIX = (
    "If you trained into a registry of your own, record into a ledger of your own (`remote`: another repository, or a "
    "path), or train with the team's `tracking-uri`. If the registry was moved or altered, bring that on record first: "
    "`command: acknowledge` of audit-trail with its `tracking-uri`, `model-version` and a `reason`."
)


def registry_of(entry: Draft) -> str:
    """The registry that an entry names; empty where it names none."""
    return str(entry.details.get("registry") or "")


def registries(entries: Sequence[Entry]) -> list[str]:
    """The registry whose version numbers each entry speaks of: the one that it names, or the one that the entries
    about its model named last. Entries from before the first name are counted to that one."""
    now = {entry.model: registry_of(entry) for entry in reversed(entries) if registry_of(entry)}
    found = []
    for entry in entries:
        now[entry.model] = registry_of(entry) or now.get(entry.model, "")
        found.append(now[entry.model])
    return found


def require_one_story(drafts: Sequence[Draft], on_record: Sequence[Entry]) -> None:
    """Hold the trainings among some drafts against the newest entries of the ledger, in their order.

    Raises InputError where one is of another registry than the model's entries named last, or names a version that is
    on record with another digest. Once recorded it would make the ledger contradict itself for good.
    """
    current: dict[str, tuple[str, int]] = {}
    digests: dict[tuple[str, str, str], tuple[str, int]] = {}
    for entry, registry in zip(on_record, registries(on_record), strict=True):
        if registry:
            current[entry.model] = (registry, entry.sequence)
        if entry.model_version and entry.model_digest:
            digests[entry.model, entry.model_version, registry] = (entry.model_digest, entry.sequence)
    for draft in drafts:
        if not (draft.event == "training" and draft.model_version):
            continue
        registry, number = current.get(draft.model, ("", 0))
        ours = registry_of(draft)
        if registry and ours and registry != ours:
            raise InputError(
                f"Version {draft.model_version} of `{draft.model}` is of another registry than those on record.",
                why=f"It is of the registry `{ours}`, and entry {number} speaks of `{registry}`. Every registry counts "
                "its versions from 1: one number would stand for two models.",
                fix=FIX,
            )
        digest, number = digests.get((draft.model, draft.model_version, registry), ("", 0))
        if digest and draft.model_digest and digest != draft.model_digest:
            raise InputError(
                f"Version {draft.model_version} of `{draft.model}` is on record as another model.",
                why=f"The training names the digest {draft.model_digest}, and entry {number} {digest}.",
                fix=FIX,
            )
