"""From drift to a judged retraining on real flights: a model of the winter meets July.

Needs Python 3.11 and git, nothing else. Everything it makes lies in `.slipway/` of this repository. There is no GitHub
here: the governor makes a dry run, in which only GitHub could say whether a retraining is under way, and what it would
send is handed to the next step as GitHub would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import demo
from demo import HOME, LEDGER, ROOT, Story, commit, git, say

from slipway.runner import environments, outputs

LOOP = HOME / "loop"
REPOSITORY = LOOP / "flights"
RESULTS = LOOP / "results"
ARCHIVE = LOOP / "archive"
"""Where the months arrive."""

BEFORE = ("2013-01", "2013-02", "2013-03")
"""What had arrived when the model was made: two months to learn from, and one to be judged on."""

LATER = ("2013-04", "2013-05", "2013-06", "2013-07")
SEEN = "2013-07"
"""What production has seen of late."""

Report = dict[str, Any]


def main() -> None:
    """Release a model of the winter, look at July, let the governor decide, retrain, and judge what came of it."""
    started = time.monotonic()
    os.environ["SLIPWAY_CACHE"] = str(HOME)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{LOOP / 'mlflow.db'}"
    os.environ["FLIGHTS_ARCHIVE"] = str(ARCHIVE)
    shutil.rmtree(LOOP, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    print("Preparing the flights of January to July 2013 …", flush=True)
    months = {file.stem: file for file in demo.prepared_data().rglob("*.parquet")}
    build_repository(months)
    say(started, "the example repository is built: trained on January and February, judged on March")
    release = judged("first-release", "main", event={})
    demo.promote(release.version, folder=REPOSITORY)
    say(started, f"first-release: {release.verdict}; version {release.version} is in production")
    drift, decision = look(months)
    say(started, f"July against what it learned from: {drift['headline']}")
    going = [check["name"] for check in decision["checks"] if check["verdict"] == "pass"]
    say(started, f"the governor: {len(going)} of {len(decision['checks'])} rules let a retraining go")
    sent = {"inputs": dispatch(drift, decision)}
    arrive(LATER, months)
    branch, body = propose(sent)
    say(started, f"a retraining on May and June is proposed as {branch}")
    retrained = judged("retraining", branch, event=sent)
    versions = f"version {retrained.version} against version {release.version}"
    say(started, f"retraining: {retrained.verdict}; {versions}, on July")
    demo.audit("verify", folder=REPOSITORY)
    say_where_to_look(body, retrained, time.monotonic() - started)
    if retrained.verdict != "pass":
        sys.exit("The retraining did not recover what July took.")


def build_repository(months: dict[str, Path]) -> None:
    """The example of the demo, with the candidate that sees the weather, and what closes the loop."""
    examples = ROOT / "examples"
    shutil.copytree(examples / "flights", REPOSITORY, ignore=shutil.ignore_patterns("data", "__pycache__"))
    git("init", "--quiet", "--initial-branch=main", folder=REPOSITORY)
    git("apply", str(examples / "flights-candidates" / "better.patch"), folder=REPOSITORY)
    shutil.copytree(examples / "flights-loop" / ".github", REPOSITORY / ".github", dirs_exist_ok=True)
    for file in ("slipway.yml", "params.yaml", "refresh.py", "refresh.in", "refresh.txt"):
        shutil.copy(examples / "flights-loop" / file, REPOSITORY)
    schema = REPOSITORY / "schema.yml"
    schema.write_text(schema.read_text(encoding="utf-8").replace("max_age_days: 120", "max_age_days: 366"), "utf-8")
    arrive(BEFORE, months)
    for part, names in (("train", BEFORE[:2]), ("holdout", BEFORE[2:])):
        (REPOSITORY / "data" / part).mkdir(parents=True)
        for name in names:
            shutil.copy(months[name], REPOSITORY / "data" / part)
    demo.track_data(REPOSITORY)
    with (REPOSITORY / ".gitignore").open("a", encoding="utf-8") as ignored:
        ignored.write("/data/live/\n")
    commit("Predict late arrivals from what is known before departure", folder=REPOSITORY)


def arrive(names: tuple[str, ...], months: dict[str, Path]) -> None:
    """Months arrive in the archive."""
    ARCHIVE.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(months[name], ARCHIVE)


def judged(name: str, branch: str, *, event: dict[str, object]) -> Story:
    """The pipeline on a branch."""
    started_by = "workflow_dispatch" if event else ""
    return demo.judge(name, branch, event=event, event_name=started_by, repository=REPOSITORY, results=RESULTS)


def look(months: dict[str, Path]) -> tuple[Report, Report]:
    """What drift.yml does: validate what production sees, look for drift, record both, and let the governor decide."""
    folder = RESULTS / "drift"
    clone = folder / "clone"
    git("clone", "--quiet", str(REPOSITORY), str(clone), folder=REPOSITORY)
    live = clone / "data" / "live"
    live.mkdir()
    shutil.copy(months[SEEN], live)
    reports = {name: folder / f"{name}.json" for name in ("validate-data", "detect-drift", "dispatch-retraining")}
    run("validate-data", clone, folder, "--purpose", "drift", "--report", str(reports["validate-data"]))
    run("detect-drift", clone, folder, "--report", str(reports["detect-drift"]))
    seen = "\n".join(str(reports[name]) for name in ("validate-data", "detect-drift"))
    run("record-reports", clone, folder, "--reports", seen)
    given = ("--drift-report", str(reports["detect-drift"]), "--validation-report", str(reports["validate-data"]))
    said = ("--dry-run", "true", "--report", str(reports["dispatch-retraining"]))
    decided = run("dispatch-retraining", clone, folder, *given, *said)
    if decided["rule"] != "in flight":  # only GitHub knows
        sys.exit(f"The governor holds: {decided}")
    read = [json.loads(reports[name].read_text(encoding="utf-8")) for name in ("detect-drift", "dispatch-retraining")]
    return read[0], read[1]


def propose(sent: dict[str, object]) -> tuple[str, Path]:
    """What retrain.yml does before the pipeline: refresh the data, and propose the change. Branch and its text."""
    folder = RESULTS / "retraining-proposed"
    clone = folder / "clone"
    git("clone", "--quiet", str(REPOSITORY), str(clone), folder=REPOSITORY)
    event = folder / "event.json"
    event.write_text(json.dumps(sent), encoding="utf-8")
    started = {"GITHUB_EVENT_NAME": "workflow_dispatch", "GITHUB_EVENT_PATH": str(event)}
    refreshed = folder / "refresh-data.json"
    run("refresh-data", clone, folder, "--report", str(refreshed), **started)
    git("reset", "--hard", "--quiet", folder=clone)
    git("clean", "-fdq", folder=clone)
    proposed = folder / "propose-retraining.json"
    given = ("--refresh-report", str(refreshed), "--report", str(proposed))
    said = run("propose-retraining", clone, folder, *given, **started)
    run("record-reports", clone, folder, "--reports", f"{refreshed}\n{proposed}", **started)
    return said["branch"], Path(said["body"])


def dispatch(drift: Report, decision: Report) -> dict[str, str]:
    """The inputs of the dispatch that the governor would have sent."""
    said = decision["provenance"]
    newest = git("log", "--max-count=1", "--format=%(trailers:key=Event,valueonly)", LEDGER, folder=REPOSITORY)
    payload = {
        "model": decision["model"],
        "key": said["key"],
        "generation": said["generation"],
        "reason": drift["headline"],
        "cause": {"report": said["drift_report"], "window": said["window"]},
        "decision": newest.strip(),
        "requested_at": decision["started"],
    }
    return {"reason": str(drift["headline"]), "key": said["key"], "payload": json.dumps(payload)}


def run(stage: str, clone: Path, folder: Path, *options: str, **environ: str) -> dict[str, str]:
    """Run one stage, which may find against the data; its outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{stage}.outputs"
    written.write_text("", encoding="utf-8")
    script = ROOT / "scripts" / f"{stage.replace('-', '_')}.py"
    with (folder / f"{stage}.log").open("wb") as log:
        subprocess.run(
            [str(environments.for_group(stage)), str(script), *options],
            cwd=clone,
            env=demo.environ(SLIPWAY_HOME=str(folder), GITHUB_OUTPUT=str(written), **environ),
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    found = outputs.read(written)
    if not found:
        sys.exit(f"{stage} broke:\n{(folder / f'{stage}.log').read_text()}")
    return found


def say_where_to_look(body: Path, retrained: Story, seconds: float) -> None:
    """What there is to read."""
    entries = git("rev-list", "--count", LEDGER, folder=REPOSITORY).strip()
    print(f"\nDone in {seconds:.0f} s. Every step is in the ledger: {entries} entries, verified.\n")
    print(
        textwrap.dedent(
            f"""
            What to look at next:
              What drifted:                       {(RESULTS / "drift" / "detect-drift.json").relative_to(ROOT)}
              What the governor decided, and why: {(RESULTS / "drift" / "dispatch-retraining.json").relative_to(ROOT)}
              The pull request's text:            {body.relative_to(ROOT)}
              The comment that judges it:         {retrained.comment.relative_to(ROOT)}
              The policy:                         examples/flights-loop/slipway.yml"""
        )
    )


if __name__ == "__main__":
    main()
