"""Reports of stages that passed, found again by the digest of everything that they depended on.

They lie in a folder that the caller names, one subfolder for each digest. Whoever may write there may say that a stage
passed, so runs of different trust must not share it: GitHub's own cache keeps those of pull requests apart.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.report.model import Report, Verdict
from slipway.runner import commands
from slipway.runner.context import Run
from slipway.runner.environments import LOCKS, REPOSITORY
from slipway.runner.errors import InputError

REPORT = "report.json"
ATTACHED = frozenset({"provenance.json", "provenance.intoto.json", "requirements.txt"})
"""Files that a stage leaves beside its report. No other may come from the folder: it could pass for a report."""


def key(stage: str, depends_on: dict[str, Any]) -> str:
    """Digest of all that a stage's result follows from: Slipway's own code and lock, and what the stage names."""
    said = json.dumps({"stage": stage, "slipway": own_code(stage), **depends_on}, sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def own_code(stage: str) -> str:
    """Digest of Slipway's scripts and of the stage's lock."""
    whole = hashlib.sha256()
    for file in (*sorted((REPOSITORY / "scripts").rglob("*.py")), LOCKS / f"{stage}.txt"):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        whole.update(f"{file.relative_to(REPOSITORY).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()


def find(folder: Path | None, wanted: str, beside: Path, *, stage: str, model: str) -> Report | None:
    """The report of an earlier pass, which says that it is one; None where there is none.

    beside: where this run's report will lie; the earlier one's attachments are copied there. What is damaged or is no
    pass is not used.
    """
    if folder and folder.exists() and not folder.is_dir():
        fix = "Name a folder; one that is not there yet is made."
        raise InputError(f"`reuse-from` is {folder}, which is no folder.", fix=fix)
    kept = folder / wanted if folder else None
    if kept is None or not (kept / REPORT).is_file():
        return None
    try:
        report = Report.read(kept / REPORT)
        intact = all(_digest(kept / name) == said for name, said in report.attachments.items())
    except (InputError, OSError) as error:
        commands.warning(f"An earlier report in {kept} is not used: {error}", title="Reuse")
        return None
    ours = (report.stage, report.model) == (stage, model) and report.attachments.keys() <= ATTACHED
    if report.verdict is not Verdict.PASS or not intact or not ours:
        commands.warning(f"An earlier report in {kept} is not used: it is damaged, or no pass.", title="Reuse")
        return None
    beside.mkdir(parents=True, exist_ok=True)
    for name in report.attachments:
        shutil.copy(kept / name, beside / name)
    where = report.reused_from or "an earlier run on this machine"
    commands.say(f"Nothing that {report.stage} depends on has changed since it passed: {where}")
    reason = f"Not run again: nothing that it depends on has changed since it passed on {report.started:%Y-%m-%d}."
    update = {"reasons": (reason, *report.reasons), "reused_from": where, "started": datetime.now(UTC)}
    return report.model_copy(update=update)


def keep(folder: Path | None, wanted: str, report: Report, beside: Path, run: Run) -> None:
    """Keep a pass, with its attachments, so that `find` finds it: the whole of it or nothing."""
    if folder is None or report.verdict is not Verdict.PASS or report.reused_from or (folder / wanted).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder, prefix=".unfinished-"))
    for name in report.attachments:
        shutil.copy(beside / name, made / name)
    report.model_copy(update={"reused_from": run.url or "an earlier run on this machine"}).write(made / REPORT)
    try:
        made.rename(folder / wanted)
    except OSError:
        shutil.rmtree(made)  # another run of the same work was faster


def _digest(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
