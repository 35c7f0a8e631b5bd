"""Check a repository out as actions/checkout does: as shallow as asked for, detached, and perhaps with the token."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

EVERYTHING = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")


def main() -> None:
    # An empty `repository` means the caller's own, for the real action as well.
    caller = os.environ["GITHUB_REPOSITORY"]
    repository = os.environ["STANDIN_REPOSITORY"] or caller
    ref = os.environ["STANDIN_REF"] or (os.environ["GITHUB_SHA"] if repository == caller else "HEAD")
    folder = Path(os.environ["GITHUB_WORKSPACE"], os.environ["STANDIN_PATH"])
    remote = Path(os.environ["ACT_REMOTES"], f"{repository}.git")
    folder.mkdir(parents=True, exist_ok=True)

    git(folder, "init", "--quiet")
    # An address, since git ignores the depth of a clone from a path.
    git(folder, "remote", "add", "origin", remote.as_uri())
    depth = int(os.environ["STANDIN_FETCH_DEPTH"])
    if not depth:
        git(folder, "fetch", "--quiet", "origin", *EVERYTHING)
    limit = [f"--depth={depth}"] if depth else []
    git(folder, "fetch", "--quiet", "--no-tags", *limit, "origin", ref)
    git(folder, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
    if os.environ["STANDIN_PERSIST_CREDENTIALS"] != "false":
        git(folder, "config", "http.extraheader", "AUTHORIZATION: basic the-token-of-the-job")
    commit = git(folder, "rev-parse", "HEAD").strip()
    if re.fullmatch(r"[0-9a-f]{40}", ref) and commit != ref:
        raise SystemExit(f"::error::{ref} is not a commit")
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
        outputs.write(f"commit={commit}\n")
    print(f"Checked out {repository} at {commit}")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
