"""MLflow: runs, logged models, registered versions and aliases.

MLflow is imported when a registry is opened: its import alone takes a second.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from slipway.runner.errors import InputError, RemoteError

PRODUCTION, CANDIDATE = "production", "candidate"

QUIET = {
    # Seven doubling retries, MLflow's default, keep a stage waiting for minutes before it says what is wrong.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class ModelVersion:
    """One registered version."""

    model: str
    version: str
    run_id: str
    source: str
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How people call it."""
        return f"version {self.version}"


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run has logged. uri: what a version is registered from."""

    model_id: str
    uri: str
    name: str


class Registry:
    """An MLflow tracking server, or database, with its model registry.

    Every method raises RemoteError, with MLflow's own words, where the system refuses or does not answer.
    """

    def __init__(self, tracking_uri: str = "") -> None:
        """Open the registry at `tracking_uri`, or at MLFLOW_TRACKING_URI. InputError where neither is given."""
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri:
            raise InputError(
                "No MLflow tracking server is named.",
                fix="Set the input `tracking-uri`, or MLFLOW_TRACKING_URI in the job's `env:` (for a try on one "
                "machine: `sqlite:///.slipway/mlflow.db`).",
            )
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        os.environ["MLFLOW_TRACKING_URI"] = self.uri = uri
        logging.getLogger("alembic").setLevel(logging.WARNING)
        with talking(f"open the MLflow store {shown(uri)}"):
            from mlflow import MlflowClient

            self.client = MlflowClient(uri, os.environ.get("MLFLOW_REGISTRY_URI") or uri)

    def start_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        """Start a run, creating the experiment where it is new. Returns the run's id."""
        with talking("start an MLflow run"):
            found = self.client.get_experiment_by_name(experiment)
            if found is not None and found.lifecycle_stage != "active":
                raise InputError(
                    f"The MLflow experiment `{experiment}` was deleted.",
                    fix="Restore it, or name another one in `training.experiment`.",
                )
            experiment_id = found.experiment_id if found else self._create_experiment(experiment)
            run = self.client.create_run(experiment_id, run_name=name, tags=dict(tags))
            return str(run.info.run_id)

    def _create_experiment(self, experiment: str) -> str:
        """Create an experiment. Two first runs of a model may do so at once, and one of them is late."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.create_experiment(experiment, artifact_location=beside_database(self.uri)))
        except MlflowException:
            made = self.client.get_experiment_by_name(experiment)
            if made is None:
                raise
            return str(made.experiment_id)

    def end_run(self, run_id: str, status: str) -> None:
        """Set a run FINISHED, FAILED or KILLED."""
        with talking(f"end the MLflow run {run_id}"):
            self.client.set_terminated(run_id, status)

    def log(self, run_id: str, *, tags: Mapping[str, str], parameters: Mapping[str, str]) -> None:
        """Add tags and parameters to a run. A parameter that the run has already keeps its value."""
        from mlflow.entities import Param, RunTag

        with talking(f"log to the MLflow run {run_id}"):
            known = self.client.get_run(run_id).data.params
            named = {parameter_name(key): value for key, value in parameters.items()}
            fresh = [Param(key, value[:6000]) for key, value in named.items() if key not in known]
            batch = [RunTag(key, value[:5000]) for key, value in tags.items()]
            for start in range(0, max(len(fresh), 1), 100):
                self.client.log_batch(run_id, params=fresh[start : start + 100], tags=batch if start == 0 else [])

    def folders(self, run_id: str) -> tuple[Path, ...]:
        """The folders of this machine in which the store keeps the run and its files; none for a server."""
        with talking(f"read the MLflow run {run_id}"):
            run = self.client.get_run(run_id)
            experiment = self.client.get_experiment(run.info.experiment_id)
        parts = urlsplit(self.uri)
        database = Path(parts.path[1:]).resolve().parent if parts.scheme == "sqlite" else local_path(self.uri)
        kept = [database, local_path(experiment.artifact_location), local_path(run.info.artifact_uri)]
        return tuple(dict.fromkeys(each for each in kept if each))

    def places(self, run_id: str) -> list[str]:
        """The addresses at which the files of a run and of its models lie."""
        with talking(f"read the MLflow run {run_id}"):
            run = self.client.get_run(run_id)
            ids = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
            models = [self.client.get_logged_model(model_id) for model_id in dict.fromkeys(ids)]
            return [str(run.info.artifact_uri), *(str(each.artifact_location) for each in models)]

    def log_file(self, run_id: str, file: Path, folder: str) -> None:
        """Keep a file among the run's artifacts."""
        with talking(f"store {file.name} with the MLflow run {run_id}"):
            self.client.log_artifact(run_id, str(file), folder)

    def parameters(self, run_id: str) -> dict[str, str]:
        """The run's parameters."""
        with talking(f"read the MLflow run {run_id}"):
            return dict(self.client.get_run(run_id).data.params)

    def said_of_run(self, run_id: str, name: str) -> str:
        """What a run says under `name`, as a parameter or else as a tag; nothing where it says nothing."""
        with talking(f"read the MLflow run {run_id}"):
            data = self.client.get_run(run_id).data
            return str(data.params.get(name) or data.tags.get(name) or "")

    def logged_models(self, run_id: str) -> list[LoggedModel]:
        """The models that the run has logged."""
        with talking(f"read the models of the MLflow run {run_id}"):
            outputs = self.client.get_run(run_id).outputs
            ids = [output.model_id for output in outputs.model_outputs] if outputs else []
            models = [self.client.get_logged_model(model_id) for model_id in dict.fromkeys(ids)]
            return [LoggedModel(str(m.model_id), f"models:/{m.model_id}", str(m.name)) for m in models]

    def log_model_folder(self, run_id: str, folder: Path, name: str = "model") -> None:
        """Log an MLflow model folder, as `save_model` writes it, to the run. InputError where it is none."""
        flavours = ",".join(_flavours(folder))
        with talking(f"log the model folder {folder}"):
            experiment_id = self.client.get_run(run_id).info.experiment_id
            logged = self.client.create_logged_model(
                experiment_id, name=name, source_run_id=run_id, model_type=flavours
            )
            self.client.log_model_artifacts(logged.model_id, str(folder))
            self.client.finalize_logged_model(logged.model_id, "READY")
            self.client.log_outputs(run_id, [_output(logged.model_id)])

    def register(self, model: str, logged: LoggedModel, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a logged model as a new version. Version and tags appear together or not at all."""
        from mlflow.exceptions import MlflowException

        with talking(f"register a version of `{model}`"):
            try:
                self.client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = self.client.create_model_version(
                model, logged.uri, run_id, tags=dict(tags), model_id=logged.model_id, await_creation_for=60
            )
            return _version(made)

    def identity(self, model: str) -> str:
        """What tells this registry's versions of a model from those of any other, which counts from 1 as well: when
        it began with the model. It stays when the server gets another address; empty where the model does not exist."""
        from mlflow.exceptions import MlflowException

        with talking(f"read the registered model `{model}`"):
            try:
                milliseconds = self.client.get_registered_model(model).creation_timestamp
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return ""
                raise
        began = datetime.fromtimestamp(milliseconds / 1000, UTC)
        return f"mlflow, begun {began.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias (`production`, `candidate`, an environment) at a version."""
        with talking(f"set the alias `{alias}` of `{model}`"):
            self.client.set_registered_model_alias(model, alias, version)

    def tag_version(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        with talking(f"tag {version.name} of `{version.model}`"):
            for name, value in tags.items():
                self.client.set_model_version_tag(version.model, version.version, name, value[:5000])

    def by_alias(self, model: str, alias: str) -> ModelVersion | None:
        """The version that an alias points at; None where the model or the alias does not exist."""
        from mlflow.exceptions import MlflowException

        with talking(f"read the alias `{alias}` of `{model}`"):
            try:
                return _version(self.client.get_model_version_by_alias(model, alias))
            except MlflowException as error:
                # A missing model has a code of its own; a missing alias of a known model is an invalid parameter.
                # Anything else (no answer, no permission) must never look like a first release.
                no_alias = error.error_code == "INVALID_PARAMETER_VALUE" and f"alias {alias} not found" in str(error)
                if error.error_code == "RESOURCE_DOES_NOT_EXIST" or no_alias:
                    return None
                raise

    def versions(self, model: str) -> list[ModelVersion]:
        """Every version of a model, oldest first; none where the model does not exist."""
        with talking(f"list the versions of `{model}`"):
            found, token = [], None
            # A filter has no escape for quotation marks; no name that MLflow took from us has one.
            wanted = None if "'" in model else f"name='{model}'"
            while True:
                page = self.client.search_model_versions(wanted, 1_000, page_token=token)
                found += [_version(each) for each in page if each.name == model]
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: int(version.version))

    def aliases(self, model: str) -> dict[str, str]:
        """The version that each alias of a model points at; none where the model does not exist."""
        from mlflow.exceptions import MlflowException

        with talking(f"read the aliases of `{model}`"):
            try:
                return {name: str(version) for name, version in self.client.get_registered_model(model).aliases.items()}
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise

    def candidate(self, model: str, version: str) -> ModelVersion:
        """The version that is asked for, or else that of the alias `candidate`. InputError where there is neither."""
        if version:
            return self.by_version(model, version)
        found = self.by_alias(model, CANDIDATE)
        if found is None:
            raise InputError(
                f"The registry has no candidate of `{model}`.",
                why=f"`model-version` was not given, and no version has the alias `{CANDIDATE}`.",
                fix="Run train-model first, or give `model-version`.",
            )
        return found

    def by_version(self, model: str, version: str) -> ModelVersion:
        """One version; InputError where it does not exist."""
        from mlflow.exceptions import MlflowException

        with talking(f"read version {version} of `{model}`"):
            try:
                return _version(self.client.get_model_version(model, version))
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                raise InputError(
                    f"The registry has no version `{version}` of `{model}`.",
                    fix="Give the `model-version` output of train-model, or a version that the registry lists.",
                ) from error

    def download(self, version: ModelVersion, folder: Path) -> Path:
        """The files of a version below `folder` (or where they lie, for a store on this machine)."""
        from mlflow.artifacts import download_artifacts

        with talking(f"download {version.name} of `{version.model}`"):
            uri = f"models:/{version.model}/{version.version}"
            return Path(download_artifacts(uri, dst_path=str(folder), tracking_uri=self.uri))

    def download_logged(self, logged: LoggedModel, folder: Path) -> Path:
        """The files of a logged model below `folder`."""
        from mlflow.artifacts import download_artifacts

        with talking(f"download the logged model {logged.name}"):
            return Path(download_artifacts(logged.uri, dst_path=str(folder), tracking_uri=self.uri))

    def run_file(self, run_id: str, path: str, folder: Path) -> Path | None:
        """A file of the run's artifacts; None where the run has none of that name."""
        with talking(f"read {path} of the MLflow run {run_id}"):
            parent = path.rpartition("/")[0] or None
            if path not in {entry.path for entry in self.client.list_artifacts(run_id, parent)}:
                return None
            folder.mkdir(parents=True, exist_ok=True)
            return Path(self.client.download_artifacts(run_id, path, str(folder)))


@contextmanager
def default_store(uri: str) -> Iterator[None]:
    """Have MLflow take the store at `uri` for its default meanwhile; a registry that is opened becomes it for good."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def beside_database(uri: str) -> str | None:
    """Where the artifacts of an SQLite database in another folder go: beside it. MLflow itself would leave them in the
    folder that it is called from, which is the user's checkout. None for everything else: MLflow knows where."""
    parts = urlsplit(uri)
    if parts.scheme != "sqlite" or not parts.path.strip("/"):
        return None
    folder = Path(parts.path[1:]).resolve().parent
    return None if folder == Path.cwd().resolve() else str(folder / "mlruns")


def local_path(uri: str) -> Path | None:
    """The folder of this machine that an address stands for; None for a server's or a store's."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else uri).resolve()


def shown(text: str) -> str:
    """An address, or a text with addresses, without user names and passwords."""
    return re.sub(r"(\w://)[^/\s]*@", r"\1", text)


def parameter_name(name: str) -> str:
    """`name` as MLflow takes it: no sign but `_`, `-`, `.`, `:`, `/` and blank, and nothing like a path upwards."""
    plain = re.sub(r"[^\w./: -]", "_", name)[:250]
    safe = posixpath.normpath(plain) == plain and plain != "." and not plain.startswith(("..", "/"))
    return plain if safe else re.sub(r"[/.]", "_", plain) or "_"


def _flavours(folder: Path) -> list[str]:
    """What the file MLmodel says; MLflow's own reader needs numpy, which the stage has no other use for."""
    import yaml

    try:
        said = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    except FileNotFoundError:
        why = "It has no file MLmodel."
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = f"Its file MLmodel cannot be read: {' '.join(str(error).split())}"
    else:
        if isinstance(said, dict) and isinstance(said.get("flavors"), dict):
            return list(map(str, said["flavors"]))
        why = "Its file MLmodel names no flavors."
    raise InputError(
        f"{folder} is not an MLflow model folder.",
        why=why,
        fix="Write it with `mlflow.<flavour>.save_model(model, path)`, or correct `training.model`.",
    )


def _output(model_id: str) -> Any:
    from mlflow.entities import LoggedModelOutput

    return LoggedModelOutput(model_id, step=0)


def _version(found: Any) -> ModelVersion:
    return ModelVersion(found.name, str(found.version), found.run_id or "", found.source or "", dict(found.tags or {}))


@contextmanager
def talking(doing: str) -> Iterator[None]:
    """Turn what MLflow, its HTTP client and its database raise into one RemoteError."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        if isinstance(error, (InputError, RemoteError)) or not _is_remote(error):
            raise
        raise RemoteError(f"MLflow could not {doing}.", why=_first_lines(error), fix=_repair(str(error))) from error


def _is_remote(error: Exception) -> bool:
    """MLflow's, SQLAlchemy's and the HTTP client's exceptions, and the operating system's."""
    modules = ("mlflow", "sqlalchemy", "requests", "urllib3", "alembic", "sqlite3")
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in modules


def _first_lines(error: Exception) -> str:
    text = shown(str(error).strip())
    return f"{type(error).__name__}: {text[:600]}"


def _repair(text: str) -> str:
    if "database is locked" in text:
        return "Another process writes to the SQLite file. Wait for it, or use an MLflow server for parallel runs."
    if "unable to open database file" in text:
        return "The folder of the SQLite file does not exist or cannot be written. Check the address."
    if "PERMISSION_DENIED" in text or "401" in text or "403" in text:
        return "Check MLFLOW_TRACKING_TOKEN (or user name and password) in the job's `env:` and what it may do."
    return "Check the address and that the server answers from the runner, and run the job again: nothing is half-done."
