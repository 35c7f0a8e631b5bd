"""Keep files as actions/upload-artifact does: without hidden ones, each name once, relative to the given folder.

Where several paths are given, names are relative to the folder that all of them have in common, found or not.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LEVELS = {"warn": "warning", "error": "error"}


def main() -> None:
    workspace, paths = os.environ["GITHUB_WORKSPACE"], os.environ["STANDIN_PATH"].split("\n")
    sources = [Path(workspace, path.strip()) for path in paths if path.strip()]
    target = Path(os.environ["ACT_ARTIFACTS"], os.environ["STANDIN_NAME"])
    root = Path(os.path.commonpath(sources))
    root = root.parent if root.is_file() else root
    every = [file for source in sources for file in (source, *source.rglob("*"))]
    found = [file for file in every if file.is_file() and not hidden(file.relative_to(root))]
    if not found:
        level = os.environ["STANDIN_IF_NO_FILES_FOUND"]
        if level != "ignore":
            print(f"::{LEVELS[level]}::No files were found with the provided path: {', '.join(map(str, sources))}.")
        raise SystemExit(level == "error")
    if target.exists():
        raise SystemExit(f"::error::An artifact with the name {target.name} already exists on the workflow run.")
    for file in found:
        copy = target / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    print(f"Uploaded {len(found)} files as {target.name}")


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


if __name__ == "__main__":
    main()
