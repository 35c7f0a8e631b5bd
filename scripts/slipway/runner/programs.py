"""Programs that run apart, in an environment of their own: a request as JSON goes in, an answer as JSON comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slipway.runner import environments, errors
from slipway.runner.errors import RemoteError, SlipwayError
from slipway.runner.redaction import without_secrets

SCRIPTS = Path(__file__).resolve().parents[2]

Action = Callable[[dict[str, Any]], dict[str, Any]]


def call(
    python: Path,
    program: Path,
    action: str,
    given: Mapping[str, Any],
    *,
    broke: str,
    kinds: Mapping[str, type[SlipwayError]] = errors.BY_NAME,
) -> dict[str, Any]:
    """What `program` answers. Credentials reach it by the job's variables alone.

    Raises what it reports, by its name in `kinds`, and RemoteError where it breaks. broke: who did, for that error.
    """
    done = subprocess.run(
        # -P keeps the folders of the caller and of the program off the module path.
        [str(python), "-P", "-W", "ignore", str(program)],
        input=json.dumps({**given, "action": action}),
        env={**environments.clean_environ(), "PYTHONPATH": str(SCRIPTS), "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    try:
        said = json.loads(done.stdout)
    except ValueError:
        raise RemoteError(
            f"{broke} broke (exit code {done.returncode}).",
            why=without_secrets(done.stderr.strip()[-2000:]),
            fix="Signal 9 is mostly a lack of memory, `No space left` a full disk; else run the job again.",
        ) from None
    if failure := said.get("failure"):
        kind = kinds.get(failure["type"], RemoteError)
        raise kind(failure["what"], why=without_secrets(failure["why"]), fix=failure["fix"])
    return dict(said)


def serve(actions: Mapping[str, Action]) -> None:
    """Answer the one request on the standard input; whatever else is printed goes to the standard error."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    given = json.load(sys.stdin)
    try:
        said = actions[given.pop("action")](given)
    except SlipwayError as failure:
        parts = {"what": failure.what, "why": failure.why, "fix": failure.fix}
        said = {"failure": {"type": type(failure).__name__, **parts}}
    with answer:
        json.dump(said, answer)
