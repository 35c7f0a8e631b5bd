"""The evaluation that a release stands on: found in the ledger, and held to the version that is in production now."""

from __future__ import annotations

from slipway.ledger.drafting import REPORT_FILE
from slipway.ledger.reading import Reading
from slipway.registry.mlflow import ModelVersion
from slipway.release.differences import Difference
from slipway.release.reading import MODEL_DIGEST
from slipway.report import Report
from slipway.runner.errors import InputError


def of_version(reading: Reading, candidate: ModelVersion, ref: str) -> bytes:
    """The newest evaluation of exactly these files that is on record, as it was written.

    ref: the run's own. What a run of another branch, a pull request's or a fork's has recorded does not count, since
    its workflow was that of the change; outside of GitHub, where `ref` is empty, any branch's does.

    Raises InputError where there is none, and as `Reading.entries` does.
    """
    reading.entries()
    digest = candidate.tags.get(MODEL_DIGEST, "")
    for each in reversed(reading.known):
        said = each.entry
        if (said.event, said.model, said.model_version) != ("evaluation", candidate.model, candidate.version):
            continue
        trusted = not said.trigger.fork and (not ref or said.trigger.ref == ref)
        if trusted and said.model_digest == digest and REPORT_FILE in each.files:
            return reading.ledger.git.run("cat-file", "blob", each.files[REPORT_FILE])
    by = f" by a run of {ref}" if ref else ""
    raise InputError(
        f"No evaluation of {candidate.name} of `{candidate.model}` is on record.",
        why=f"The ledger of {reading.ledger.place.shown} has none of these files{by}.",
        fix="Let pipeline.yml (or evaluate-model and record-reports) judge this version first, or give the path of its "
        "report as `evaluation-report`.",
    )


def of_another_time(evaluation: Report, production: ModelVersion | None) -> list[Difference]:
    """A difference where the candidate was compared with another version than the one that it would replace."""
    if production is None:
        return []
    against = next((each for each in evaluation.subjects if each.role == "production"), None)
    if against and (not against.name.isdecimal() or against.id == production.tags.get(MODEL_DIGEST, "")):
        return []
    was = f"version {against.name}" if against else "nothing: it was the first release then"
    return [Difference("evaluation", "compared with", f"version {production.version}", was)]
