"""What a rebuild needs, collected while a candidate is trained, and written beside the model."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from slipway.datasets import DatasetVersion
from slipway.policy.source import file_digest
from slipway.runner.errors import InputError

FREEZE = (
    "import importlib.metadata as m, json, platform; "
    "print(json.dumps([platform.python_version(), sorted({f\"{d.metadata['Name']}=={d.version}\" "
    "for d in m.distributions() if d.metadata['Name']}, key=str.lower)]))"
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The command's Python environment. lock: text of the requirements file that it was built from, if any."""

    python: str
    packages: tuple[str, ...]
    lock: str = ""
    lock_digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Commit, data, parameters, environment and command of one training run; sizes in bytes, durations in seconds."""

    model: str
    commit: str
    clean: bool
    changes: tuple[str, ...]
    datasets: dict[str, DatasetVersion]
    parameters: dict[str, str]
    environment: Environment
    command: list[str]
    seed: int | None
    policy: dict[str, str]
    machine: dict[str, str]
    run: dict[str, str | int]
    seconds: float = 0.0
    peak_memory: int = 0
    model_digest: str = ""
    payload_digest: str = ""
    mlflow_run: str = ""
    schema_version: int = 1
    remarks: tuple[str, ...] = field(default_factory=tuple)

    def write(self, path: Path) -> Path:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def tags(self) -> dict[str, str]:
        """The same in short, as tags of the registered version."""
        tags = {
            "commit": self.commit,
            "clean": str(self.clean).lower(),
            "command": json.dumps(self.command),
            "environment": self.environment.lock_digest or "unlocked",
            "python": self.environment.python,
            "policy_digest": self.policy["policy_digest"],
            "model_digest": self.model_digest,
            "payload_digest": self.payload_digest,
            "platform": self.machine["platform"],
            "seconds": f"{self.seconds:.1f}",
            "peak_memory": str(self.peak_memory),
        }
        if self.seed is not None:
            tags["seed"] = str(self.seed)
        if self.run.get("url"):
            tags["workflow_run"] = str(self.run["url"])
        tags |= {f"dataset.{name}": str(version) for name, version in self.datasets.items()}
        return {f"slipway.{name}": value for name, value in tags.items()}


def describe_environment(python: Path, lock: Path | None) -> Environment:
    """Every installed package of the command's Python, and the lock that it was built from."""
    done = subprocess.run([str(python), "-I", "-c", FREEZE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"The Python of the training command, {python}, does not work.", why=done.stderr.strip())
    version, packages = json.loads(done.stdout)
    if lock is None:
        return Environment(python=version, packages=tuple(packages))
    text = lock.read_text(encoding="utf-8")
    return Environment(python=version, packages=tuple(packages), lock=text, lock_digest=file_digest(lock))


def describe_machine() -> dict[str, str]:
    """Platform and processor: what a rebuild elsewhere may differ by."""
    return {"platform": platform.platform(), "machine": platform.machine(), "processor": platform.processor()}


def read_parameters(path: Path) -> dict[str, str]:
    """A YAML or JSON file of parameters, nested keys joined by dots: `{"model": {"depth": 3}}` is `model.depth`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"The parameters file {path} cannot be read.",
            why=" ".join(str(error).split()),
            fix="Correct the file, or the path in `training.parameters` of the policy.",
            file=str(path),
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"The parameters file {path} is not a mapping of names to values.", file=str(path))
    return _flatten(content)


def _flatten(values: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat
