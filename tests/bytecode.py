"""What one environment of a cache has compiled serves the others: most of their files are the same.

uv links every file of a package to the one in its own cache, so that two environments hold the same file, with the same
time, by which Python tells whether what was compiled is of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import warm_stage

KIND = f".{sys.implementation.cache_tag}.pyc"


def share(python: Path) -> None:
    """Link into the environment of `python`, once in a session, what others beside it have compiled."""
    ours = python.parent.resolve().parent
    try:
        warm_stage.place(str(ours), made="shared")
    except FileExistsError:
        return
    for site in ours.glob("lib/python*/site-packages"):
        packages = [each for each in site.iterdir() if (each / "__init__.py").is_file()]
        for other in ours.parent.glob(f"*/{site.relative_to(ours)}"):
            if other != site and not other.parents[2].is_symlink():
                for package in packages:
                    lend(other / package.name, package)


def lend(theirs: Path, ours: Path) -> None:
    """Link what was compiled of a package where it is the same one."""
    with suppress(FileNotFoundError):
        if not (theirs / "__init__.py").samefile(ours / "__init__.py"):
            return
        for source, compiled in modules(theirs):
            place = ours / compiled.relative_to(theirs)
            with suppress(FileNotFoundError, FileExistsError):
                if not place.exists() and source.samefile(ours / source.relative_to(theirs)):
                    place.parent.mkdir(exist_ok=True)
                    place.hardlink_to(compiled)


def modules(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Modules below a folder, and what was compiled of them."""
    for root, _, names in os.walk(folder):
        if root.endswith("__pycache__"):
            for name in names:
                if name.endswith(KIND):
                    yield Path(root).parent / f"{name.removesuffix(KIND)}.py", Path(root, name)
