"""What a rebuild needs, collected while a candidate is trained, and written beside the model."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from slipway.datasets import DatasetVersion
from slipway.policy.source import file_digest
from slipway.runner.context import Run
from slipway.runner.errors import InputError

BASE_MODEL = "slipway.base_model"
"""Parameter or tag of its run by which a training command says what model it started from."""

SCHEMA_VERSION: Literal[1] = 1
"""Of provenance.json. A field that may be missing is added without a new version; any other change takes one."""

JOB = "slipway.job"
"""Parameter or tag of its run by which a training command names the job elsewhere that did its work."""

NUMERICAL = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "MKL_CBWR"),
    *("MKL_ENABLE_INSTRUCTIONS", "CUBLAS_WORKSPACE_CONFIG", "TF_DETERMINISTIC_OPS"),
)
"""Variables by which the job chooses the numerical libraries' code and threads: they round otherwise by them."""

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT"),
)
"""What libraries read how many threads they may start from."""

FREEZE = (
    "import importlib.metadata as m, json, platform; "
    "said = [d.metadata for d in m.distributions()]; "  # each look reads the file anew
    "print(json.dumps([platform.python_version(), sorted({f\"{s['Name']}=={s['Version']}\" "
    "for s in said if s['Name']}, key=str.lower), platform.platform()]))"
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The command's Python environment. lock: text of the requirements file that it was built from, if any."""

    python: str
    packages: tuple[str, ...]
    lock: str = ""
    lock_digest: str = ""
    hash_locked: bool = False
    """Whether every package was checked against a hash of the lock when the environment was built."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What the environment was built on: the hosted runner's image, a container, or nothing that could be told.

    image, version: as the policy, the runner or the job names them; empty where none does. id: where the policy names a
    container, of the image that ran (the digest of its configuration); with a lock that was built above `image`.
    """

    kind: Literal["hosted image", "container", "unknown"]
    image: str = ""
    version: str = ""
    id: str = ""

    def __str__(self) -> str:
        named = " ".join(filter(None, (self.image, self.version)))
        return self.kind if self.kind == "unknown" else f"{self.kind}: {named or 'not named'}"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Commit, data, parameters, environment and command of one training run; sizes in bytes, durations in seconds.

    run: who and which run, as the runner says it. started, finished: of the command, ISO 8601 in UTC. base_model: what
    the run itself names as the model that it started from. job: what it names as the job elsewhere that did the work.
    log_digest: of the command's output.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # for `read`; what it contains is read alike

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
    base: Base = Base(kind="unknown")
    base_model: str = ""
    job: str = ""
    started: str = ""
    finished: str = ""
    log_digest: str = ""
    schema_version: Literal[1] = SCHEMA_VERSION
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
            "hash_locked": str(self.environment.hash_locked).lower(),
            "base": str(self.base),
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
        said = {"workflow_run": "url", "workflow_attempt": "attempt"}
        said |= {name: name for name in ("actor", "actor_id", "triggering_actor")}
        tags |= {name: str(self.run[key]) for name, key in said.items() if self.run.get(key)}
        tags |= {
            name: getattr(self, name) for name in ("base_model", "job", "started", "finished") if getattr(self, name)
        }
        tags |= {f"dataset.{name}": str(version) for name, version in self.datasets.items()}
        return {f"slipway.{name}": value for name, value in tags.items()}


def describe_environment(python: Path, lock: Path | None) -> Environment:
    """Every installed package of the command's Python, and the lock that it was built from."""
    done = subprocess.run([str(python), "-I", "-c", FREEZE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"The Python of the training command, {python}, does not work.", why=done.stderr.strip())
    return environment_of(done.stdout, lock)


def environment_of(said: str, lock: Path | None) -> Environment:
    """What a Python answered to FREEZE, with the lock that its environment was built from."""
    version, packages, _ = json.loads(said)
    if lock is None:
        return Environment(python=version, packages=tuple(packages))
    text = lock.read_text(encoding="utf-8")
    return Environment(
        python=version,
        packages=tuple(packages),
        lock=text,
        lock_digest=file_digest(lock),
        hash_locked="--hash=" in text,  # then the installer was told to take nothing without one
    )


def describe_run(run: Run, commit: str) -> dict[str, str | int]:
    """Who and which run; all of it empty outside of GitHub Actions.

    `ref` is the branch, tag or pull request whose tip is the commit: of a pull request the head's, since the merge
    commit that GITHUB_SHA names is not what was trained from. Empty where the commit is the tip of neither.
    """
    head = f"refs/pull/{run.pull_request.get('number')}/head" if run.pull_request else ""
    return {
        "url": run.url,
        "id": run.run_id,
        "attempt": run.attempt,
        "event": run.event_name,
        "actor": run.actor,
        "actor_id": run.actor_id,
        "triggering_actor": run.triggering_actor,
        "repository": f"{run.server_url}/{run.repository}" if run.repository else "",
        "ref": run.ref if commit == run.sha else head if commit == run.head_sha else "",
        "workflow": f"{run.server_url}/{run.workflow_ref}" if run.workflow_ref else "",
    }


def describe_base(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> Base:
    """What the environment was built on, from what can be seen: nothing is guessed.

    A container cannot see the name of its own image; the job may say it in SLIPWAY_CONTAINER_IMAGE.
    """
    environ = os.environ if environ is None else environ
    if environ.get("SLIPWAY_CONTAINER_IMAGE"):
        return Base(kind="container", image=environ["SLIPWAY_CONTAINER_IMAGE"])
    if (root / ".dockerenv").exists() or environ.get("KUBERNETES_SERVICE_HOST"):
        return Base(kind="container")
    podman = root / "run" / ".containerenv"
    if podman.is_file():
        named = re.search(r'^image="(.*)"$', podman.read_text(encoding="utf-8"), flags=re.MULTILINE)
        return Base(kind="container", image=named[1] if named else "")
    # Set on the virtual machines that GitHub hosts; a self-hosted runner has neither.
    if environ.get("ImageOS") and environ.get("ImageVersion"):
        return Base(kind="hosted image", image=environ["ImageOS"], version=environ["ImageVersion"])
    return Base(kind="unknown")


def now() -> str:
    """This second, as provenance writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(path: Path) -> Provenance:
    """A provenance.json; InputError where it is none, has keys that are not known, or is of a later version."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise InputError(
                f"{path} has version {version} of its format, and this Slipway reads up to {SCHEMA_VERSION}.",
                fix="Use the Slipway that wrote it, or a later one.",
            )
        return TypeAdapter(Provenance).validate_json(text)
    except OSError as error:
        raise InputError(f"The provenance {path} cannot be read.", why=str(error)) from error
    except ValidationError as error:
        problems = [f"`{'.'.join(map(str, each['loc']))}`: {each['msg']}" for each in error.errors()[:5]]
        why = "; ".join(problems)
    except ValueError as error:
        why = f"It is no JSON: {error}"
    raise InputError(
        f"{path} is not a provenance of Slipway.",
        why=why,
        fix="Give the file slipway/provenance.json of the MLflow run that trained the model, unchanged.",
    )


def describe_machine() -> dict[str, str]:
    """Platform, processor and what numerical libraries are told: what a rebuild elsewhere may differ by.

    cpus: how many this process may use. settings: what the job tells numerical libraries, where it does.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": platform.processor() or _processor(),
        "cpus": str(allowed or ""),
        "settings": " ".join(f"{name}={os.environ[name]}" for name in NUMERICAL if os.environ.get(name)),
    }
    return {name: value for name, value in said.items() if value or name == "processor"}


def _processor(file: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, by which numerical libraries choose their code; Python does not know it on Linux."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return ""
    return found[1].strip() if found else ""


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
    return flatten(content)


def flatten(values: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys joined by dots, and values as text; others than texts as JSON."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat
