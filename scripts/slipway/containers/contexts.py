"""What an image is built from, so that the same content gives the same layers on any day and machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from slipway.runner.errors import InputError

UNWANTED = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
"""Files of an installation that say when, how and from where it was made."""


def normalise(folder: Path, epoch: int) -> None:
    """Take out what says who installed packages and when; one time for everything, and modes that follow from what a
    file is and not from who unpacked it."""
    for file in [*folder.rglob("*")]:
        if file.name in ("__pycache__", ".lock"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        elif file.name in UNWANTED and file.parent.name.endswith(".dist-info"):
            file.unlink()
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            path = Path(place, name)
            if not path.is_symlink():
                executable = path.is_dir() or bool(path.stat().st_mode & 0o100)
                path.chmod(0o755 if executable else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
    folder.chmod(0o755)


def require_no_links(folder: Path) -> None:
    """InputError where a model or a package brings a link, which could lead anywhere."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise InputError(f"{path.relative_to(folder)} is a link.", fix="Take it out of the model or package.")
