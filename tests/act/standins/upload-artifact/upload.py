"""Keep files as actions/upload-artifact does: relative to the given folder, without hidden ones, each name once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LEVELS = {"warn": "warning", "error": "error"}


def main() -> None:
    source = Path(os.environ["GITHUB_WORKSPACE"], os.environ["STANDIN_PATH"].strip())
    target = Path(os.environ["ACT_ARTIFACTS"], os.environ["STANDIN_NAME"])
    root = source if source.is_dir() else source.parent
    found = [file for file in (source, *source.rglob("*")) if file.is_file() and not hidden(file.relative_to(root))]
    if not found:
        level = os.environ["STANDIN_IF_NO_FILES_FOUND"]
        if level != "ignore":
            print(f"::{LEVELS[level]}::No files were found with the provided path: {source}.")
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
