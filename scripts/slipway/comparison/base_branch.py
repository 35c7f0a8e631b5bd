"""The base branch's model, trained anew from its commit: a baseline for teams that have no registry yet."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from slipway.registry.mlflow import Registry, default_store
from slipway.runner import stages
from slipway.runner.context import Run, home
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Rebuilt:
    """A model that was trained for this comparison alone. lock: of its environment; None where it has none."""

    model: Path
    lock: Path | None


def base_commit(run: Run) -> str:
    """The commit to compare with: the pull request's base, or else the first parent of what is checked out.

    Raises InputError where the clone does not hold it.
    """
    commit = run.base_sha or "HEAD^1"
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").strip()
    except InputError as error:
        raise InputError(
            f"The commit to compare with ({commit}) is not in this clone.",
            why="`evaluation.baseline` of the policy is `base-branch`.",
            fix="Give actions/checkout `fetch-depth: 0`; a repository's first commit has nothing to be compared with.",
        ) from error


def rebuild(commit: str, model: str, policy: Path, scratch: Path) -> Rebuilt:
    """Train the model of `commit` with that commit's own training command, in a work tree and registry of its own.

    policy: relative to the working folder, which may be a subfolder of the repository. Work tree and registry are gone
    afterwards, and nothing enters the team's registry.

    Raises InputError where that commit has no such policy, or its training fails.
    """
    tree = scratch / "base-branch"
    below = _git("rev-parse", "--show-prefix").rstrip("\n")
    _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
    try:
        folder = tree / below
        if not (folder / policy).is_file():
            raise InputError(
                f"The base branch has no {policy} yet, so its model cannot be trained.",
                why=f"`evaluation.baseline` is `base-branch`, and commit {commit[:12]} has no such file.",
                fix="Merge the policy with `baseline: registry` first.",
            )
        return _trained(commit, model, folder, policy, scratch)
    finally:
        _git("worktree", "remove", "--force", str(tree))


def _trained(commit: str, model: str, folder: Path, policy: Path, scratch: Path) -> Rebuilt:
    uri = f"sqlite:///{(scratch / 'base-branch.db').resolve()}"
    report = scratch / "base-branch-report" / "train-model.json"
    said = {"policy": str(policy), "tracking_uri": uri, "report": str(report.resolve())}
    # In the summary its page would pass for the candidate's.
    environ = {"GITHUB_STEP_SUMMARY": "", "SLIPWAY_HOME": str(home()), "MLFLOW_TRACKING_URI": uri}
    ran = stages.run("train-model", said, folder=folder, environ=environ)
    if ran.code:
        raise InputError(
            f"The base branch's model could not be trained from commit {commit[:12]}.",
            why=f"Its train-model ended with exit code {ran.code}; the log above says why.",
            fix="Mend the base branch, or compare with the registry's version (`baseline: registry`).",
        )
    with default_store(uri):  # it is gone in a moment
        registry = Registry(uri)
        version = registry.by_version(model, ran.said["model-version"])
        found = registry.download(version, scratch / "base-branch-download")
        # A store on this machine answers with the folder itself, which goes with the work tree.
        files = Path(shutil.copytree(found, scratch / "base-branch-model"))
        lock = registry.run_file(version.run_id, "slipway/requirements.txt", scratch / "base-branch-report")
        kept = Path(shutil.copy(lock, scratch / "base-branch-requirements.txt")) if lock else None
    return Rebuilt(files, kept)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    if done.returncode:
        why = " ".join(done.stderr.decode(errors="replace").split())
        raise InputError(f"`git {arguments[0]} {arguments[1]}` failed.", why=why, fix="Run it inside of a clone.")
    return done.stdout.decode(errors="surrogateescape")
