"""Fetch a version's provenance statement from MLflow and take it apart for actions/attest; attest.yml runs this."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.policy.source import file_digest
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.runner import commands, context, outputs, stage
from slipway.runner.errors import GateError, InputError
from slipway.training import statement

KEPT_AS = f"slipway/{statement.FILE}"
MOST_SUBJECTS = 1024
"""As many as one attestation takes: https://github.com/actions/attest#subject-limits."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Fetch the provenance statement of a version."""

    model: str
    model_version: str
    statement_digest: str
    tracking_uri: str = ""
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The statement, its predicate alone, and its subjects as a list of checksums."""

    statement: Path
    predicate: Path
    subjects: Path


def main(given: Inputs) -> None:
    """Fetch, hold to the digest that the training job gave, and take apart."""
    registry = Registry(given.tracking_uri)
    version = registry.by_version(given.model, given.model_version)
    folder = (given.folder or context.home() / "statement").resolve()
    file = registry.run_file(version.run_id, KEPT_AS, folder) if version.run_id else None
    if file is None:
        raise InputError(
            f"{version.name.capitalize()} of `{version.model}` has no provenance statement.",
            why=f"The MLflow run {version.run_id or '(none)'} has no artifact {KEPT_AS}.",
            fix="Train it with train-model, which leaves one.",
        )
    require_digest(file, given.statement_digest, version)
    said = read(file)
    predicate, subjects = folder / "predicate.json", folder / "subjects.sha256"
    predicate.write_text(json.dumps(said["predicate"], ensure_ascii=False), encoding="utf-8")
    subjects.write_text(checksums(said["subject"]), encoding="utf-8")
    outputs.publish(Outputs(statement=file, predicate=predicate, subjects=subjects))


def require_digest(file: Path, expected: str, version: ModelVersion) -> None:
    """GateError where the file is not the one that the training job spoke of.

    The registry is open to whoever may write there, so what it holds is not vouched for by itself.
    """
    found = file_digest(file)
    if found != expected:
        raise GateError(
            f"The provenance statement of {version.name} of `{version.model}` is not the one that training wrote.",
            why=f"Its digest is {found}, and `statement-digest` says {expected}.",
            fix="Give the output `statement-digest` of the training that made this version. If it is that, somebody "
            "changed the statement: do not trust the version.",
        )


def read(file: Path) -> dict[str, Any]:
    """The statement. The digest vouches for what it says, so only what is relied upon here is looked at."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if (said["_type"], said["predicateType"]) == (statement.STATEMENT_TYPE, statement.PREDICATE_TYPE):
            return dict(said)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file.name} is not a provenance statement.", why=f"{type(error).__name__}: {error}"
        ) from error
    raise InputError(f"{file.name} is a statement of another type.", why=f"It is a {said['predicateType']}.")


def checksums(subjects: list[dict[str, Any]]) -> str:
    """The subjects in the form of `sha256sum`: the model as a whole first, then its files."""
    # A name over two lines would be two subjects.
    plain = [each for each in subjects if each["name"].isprintable()]
    if len(plain) > MOST_SUBJECTS or len(plain) < len(subjects):
        commands.warning(
            f"The attestation names the model as a whole and not its {len(subjects) - 1} files: more than "
            f"{MOST_SUBJECTS}, or with names that no list can hold. The digest of the whole covers them.",
            title="Attestation",
        )
        plain = subjects[:1]
    return "".join(f"{each['digest']['sha256']}  {each['name']}\n" for each in plain)


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
