"""What the registry of models says of a version's image, and what its evaluation's report says of the version."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slipway.packaging.contents import FOLDER, LOCK_FILE, LOCK_TAG, Plan
from slipway.packaging.distribution import Repository, sha256
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Report, Verdict
from slipway.runner.errors import GateError, InputError

IMAGE, INPUTS, LOCK, BASE = "slipway.image", "slipway.image_inputs", LOCK_TAG, "slipway.image_base"
"""Tags of a version: its image as `repository@sha256:…`, and digests of all that it was made from and its lock."""


def judged(path: Path | None, version: ModelVersion) -> str:
    """Digest of the golden batch that an evaluation's report names; empty where no report is given.

    Raises InputError where the report is of something else, GateError where the version did not pass.
    """
    if path is None:
        return ""
    report = Report.read(path)
    of_it = next((each for each in report.subjects if each.role == "candidate"), None)
    digest = version.tags.get("slipway.model_digest", "")
    if report.stage != "evaluate-model" or of_it is None or (report.model, of_it.id) != (version.model, digest):
        raise InputError(
            f"{path} is not the evaluation of {version.name} of `{version.model}`.",
            why=f"It is by {report.stage} on {of_it.id if of_it else 'nothing'} of `{report.model}`; this is {digest}.",
            fix="Give the `report` output of evaluate-model for this version.",
        )
    if report.verdict is not Verdict.PASS:
        raise GateError(
            f"The evaluation of {version.name} is {report.verdict.value}, so it is not packaged.",
            why=report.headline,
            fix="Package a version that has passed, or leave `evaluation-report` out where a person decided otherwise.",
        )
    batch = next((each.id for each in report.subjects if each.role == "golden"), "")
    if not batch:
        raise GateError(
            f"The evaluation of {version.name} kept no golden predictions.",
            why=" ".join(each for each in report.reasons if "golden" in each)[:500],
            fix="Run evaluate-model again, with the section `packaging` in the policy.",
        )
    return batch


def packaged_before(version: ModelVersion, plan: Plan, repository: Repository) -> str:
    """Digest of the image that was made from the very same and is still in the registry; empty where there is none."""
    name, _, digest = version.tags.get(IMAGE, "").partition("@")
    if name != repository.name or version.tags.get(INPUTS) != plan.digest or not digest:
        return ""
    return digest if repository.digest_of(digest) == digest and repository.digest_of(plan.tag) == digest else ""


def keep(files: Iterable[tuple[str, str, bytes]], report: Path) -> dict[str, str]:
    """Copies of an image's evidence beside the report; their digests by name, as the report names its attachments."""
    report.parent.mkdir(parents=True, exist_ok=True)
    for _, name, content in (kept := list(files)):
        report.with_name(name).write_bytes(content)
    return {name: sha256(content) for _, name, content in kept}


def record(registry: Registry, version: ModelVersion, plan: Plan, image: str, scratch: Path) -> None:
    """Say which image is the version's. The image's own name comes last: where it stands, all of it does."""
    lock = scratch / LOCK_FILE
    lock.write_text(plan.lock.text, encoding="utf-8")
    registry.log_file(version.run_id, lock, FOLDER)
    registry.tag_version(version, {INPUTS: plan.digest, LOCK: plan.lock.digest, BASE: plan.base, IMAGE: image})
