"""What the stages share, in floors: a module imports only from its own floor's package or from a lower floor."""

import gc
import sys
from pathlib import Path
from types import TracebackType

# A stage is a short process that makes thousands of classes at its start, none of them garbage. With Python's default
# of 700 the collector walks through all of them again and again: a tenth of the time until the first work.
gc.set_threshold(100_000, 20, 20)

SHARED = {
    "compare-delivery": "detect-drift",
    "init-project": "validate-data",
    "rollback-model": "deploy-model",
    "setup-environments": "assess-risk",
}
"""The environment of a script that has none of its own."""


def _say_how_to_build_it(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A script that is run by another Python than its environment's breaks off at its first import. Say what to do."""
    if not isinstance(error, ModuleNotFoundError):
        sys.__excepthook__(kind, error, trace)
        return
    script = Path(sys.argv[0])
    stage = script.stem.replace("_", "-")
    stage = SHARED.get(stage, stage)
    group = stage if (script.resolve().parents[1] / "requirements" / f"{stage}.txt").is_file() else "dev"
    sys.stderr.write(
        f"error: {script.name} needs the package {error.name}, which this Python ({sys.executable}) does not have.\n"
        f"What to do: `python3 {script.with_name('build_environment.py')} --group {group}` says which Python to take.\n"
    )


if Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parents[1]:
    sys.excepthook = _say_how_to_build_it
