"""Two models' files: byte for byte, but for what MLflow writes anew whenever a model is saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from slipway.registry.digests import file_digests

VOLATILE = ("run_id", "model_id", "model_uuid", "utc_time_created", "artifact_path", "model_size_bytes")
"""Fields of the file MLmodel that say when, in which run and where a model was logged, and not what it is.

model_size_bytes: of the other files, which are compared themselves, and of MLmodel with the fields before it.
"""


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a model; of MLmodel that of its content without `VOLATILE`, where it can be read."""
    found = file_digests(folder)
    if "MLmodel" in found:
        try:
            said = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return found
        if isinstance(said, dict):
            found["MLmodel"] = hashlib.sha256(_canonical(said)).hexdigest()
    return found


def _canonical(said: Mapping[str, Any]) -> bytes:
    kept = {key: value for key, value in said.items() if key not in VOLATILE}
    return json.dumps(kept, sort_keys=True, default=str).encode()


def differences(recorded: Mapping[str, str], rebuilt: Mapping[str, str]) -> list[str]:
    """What differs, file by file, in words."""
    names = sorted(recorded.keys() | rebuilt.keys())
    said = {True: "differs", False: "was not made again"}
    return [
        f"`{name}` {said[name in rebuilt] if name in recorded else 'was not there before'}"
        for name in names
        if recorded.get(name) != rebuilt.get(name)
    ]
