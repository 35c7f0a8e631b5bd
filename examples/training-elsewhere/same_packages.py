"""Hold what is installed where this runs against a lock, because the lock is what the provenance will name."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement


def main(lock: str) -> None:
    if different := different_from(Path(lock)):
        shown = ", ".join(f"{wanted} (here: {found or 'none'})" for wanted, found in list(different.items())[:10])
        sys.exit(f"{len(different)} packages here are not those of {lock}: {shown}. Make the cluster from the lock.")


def different_from(lock: Path) -> dict[str, str]:
    """Packages of the lock that are here in another version, or not at all."""
    lines = [line.removesuffix("\\").strip() for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line]
    wanted = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate()]
    return {str(each): found for each in wanted if (found := installed(each.name)) not in each.specifier}


def installed(name: str) -> str:
    """The version that is installed here; empty where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main(*sys.argv[1:])
