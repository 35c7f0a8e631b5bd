"""What is in a base image, asked of its Python."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from slipway.containers.engines import Builder
from slipway.runner.errors import RemoteError
from slipway.runner.wheels import Target

PROBE = """
import json, os, platform, sys
libc, version = platform.libc_ver()
if not libc and any(name.startswith("ld-musl") for name in os.listdir("/lib")):
    libc = "musl"
packages = []
try:
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as file:
        for part in file.read().split("\\n\\n"):
            said = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line and line[0] != " ")
            if said.get("Status", "").endswith(" installed"):
                packages.append(["deb", said["Package"], said["Version"], said.get("Architecture", "")])
except OSError:
    pass
release = {}
try:
    with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
        release = dict(line.strip().replace('"', "").split("=", 1) for line in file if "=" in line)
except OSError:
    pass
print(json.dumps({"python": sys.executable, "real_python": getattr(sys, "_base_executable", sys.executable),
    "version": "%d.%d" % sys.version_info[:2], "full": platform.python_version(), "path": os.environ.get("PATH", ""),
    "machine": platform.machine(), "libc": libc, "libc_version": version, "packages": packages,
    "system": release.get("ID", ""), "system_version": release.get("VERSION_ID", "")}))
"""
"""Asked of the base image's Python, from 3.8 on."""


@dataclass(frozen=True)
class Base:
    """What is in a base image. real_python: the interpreter below `python`, where that is a virtual environment's.
    path: of its PATH. packages: the system's own, as kind, name, version and architecture."""

    python: str
    real_python: str
    full_version: str
    target: Target
    path: str
    system: str
    system_version: str
    packages: tuple[tuple[str, str, str, str], ...]


def look_into(builder: Builder, image: str) -> Base:
    """Pull a base image and ask its Python. RemoteError where it cannot be had, has none, or answers what is none."""
    builder.pull(image)
    answer = builder.run(image, "python3", "-I", "-c", PROBE)
    try:
        told: dict[str, Any] = json.loads(answer)
        return Base(
            python=str(told["python"]),
            real_python=str(told["real_python"]),
            full_version=str(told["full"]),
            target=Target(str(told["version"]), str(told["machine"]), str(told["libc"]), str(told["libc_version"])),
            path=str(told["path"]),
            system=str(told["system"]),
            system_version=str(told["system_version"]),
            packages=tuple((str(a), str(b), str(c), str(d)) for a, b, c, d in told["packages"]),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise RemoteError(
            f"`python3` of {image} is no Python that answers.",
            why=f"It said: {answer[:300]}",
            fix="Take an image of Python, by digest.",
        ) from error
