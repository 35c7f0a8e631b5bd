"""Caches as folders below ACT_CACHES, scoped as GitHub scopes them: one's own ref, then the default branch.

https://docs.github.com/actions/reference/workflows-and-actions/dependency-caching#restrictions-for-accessing-a-cache
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

DEFAULT = "refs/heads/main"


def scope(ref: str) -> Path:
    return Path(os.environ["ACT_CACHES"], ref.replace("/", "_"))


def restore(path: Path, key: str, beginning: str) -> None:
    for ref in dict.fromkeys((os.environ["GITHUB_REF"], DEFAULT)):
        folder = scope(ref)
        found = sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime) if folder.is_dir() else []
        for each in reversed(found):
            if each.name == key or (beginning and each.name.startswith(beginning)):
                shutil.copytree(each, path, dirs_exist_ok=True)
                print(f"Cache restored from key: {each.name} of {ref}")
                return
    print("Cache not found")


def save(path: Path, key: str) -> None:
    kept = scope(os.environ["GITHUB_REF"]) / key
    if path.is_dir() and not kept.exists():
        shutil.copytree(path, kept)
        os.utime(kept)
        print(f"Cache saved with key: {key}")
    else:
        print("Path does not exist, or the key is taken: nothing was saved")


if __name__ == "__main__":
    where, name = Path(os.environ["STANDIN_PATH"]), os.environ["STANDIN_KEY"]
    if sys.argv[1] == "restore":
        restore(where, name, os.environ["STANDIN_RESTORE_KEYS"].strip())
    else:
        save(where, name)
