"""Which copy of a policy or schema judges a run: in a pull request the base branch's, so no change loosens its gate."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slipway.policy.dataset import Dataset
from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.runner.context import Run
from slipway.runner.errors import InputError, PolicyError


@dataclass(frozen=True)
class SourcedPolicy:
    """A policy and where its gates were read from."""

    policy: Policy
    path: Path
    gates_commit: str = ""
    """Commit of the base branch that the gates come from; empty where the work tree's own gates hold."""

    remarks: tuple[str, ...] = ()
    """What a reader of the report should know about the policy (changed here, new here)."""

    proposed: Policy | None = None
    """The policy as this pull request would have it, where that is another one than what judges it."""

    text: str = ""
    """The file's text that the gates were read from: an error names its line."""

    def data_for(self, purpose: Literal["candidate", "drift"]) -> dict[str, Dataset]:
        """The datasets that a candidate is made from and judged on, or the one that production sees.

        Raises PolicyError where the policy does not say what production sees.
        """
        if purpose == "candidate":
            return self.policy.candidate_data
        if self.policy.drift is None:
            raise PolicyError(
                f"{self.path} has no `drift` section, so it does not say what production sees.",
                fix="Add it with `current`, the dataset that production sees.",
                file=str(self.path),
            )
        name = self.policy.drift.current
        return {name: self.policy.data[name]}

    def gate_file(self, path: str, what: str = "schema") -> str:
        """Text of a file that belongs to the gates: the base branch's copy where the base judges. what: for errors."""
        if self.gates_commit:
            text = _at_commit(self.gates_commit, path)
            if text is not None:
                return text
        return _in_work_tree(Path(path), what)

    def trusted_file(self, path: str) -> str:
        """Text of a file that says whom to trust (a public key): from where the policy comes that names it.

        Other than a schema it is never taken from the change that brings it: PolicyError where the base lacks it.
        """
        if not self.gates_commit:
            return _in_work_tree(Path(path), "file")
        text = _at_commit(self.gates_commit, path)
        if text is None:
            raise PolicyError(
                f"The base branch has no {path}, which its policy names in `signing`.",
                why="A change must not bring the key by which it is judged.",
                fix="Bring the file to the base branch first.",
            )
        return text

    def remark_on(self, path: str) -> str:
        """What a reader should know about a gate file: that the change brings it, or that it alters it."""
        if not self.gates_commit:
            return ""
        judging, here = _at_commit(self.gates_commit, path), Path(path)
        if judging is None:
            return f"`{path}` is new in this pull request: its own copy judged the data."
        if here.is_file() and here.read_bytes().replace(b"\r\n", b"\n") != judging.encode():
            return f"This pull request changes `{path}`; the base branch's copy judged the data."
        return ""

    @property
    def provenance(self) -> dict[str, str]:
        """What a report says of the policy."""
        return {
            "policy": str(self.path),
            "policy_digest": self.policy.digest,
            "gates_from": self.gates_commit or "work tree",
        }


def load(path: Path, run: Run) -> SourcedPolicy:
    """The policy at `path`; in a pull request with its gates (all but `training`) taken from the base commit.

    `training` always comes from the change itself: it is part of what is judged.

    Raises:
        PolicyError: the policy is missing or says something that cannot be meant.
        InputError: the base commit is not in this clone, so its gates cannot be read.
    """
    text = _in_work_tree(path, "policy")
    head = read_text(text, Policy, file=str(path))
    if not run.base_sha:
        return SourcedPolicy(head, path, text=text)
    _require_commit(run.base_sha)
    base_text = _at_commit(run.base_sha, str(path))
    if base_text is None:
        remark = f"The policy `{path}` is new in this pull request: its own gates were applied."
        return SourcedPolicy(head, path, remarks=(remark,), text=text)
    base = read_text(base_text, Policy, file=f"{path} of the base branch")
    if base.pull_request.gates_from == "head":
        return SourcedPolicy(head, path, text=text)
    judged = base.model_copy(update={"training": head.training})
    if judged.digest == head.digest:
        return SourcedPolicy(judged, path, gates_commit=run.base_sha, text=base_text)
    remark = (
        f"This pull request changes `{path}`. It was judged by the base branch's gates; the new ones hold once it is "
        "merged."
    )
    return SourcedPolicy(judged, path, gates_commit=run.base_sha, remarks=(remark,), proposed=head, text=base_text)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _in_work_tree(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PolicyError(
            f"There is no {what} at {path}.",
            fix="Check the path: it is relative to the repository's root."
            + (" A policy starts from examples/flights/slipway.yml of Slipway." if what == "policy" else ""),
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"The {what} {path} cannot be read.", why=str(error)) from error


def _require_commit(commit: str) -> None:
    found = _git("cat-file", "-e", f"{commit}^{{commit}}")
    if found.returncode:
        raise InputError(
            f"The base commit {commit[:12]} of this pull request is not in this clone.",
            why=f"Its gates judge the change, so that a change cannot loosen its own gate. {_said(found)}".strip(),
            fix="Give actions/checkout `fetch-depth: 0`.",
        )


def _at_commit(commit: str, path: str) -> str | None:
    """Text of `path` (relative to the working folder, or absolute) at `commit`; None where it does not exist there.

    Raises InputError for a path outside of the repository: the base branch could say nothing of it.
    """
    # Symbolic links are not followed: the change could point one at a file that the base branch does not have.
    below = _git("rev-parse", "--show-prefix").stdout.decode().removesuffix("\n")
    inside = os.path.normpath(below + os.path.relpath(path))
    if inside.startswith(".."):
        raise InputError(f"{path} is not inside of the repository.", fix="Give a path inside of the checkout.")
    listed = _git("ls-tree", "--full-tree", commit, "--", inside)
    if not (listed.returncode or listed.stdout):
        return None
    shown = _git("show", f"{commit}:{inside}")
    try:
        if listed.returncode or shown.returncode:
            # Not the same as absent: a gate that cannot be read must not count as one that is new.
            raise InputError(f"{path} of the base branch cannot be read.", why=_said(shown))
        return shown.stdout.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path} of the base branch is not UTF-8.", why=str(error)) from error


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError as error:
        raise InputError(
            "git is not on the PATH, so the gates of the base branch cannot be read.",
            why=str(error),
            fix="Install git in the job's container, then check out again: without git there is no clone, either.",
        ) from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode(errors="replace").split())
