"""One attempt at a recorded training: its commit, data, environment, parameters, command, seed; a store of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from slipway import datasets
from slipway.datasets import DatasetVersion
from slipway.datasets.address import is_remote
from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.policy.source import SourcedPolicy
from slipway.policy.training import Training
from slipway.registry.digests import digest
from slipway.registry.mlflow import Registry
from slipway.reproduction.recorded import Recorded
from slipway.reproduction.worktree import Source
from slipway.runner import commands, context, environments
from slipway.runner.errors import GateError, InputError, PolicyError, RemoteError, SlipwayError
from slipway.training import contained, fitting, provenance, repository
from slipway.training.contained import Contained
from slipway.training.places import Machine, Place
from slipway.training.provenance import Provenance

STORES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
LITTLE_SPACE = 10_000_000
"""Bytes that are left on a full disk."""

NOT_ON_INDEX = ("was not found in the package registry", "there is no version of", "has no wheels with a matching")
OTHER_FILE = ("hash mismatch",)
NOT_IN_REGISTRY = ("manifest unknown", "manifest_unknown", "name unknown", "not found")
LOST_BY_DVC = ("do not exist neither locally nor on remote",)


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What an attempt made. made: as a training would record it. folder: where it ran. sourced: the commit's policy."""

    made: Provenance
    model: Path
    folder: Path
    sourced: SourcedPolicy


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What all attempts at one version share. store: address of a throw-away one. scratch: a folder that goes away.
    folders: of the attempts so far.

    What costs more is made later, when what costs less was found to be there.
    """

    recorded: Recorded
    source: Source
    store: str
    scratch: Path
    folders: list[Path] = field(default_factory=list)

    @cached_property
    def registry(self) -> Registry:
        """Where attempts log their runs and models."""
        return Registry(self.store)

    @cached_property
    def python(self) -> Path:
        """Of the recorded environment, built on this machine when commit and data are found to be there."""
        with contextlib.chdir(self.folders[0]):
            return build_environment(self.recorded, self.scratch)

    @cached_property
    def place(self) -> Place:
        """Where the command runs: with that environment, or in the recorded container."""
        made = self.recorded.made
        lock = self.scratch / "requirements.txt"
        lock.write_bytes(made.environment.lock.encode())
        if made.base.id:
            return build_container(made, lock if made.environment.lock else None)
        return Machine(self.python, lock)

    def clear(self) -> None:
        """Take away the image that was built, if one was."""
        place = self.__dict__.get("place")
        if isinstance(place, Contained) and place.tag:
            place.builder.remove(image=place.tag)

    def attempt(self, name: str, *, one_thread: bool = False) -> Rebuilt:
        """Train once more, from nothing, in a folder of its own below `scratch`.

        Raises GateError where something that is recorded is gone or is another one by now, or the command fails; other
        SlipwayErrors where that could not be found out.
        """
        with self.prepared(name) as prepared, _one_thread(one_thread):
            return self._train(prepared, self.scratch / f"{name}-made")

    @contextlib.contextmanager
    def prepared(self, name: str) -> Iterator[Rebuilt]:
        """All that comes before the command: the commit's folder, which is the current one meanwhile, and its data."""
        made, tree = self.recorded.made, self.scratch / name
        commands.say(f"Checking out {made.commit[:12]}")
        folder = self.source.check_out(made.commit, tree)
        self.folders.append(folder)
        _share_cache(folder, tree, self.scratch / "dvc-cache")
        with contextlib.chdir(folder):
            sourced = policy_of(made)
            training = sourced.policy.training
            assert training is not None
            found = bring(made.datasets)
            place = self.place
            parameters = provenance.read_parameters(Path(training.parameters)) if training.parameters else {}
            before = replace(
                made,
                commit=repository.look().commit,
                datasets=found,
                parameters=parameters,
                environment=place.environment(),
                policy=sourced.provenance,
                machine=place.machine(),
                base=place.base(),
                model_digest="",
                payload_digest="",
            )
            yield Rebuilt(made=before, model=Path(), folder=folder, sourced=sourced)

    def _train(self, prepared: Rebuilt, scratch: Path) -> Rebuilt:
        training, before = prepared.sourced.policy.training, prepared.made
        assert training is not None
        scratch.mkdir()
        experiment = training.experiment or before.model
        run_id = self.registry.start_run(experiment, scratch.name, {"slipway.commit": before.commit})
        try:
            fitted = fitting.fit(self.registry, training, before, run_id, self.place, scratch)
        except fitting.CommandFailedError as failed:
            raise self._in_our_words(failed, training) from failed
        # A store on this machine may answer with its own folder.
        model = Path(shutil.copytree(fitted.files, scratch / "kept"))
        after = replace(
            before,
            seconds=round(fitted.ended.seconds, 3),
            peak_memory=fitted.ended.peak_memory,
            started=fitted.started,
            finished=fitted.finished,
            mlflow_run=run_id,
            model_digest=digest(model),
            payload_digest=digest(model, payload_only=True),
        )
        return replace(prepared, made=after, model=model)

    def _in_our_words(self, failed: fitting.CommandFailedError, training: Training) -> SlipwayError:
        """A command that fails cannot make the model again; one that was ended from outside may on another machine."""
        ended = failed.ended
        what = f"The recorded training command, run again, {ended.in_words(training.timeout_minutes * 60)}."
        took = f"The recorded training took {self.recorded.made.seconds:.0f} s."
        if ended.code is None or ended.code < 0 or shutil.disk_usage(self.scratch).free < LITTLE_SPACE:
            return InputError(
                what,
                why=f"{took} {failed.why}".strip(),
                fix="Use a machine with more memory or disk, or one that is as fast (`runs-on` of the workflow).",
            )
        fix = "See the step's log. What worked when the model was trained needs something that is not recorded."
        return GateError(what, why=failed.why, fix=fix)


@contextlib.contextmanager
def throw_away_store(scratch: Path) -> Iterator[str]:
    """The address of a store that nobody else sees. What a command logs or registers goes there, and then goes away."""
    # In a folder of its own: a container that logs there sees that folder, and not the recorded model's.
    (scratch / "store").mkdir()
    uri = f"sqlite:///{(scratch / 'store' / 'throw-away.db').resolve()}"
    # The command inherits these: one that registers its model by itself must not reach the team's registry.
    # What Slipway keeps stays where it is, whatever folder an attempt works in.
    with _variables({**dict.fromkeys(STORES, uri), "SLIPWAY_HOME": str(context.home())}):
        yield uri


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """The job's variables with these among them, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def build_environment(recorded: Recorded, scratch: Path) -> Path:
    """The Python of an environment made now from the recorded lock; none that an earlier step may have changed.

    The current folder is the commit's: a lock may name files beside it. A version without a lock, whose packages came
    with its container, has the requirements that lie beside the model.

    Raises:
        GateError: a package is gone from the index, or is another file there now.
        InputError: this machine has no Python of the recorded version.
        RemoteError: the index did not answer.
    """
    made = recorded.made
    training = policy_of(made).policy.training
    beside = Path(training.requirements or "").parent if training else Path()
    lock = beside / "slipway-recorded-lock.txt"
    kept = recorded.model / "requirements.txt"
    lock.write_bytes(made.environment.lock.encode() or (kept.read_bytes() if kept.is_file() else b""))
    try:
        python = find_python(made.environment.python)
        with _of_index():
            return environments.fresh(lock, scratch / "environment", python)
    finally:
        lock.unlink()


def build_container(made: Provenance, lock: Path | None) -> Contained:
    """The recorded container, with the packages of the recorded lock above its image, built anew.

    Raises GateError where the image is gone from its registry, or as `build_environment` does; InputError where this
    machine has no engine; RemoteError where registry or index did not answer.
    """
    training = policy_of(made).policy.training
    rules = training.container if training else None
    if rules is None:
        raise GateError(
            f"The version was trained in the container {made.base.image}, and the policy of its commit names none.",
            fix="Its provenance is not that of its commit. Do not trust the version.",
        )
    try:
        with _of_index():
            return contained.made(rules, made.base.image, lock, anew=True)
    except RemoteError as failed:
        if any(each in failed.why.lower() for each in NOT_IN_REGISTRY):
            raise GateError(
                f"The image {made.base.image}, in which the version was trained, is gone from its registry.",
                why=failed.why,
                fix="Push it there again from a machine that has it; else train again in an image that stays.",
            ) from failed
        raise


@contextlib.contextmanager
def _of_index() -> Iterator[None]:
    """What the index does not have any more, or has otherwise, shows that the record leads nowhere."""
    try:
        yield
    except (InputError, RemoteError) as failed:
        said = " ".join(failed.why.lower().split())
        if any(each in said for each in OTHER_FILE):
            raise GateError(
                "A package of the recorded lock is another file on the index than the one that was locked.",
                why=failed.why,
                fix="Do not go on: find out who replaced it. The ledger and the lock have the digest of the true one.",
            ) from failed
        if any(each in said for each in NOT_ON_INDEX):
            raise GateError(
                "A package of the recorded lock is not on the package index any more.",
                why=failed.why,
                fix="Put the file on an index of your own and name that in the job (`UV_INDEX`), or train again.",
            ) from failed
        raise


def find_python(version: str) -> str:
    """An interpreter of exactly this version if this machine has one, or else of its minor version (3.11).

    Raises InputError where there is neither: other minor versions run other packages.
    """
    minor = ".".join(version.split(".")[:2])
    named = [sys.executable, shutil.which(f"python{minor}") or ""]
    tools = Path(os.environ.get("RUNNER_TOOL_CACHE", os.devnull))  # where actions/setup-python keeps them
    named += map(str, sorted(tools.glob(f"Python/{version}/*/bin/python")))
    found = {environments.python_version(each): each for each in reversed(named) if each}
    if version in found:
        return found[version]
    close = [each for known, each in found.items() if known.startswith(f"{minor}.")]
    if close:
        return close[-1]
    raise InputError(
        f"The version was trained with Python {version}, and this machine has {', '.join(filter(None, found))}.",
        why="Another minor version runs other packages: what it trains would say nothing.",
        fix=f'Give the workflow `python-version: "{version}"` (actions/setup-python).',
    )


def policy_of(made: Provenance) -> SourcedPolicy:
    """The policy of the current folder, which is the commit's.

    Raises PolicyError where this Slipway cannot read it, or it has no training section.
    """
    path = Path(made.policy.get("policy", "slipway.yml"))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"The policy {path} of the recorded commit cannot be read.", why=str(error)) from error
    policy = read_text(text, Policy, file=f"{path} at commit {made.commit[:12]}")
    if policy.training is None:
        raise PolicyError(f"{path} at commit {made.commit[:12]} has no `training` section.")
    return SourcedPolicy(policy, path, text=text)


def with_recorded_addresses(rebuilt: Rebuilt) -> SourcedPolicy:
    """The commit's policy in which every dataset has the address of its recorded version."""
    policy, found = rebuilt.sourced.policy, rebuilt.made.datasets
    data = {
        name: each.model_copy(update={"path": found[name].path}) if name in found else each
        for name, each in policy.data.items()
    }
    return replace(rebuilt.sourced, policy=policy.model_copy(update={"data": data}))


def address_of(version: DatasetVersion) -> str:
    """Where exactly this version lies: its pinned address where its system gives one."""
    return version.pinned if is_remote(version.path) and version.pinned else version.path


def bring(recorded: Mapping[str, DatasetVersion]) -> dict[str, DatasetVersion]:
    """The recorded versions of all datasets, fetched to the current folder and held to their identity.

    Raises GateError where one is gone, or is another version by now.
    """
    return {name: _bring(name, version) for name, version in recorded.items()}


def _bring(name: str, wanted: DatasetVersion) -> DatasetVersion:
    path = address_of(wanted)
    said = f"The dataset `{name}` ({wanted.path}) of version {wanted}"
    try:
        datasets.fetch_missing(path)
        found = datasets.identify(path)
    except InputError as gone:
        if wanted.kind == "lfs":  # it is the machine that lacks something: git-lfs, or the right to read
            raise
        raise GateError(
            f"{said} is not there any more.", why=f"{gone.what} {gone.why}".strip(), fix=_advice(wanted)
        ) from gone
    except RemoteError as failed:
        if any(each in failed.why for each in LOST_BY_DVC):
            raise GateError(
                f"{said} is not in the DVC remote any more.", why=failed.why, fix=_advice(wanted)
            ) from failed
        raise
    if (found.kind, found.id) != (wanted.kind, wanted.id):
        raise DataChangedError(name, wanted, found)
    return replace(found, path=path)


class DataChangedError(GateError):
    """A dataset is another version than the recorded one, and that one cannot be had."""

    def __init__(self, name: str, wanted: DatasetVersion, found: DatasetVersion) -> None:
        super().__init__(
            f"The dataset `{name}` is not the one that the version was trained on: it has changed.",
            why=f"Recorded is {wanted.in_words}; what lies there now is {found}. Nothing was trained: a model of other "
            "data would show nothing.",
            fix=_advice(wanted),
        )
        self.name = name
        self.wanted = wanted
        self.found = found


def _advice(wanted: DatasetVersion) -> str:
    if wanted.immutable or wanted.pinned:
        return "Bring that version back to its store, or train again and release that version."
    return (
        "It was not versioned when the model was trained, so nothing holds on to it. Version it (docs/datasets.md), "
        "say `mutable_data: fail` in the policy, and train again."
    )


def _share_cache(folder: Path, tree: Path, cache: Path) -> None:
    """One DVC cache for all attempts, so that data are pulled once."""
    for place in dict.fromkeys((folder, tree)):
        if (place / ".dvc" / "config").is_file() and not (place / ".dvc" / "cache").exists():
            cache.mkdir(exist_ok=True)
            (place / ".dvc" / "cache").symlink_to(cache.resolve())


@contextlib.contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """What is started meanwhile has one processor and is told to start one thread."""
    if not wanted:
        yield
        return
    pins = hasattr(os, "sched_setaffinity")  # Linux
    processors = os.sched_getaffinity(0) if pins else set()
    with _variables(dict.fromkeys(provenance.THREADS, "1")):
        try:
            if pins:
                os.sched_setaffinity(0, {min(processors)})
            yield
        finally:
            if pins:
                os.sched_setaffinity(0, processors)
