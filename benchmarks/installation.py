"""Building a stage's environment against `pip install -r requirements.txt`, from an empty cache and from a warm one.

The peer brings everything, since that is the one file a workflow has without Slipway; a stage brings its own group.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from timing import Ratio, clock, process

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("validate-data", "train-model", "evaluate-model", "post-report")
COLD_BUDGET, WARM_BUDGET_SECONDS = 0.1, 1.0


def measure() -> list[Ratio]:
    """Cold and warm for each group; the peer is measured once, since it takes more than a minute."""
    with tempfile.TemporaryDirectory() as folder:
        peer = clock(partial(with_pip, Path(folder)))
    ratios = []
    for group in STAGES:
        with tempfile.TemporaryDirectory() as folder:
            cold = clock(partial(build, group, Path(folder), "cold"))
            # uv itself, which a machine installs once (1.3 s), counts to the cold time; here it is brought in first.
            build("uv", Path(folder), "warm")
            warm = clock(partial(build, group, Path(folder), "warm"))
        name = f"{group}: environment, empty cache, against pip with all of requirements.txt"
        ratios.append(Ratio(name, cold, peer, cold / peer, COLD_BUDGET))
        name = f"{group}: environment, warm cache, against one second"
        ratios.append(Ratio(name, warm, WARM_BUDGET_SECONDS, warm / WARM_BUDGET_SECONDS, 1.0))
    return ratios


def build(group: str, folder: Path, home: str) -> None:
    """Build the environment as the composite's first step does; both homes share one package cache."""
    script = str(ROOT / "scripts" / "build_environment.py")
    shared = {"UV_CACHE_DIR": str(folder / "packages"), "SLIPWAY_HOME": str(folder / home), "GITHUB_OUTPUT": ""}
    process([sys.executable, script, "--group", group], **shared)()


def with_pip(folder: Path) -> None:
    """What a workflow does without Slipway."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet", "--no-cache-dir"]
    process([*pip, "-r", str(ROOT / "requirements.txt")])()
