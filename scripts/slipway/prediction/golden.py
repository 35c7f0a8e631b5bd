"""The golden batch: some rows of the holdout, and what the candidate answered for them when it was judged.

It lies with the candidate's MLflow run, and an image of the version must give the same answers (package-model). A
request is what MLflow's scoring server takes, an answer what it gives, so that an image can be held to both.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.prediction import isolation
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.runner.errors import GateError

FOLDER, FILE = "slipway", "golden.json"
ARTIFACT = f"{FOLDER}/{FILE}"
TAG = "slipway.golden"
"""Tag of a version with the SHA-256 of its golden batch's file."""

MOST_BYTES = 1_000_000
FORMS = ("dataframe_split", "inputs")


@dataclass(frozen=True)
class Golden:
    """request: JSON for `/invocations`, with the rows under `dataframe_split` or `inputs`. answer: what came back,
    with one prediction for each row under `predictions`. digest: SHA-256 of the file (`sha256:…`)."""

    request: dict[str, Any]
    answer: dict[str, Any]
    digest: str

    @property
    def predictions(self) -> Any:
        """The answer's predictions: a list of values, rows or records, or lists by name."""
        return self.answer["predictions"]

    @property
    def rows(self) -> int:
        """How many rows the batch has."""
        return rows_of(self.request)


def positions(rows: int, wanted: int) -> tuple[int, ...]:
    """Positions of `wanted` of `rows` rows, evenly spread: the same for everybody, and from all parts of the file."""
    count = min(rows, wanted)
    return tuple(place * rows // count for place in range(count))


def rows_of(request: dict[str, Any]) -> int:
    """How many rows a request has."""
    if "dataframe_split" in request:
        return len(request["dataframe_split"]["data"])
    inputs = request["inputs"]
    return len(next(iter(inputs.values()))) if isinstance(inputs, dict) else len(inputs)


def left_by(output: Path, rows: int) -> bytes:
    """The golden batch that a candidate's process left, in canonical form; ValueError says why there is none.

    The process ran the candidate's code, so that what it left is checked like any input.
    """
    try:
        said = json.loads(isolation.read_left(output / FILE, MOST_BYTES))
    except (OSError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if isinstance(said, dict) and isinstance(said.get("absent"), str):
        raise ValueError(said["absent"])
    _check(said, rows)
    return (json.dumps(said, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def keep(registry: Registry, version: ModelVersion, content: bytes, scratch: Path) -> str:
    """Keep a golden batch with the version's run, and its digest as a tag; returns the digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if version.tags.get(TAG) != digest:
        file = scratch / FILE
        file.write_bytes(content)
        registry.log_file(version.run_id, file, FOLDER)
        registry.tag_version(version, {TAG: digest})
    return digest


def of_version(registry: Registry, version: ModelVersion, scratch: Path, *, expected: str = "") -> Golden:
    """The golden batch of a version.

    expected: the digest that an evaluation's report names; the version's tag by default.

    Raises GateError where there is none, or where it is not the one that was recorded.
    """
    recorded = expected or version.tags.get(TAG, "")
    file = registry.run_file(version.run_id, ARTIFACT, scratch) if version.run_id and recorded else None
    if file is None:
        raise GateError(
            f"{version.name.capitalize()} of `{version.model}` has no golden predictions.",
            why="Without what the candidate answered when it was judged, nobody knows if it answers alike elsewhere.",
            fix="First run evaluate-model on it, with the section `packaging` or `deployment` in the policy.",
        )
    content = file.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if digest != recorded:
        raise GateError(
            f"The golden predictions of {version.name} of `{version.model}` are not those that were recorded.",
            why=f"The file has the digest {digest}, and {recorded} was recorded.",
            fix="Find out who changed the run's artifacts, and run evaluate-model again.",
        )
    try:
        said = json.loads(content)
        _check(said)
    except (ValueError, RecursionError) as error:
        raise GateError("The golden predictions cannot be read.", why=str(error)[:500]) from error
    return Golden(said["request"], said["answer"], digest)


def _check(said: Any, rows: int | None = None) -> None:
    """ValueError unless this is a request of so many rows with an answer."""
    try:
        request, answer = said["request"], said["answer"]
        known = isinstance(request, dict) and len(request) == 1 and next(iter(request)) in FORMS
        complete = known and isinstance(answer, dict) and "predictions" in answer
        found = rows_of(request) if complete else 0
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"It holds no request with an answer: {error}") from error
    if not found or rows not in (None, found):
        raise ValueError("It holds no request with an answer for the rows that were asked for.")
