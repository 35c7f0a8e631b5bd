"""The recorded commit in a folder of its own. The user's clone is read, and nothing in it is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from slipway.ledger.git import Git, GitError
from slipway.ledger.place import Place
from slipway.runner.errors import GateError, InputError, RemoteError
from slipway.runner.redaction import without_secrets

GONE = ("not our ref", "couldn't find remote ref", "no such remote ref")
"""What git says where the remote does not have the commit."""

NOT_BY_ID = ("unadvertised object",)
"""What it says where the remote gives no commit that no branch or tag points at."""

LOCAL_SETTINGS = Path(".dvc", "config.local")


@dataclass(frozen=True)
class Source:
    """Where commits come from. clone: git directory of the user's clone. top: its work tree. below: our folder in
    it."""

    place: Place
    clone: Path
    top: Path
    below: str

    @classmethod
    def around(cls, place: Place, folder: Path = Path()) -> Source:
        """The clone around `folder`. InputError where there is none."""
        try:
            said = subprocess.run(
                ["git", "rev-parse", "--path-format=absolute", "--git-common-dir", "--show-toplevel", "--show-prefix"],
                cwd=folder,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise InputError("git is not installed.", fix="Install git on the runner.") from error
        if said.returncode:
            raise InputError(
                "This folder is no clone of the repository.",
                why=without_secrets(said.stderr.decode(errors="replace").strip()),
                fix="Run the step inside of a checkout (actions/checkout comes first).",
            )
        clone, top, below = os.fsdecode(said.stdout).split("\n")[:3]
        return cls(place, Path(clone), Path(top), below)

    def check_out(self, commit: str, tree: Path) -> Path:
        """Make the work tree `tree` of exactly this commit; the folder in it that stands for ours.

        Objects that the user's clone has are read from there, and a commit that it lacks is fetched into the new tree.

        Raises GateError where neither clone nor remote have the commit, RemoteError where the remote does not answer.
        """
        try:
            return self._make(commit, tree)
        except GitError as failed:
            raise RemoteError(
                f"Commit {commit[:12]} could not be checked out.",
                why=without_secrets(failed.said[-1000:]),
                fix="A full disk is such a case. Else run the job again; nothing of the clone was touched.",
            ) from failed

    def _make(self, commit: str, tree: Path) -> Path:
        tree.mkdir(parents=True)
        git = Git(tree / ".git", (*self.place.settings, ("core.hooksPath", os.devnull)))
        self._begin(git, borrow=True)
        if not (git.commit_of(commit) and self._checked_out(git, tree, commit)):
            # A partial clone has the commit and lacks some of its files.
            shutil.rmtree(tree / ".git")
            self._begin(git, borrow=False)
            self._fetch(git, commit)
            self._put(git, tree, commit)
        if (tree / ".gitmodules").is_file():
            self._submodules(git, tree)
        self._bring_settings(tree)
        folder = tree / self.below
        if not folder.is_dir():
            raise InputError(
                f"Commit {commit[:12]} has no folder {self.below}.",
                fix="Run the step from the folder of the repository that the model was trained in.",
            )
        return folder

    def _begin(self, git: Git, *, borrow: bool) -> None:
        git.run("init", "--quiet")
        # DVC and Git LFS look for their remotes from here.
        git.run("config", "remote.origin.url", self.place.upstream)
        if shutil.which("git-lfs"):
            # Without its filter git-lfs brings contents and leaves the pointers. Few machines have it for all clones;
            # actions/checkout sets it in the clone alone.
            git.run("lfs", "install", "--local", "--skip-repo")
        if borrow:
            (git.folder / "objects" / "info").mkdir(parents=True, exist_ok=True)
            borrowed = self.clone / "objects"
            (git.folder / "objects" / "info" / "alternates").write_bytes(os.fsencode(borrowed) + b"\n")
            if (self.clone / "shallow").is_file():
                shutil.copy(self.clone / "shallow", git.folder / "shallow")

    def _fetch(self, git: Git, commit: str) -> None:
        upstream = self.place.upstream
        try:
            try:
                git.run("fetch", "--quiet", "--depth=1", upstream, commit)
            except GitError as refused:
                if not any(each in refused.said for each in NOT_BY_ID):
                    raise
                git.run("fetch", "--quiet", upstream, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        except GitError as failed:
            if any(each in failed.said.lower() for each in GONE):
                raise self._gone(commit) from failed
            raise RemoteError(
                f"Commit {commit[:12]} could not be fetched from {self.place.shown}.",
                why=without_secrets(failed.said[-1000:]),
                fix="Check that the runner reaches the repository. Give the step a `github-token` that may read it, or "
                "give actions/checkout `fetch-depth: 0`.",
            ) from failed
        if not git.commit_of(commit):
            raise self._gone(commit)

    def _gone(self, commit: str) -> GateError:
        return GateError(
            f"Commit {commit[:12]}, from which the version was trained, is gone from {self.place.shown}.",
            why="Neither this clone nor the remote has it: a branch was rewritten (force-pushed) or deleted, and git "
            "has forgotten what it held.",
            fix="Push the commit again from a clone that still has it, as a tag, so that it stays; else train again "
            "from a commit of a protected branch, and release that version.",
        )

    def _checked_out(self, git: Git, tree: Path, commit: str) -> bool:
        try:
            self._put(git, tree, commit)
        except GitError:
            return False
        return True

    @staticmethod
    def _put(git: Git, tree: Path, commit: str) -> None:
        # Git LFS brings its contents later, and says what it lacks; here it would fail without a word.
        as_pointers = ("filter.lfs.smudge=cat", "filter.lfs.process=", "filter.lfs.required=false")
        settings = [part for each in as_pointers for part in ("-c", each)]
        git.run("--work-tree", str(tree), *settings, "checkout", "--quiet", "--force", "--detach", commit)

    def _submodules(self, git: Git, tree: Path) -> None:
        try:
            git.run("-C", str(tree), "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
        except GitError as failed:
            raise RemoteError(
                "The submodules of the recorded commit could not be fetched.",
                why=without_secrets(failed.said[-1000:]),
                fix="Give the step access to their repositories.",
            ) from failed

    def _bring_settings(self, tree: Path) -> None:
        """DVC's local settings, which name remotes and their credentials: git keeps none of them."""
        for folder in dict.fromkeys((".", self.below)):
            found, place = self.top / folder / LOCAL_SETTINGS, tree / folder / LOCAL_SETTINGS
            if found.is_file() and place.with_name("config").is_file():
                shutil.copy(found, place)
