"""Runs a workflow under act 0.2.87 on this machine, as GitHub would: no Docker, no downloads, servers on loopback only.

`Lab` holds the repositories that a workflow may check out and the stand-ins for third-party actions; `Lab.run` gives an
`ActRun`, which answers what a test asks about a run. What act cannot show: permissions of a job's token (every job has
the same one), path and branch filters, protection of environments, timeouts of jobs, concurrency, what a caller does
after a workflow that it called has failed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STAND_INS = Path(__file__).with_name("standins")
SLIPWAY = "your-org/slipway"
"""The name under which the examples call Slipway."""

PYTHON = Path(sys.executable).resolve()
"""The Python of the runs: that of the tests, without what they have installed."""

SLOWEST_RUN = 600.0
NOWHERE = "http://127.0.0.1:9"
"""A proxy that does not answer: act fails at once where it would download something."""

PASSED_ON = re.compile(r"PIP_|UV_|SSL_CERT_|REQUESTS_CA_BUNDLE$|CURL_CA_BUNDLE$|TMPDIR$")
"""How this machine reaches its package index. Nothing else of the tests' environment reaches a step."""


class StandInError(Exception):
    """A workflow uses an action, or an input of an action, that no stand-in has."""


@dataclass(frozen=True, kw_only=True)
class ActRun:
    """One run. code: act's exit code. log: act's JSON lines. errors: its standard error."""

    run_id: int
    code: int
    log: tuple[dict[str, Any], ...]
    errors: str
    artifacts: Path
    seconds: float

    @property
    def jobs(self) -> dict[str, str]:
        """Result of each job that ran, by its id."""
        return {line["jobID"]: line["jobResult"] for line in self.log if "jobResult" in line}

    def steps(self, job: str) -> dict[str, str]:
        """Result of each step of `job` that ran, by its name, in the order of the job."""
        main = [line for line in self._of(job) if line.get("stage") == "Main" and len(line.get("stepID", ())) == 1]
        return {line["step"]: line["stepResult"] for line in main if "stepResult" in line}

    def outputs(self, job: str, step: str) -> dict[str, str]:
        """Outputs of the step that is called `step`."""
        told = (line for line in self._of(job) if line.get("command") == "set-output" and line["step"] == step)
        return {line["name"]: line["arg"] for line in told}

    def summaries(self, job: str) -> list[str]:
        """The step summaries of `job`. act shows that of a composite several times."""
        told = (line["content"] for line in self._of(job) if line.get("command") == "summary")
        return list(dict.fromkeys(told))

    def annotations(self, job: str, command: str = "error") -> list[str]:
        """Messages of the annotations of `job`."""
        told = (str(line.get("arg", line["msg"])) for line in self._of(job) if line.get("command") == command)
        return list(dict.fromkeys(told))

    def printed(self, job: str) -> str:
        """What the steps of `job` printed, as a reader of the log sees it."""
        return "".join(line["msg"] for line in self._of(job) if line.get("raw_output"))

    def artifact(self, name: str) -> dict[str, str]:
        """Text of each file of an artifact, by its path; nothing where there is no such artifact."""
        folder = self.artifacts / name
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}

    def __str__(self) -> str:
        """The log for people, so that a failing assertion can show it: `assert run.code == 0, str(run)`."""
        shown = (
            line for line in self.log if line.get("raw_output") or "stepResult" in line or line["level"] == "error"
        )
        told = (f"{line.get('jobID', ''):10} {line['msg'].rstrip()}" for line in shown)
        return "\n".join([f"act ended with {self.code} after {self.seconds:.0f} s", *told, self.errors])

    def _of(self, job: str) -> Iterator[dict[str, Any]]:
        return (line for line in self.log if line.get("jobID") == job)


class Lab:
    """A folder with all that the runs of one test module share.

    `commit` is that of Slipway: the work tree of `root` as it is now, committed.
    """

    def __init__(self, folder: Path, act: Path, root: Path) -> None:
        self.folder = folder
        self._act = act
        self._runs = 0
        self._environ = self._own_environ()
        self.git(folder, "config", "--file", self._environ["GIT_CONFIG_GLOBAL"], "user.name", "Tests")
        for name, value in {
            "user.email": "tests@example.invalid",
            "init.defaultBranch": "main",
            # GitHub hands out any commit that is asked for by its id.
            "uploadpack.allowAnySHA1InWant": "true",
            # What the ledger pushes to GitHub arrives here.
            f"url.{(folder / 'remotes').as_uri()}/.insteadOf": "https://github.com/",
        }.items():
            self.git(folder, "config", "--file", self._environ["GIT_CONFIG_GLOBAL"], name, value)
        self._slipway = folder / "slipway"
        self._copy_work_tree(root)
        self._bridge_nested_workflows()
        self._leave_out_queues()
        self.git(self._slipway, "init", "--quiet")
        self.commit = self.commit_all(self._slipway, "The work tree")
        self.publish(self._slipway, SLIPWAY)

    def git(self, folder: Path, *arguments: str) -> str:
        """Run git with a configuration of its own."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=self._environ,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def commit_all(self, folder: Path, message: str) -> str:
        """Commit everything; its id."""
        self.git(folder, "add", "--all")
        self.git(folder, "commit", "--quiet", "--message", message)
        return self.git(folder, "rev-parse", "HEAD")

    def publish(self, folder: Path, name: str) -> None:
        """Push every branch and reference of a repository to where a checkout of `name` finds it."""
        remote = self.folder / "remotes" / f"{name}.git"
        if not remote.exists():
            self.git(self.folder, "init", "--quiet", "--bare", str(remote))
        # What a run pushed there stays.
        self.git(folder, "push", "--quiet", "--force", str(remote), "refs/*:refs/*")

    def run(
        self,
        repository: str,
        workflow: str,
        event: str,
        payload: Mapping[str, Any],
        *,
        commit: str,
        api_url: str,
        secrets: Mapping[str, str],
        variables: Mapping[str, str],
        environ: Mapping[str, str] | None = None,
    ) -> ActRun:
        """Let `event` start `workflow` of `repository` as it is at `commit`, which is GITHUB_SHA.

        `secrets` needs GITHUB_TOKEN. `environ` is set for every step, like variables of a self-hosted runner.
        """
        self._runs += 1
        run_id = 4200 + self._runs
        here = self.folder / f"run-{self._runs}"
        start, artifacts = here / "start", here / "artifacts"
        artifacts.mkdir(parents=True)
        self.git(here, "clone", "--quiet", "--no-checkout", str(self.folder / "remotes" / f"{repository}.git"), "start")
        self.git(start, "checkout", "--quiet", "--detach", commit)
        (here / "event.json").write_text(json.dumps(payload), encoding="utf-8")
        replaced = self.replacements(start / workflow)
        for_steps = {
            "GITHUB_REPOSITORY": repository,
            "GITHUB_API_URL": api_url,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": str(run_id),
            "GITHUB_RUN_ATTEMPT": "1",
            "GIT_TERMINAL_PROMPT": "0",
            # The proxy is for act alone.
            "HTTP_PROXY": "",
            "HTTPS_PROXY": "",
            "ACT_PYTHON": str(PYTHON),
            "ACT_REMOTES": str(self.folder / "remotes"),
            "ACT_ARTIFACTS": str(artifacts),
            "ACT_CACHES": str(self.folder / "caches"),
            **(environ or {}),
        }
        # act takes Slipway's own address from variables where GitHub knows it by itself.
        variables = {"SLIPWAY_REPOSITORY": SLIPWAY, "SLIPWAY_REF": self.commit, **variables}
        command = [
            *(str(self._act), event, "-C", str(start), "-W", workflow, "-e", str(here / "event.json")),
            *("-P", "ubuntu-latest=-self-hosted", "--no-skip-checkout", "--concurrent-jobs", "1", "--json", "--rm"),
            *("--action-cache-path", str(here / "cache" / "act"), "--no-cache-server", "--pull=false"),
            *("--actor", "mona", "--defaultbranch", "main"),
            # Files that act would read by itself.
            *(flag for kind in ("env", "secret", "var", "input") for flag in (f"--{kind}-file", "/dev/null")),
            *(f"--local-repository={action}={folder}" for action, folder in replaced.items()),
            *_pairs("--secret", secrets),
            *_pairs("--var", variables),
            *_pairs("--env", for_steps),
        ]
        started = time.monotonic()
        code, said, errors = _run_in_session(command, self._environ | {"XDG_CACHE_HOME": str(here / "cache")})
        seconds = time.monotonic() - started
        (here / "log.jsonl").write_text(said, encoding="utf-8")
        lines = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
        # The line by which act records a mask holds what is masked. GitHub's log does not have it.
        log = tuple(line for line in lines if line.get("command") != "add-mask")
        return ActRun(run_id=run_id, code=code, log=log, errors=errors, artifacts=artifacts, seconds=seconds)

    def replacements(self, workflow: Path) -> dict[str, Path]:
        """The folder for each `owner/name@ref` that `workflow` uses, directly or through Slipway.

        Raises StandInError where one, or an input that it is given, has no stand-in.
        """
        found: dict[str, Path] = {}
        for used, given in self._used_by(workflow):
            name, _, ref = used.partition("@")
            repository = "/".join(name.split("/")[:2])
            if repository == SLIPWAY:
                found[f"{repository}@{ref}"] = self._slipway
                continue
            folder = STAND_INS / repository.partition("/")[2]
            # One repository may hold several actions: actions/cache/restore.
            action = folder.joinpath(*name.split("/")[2:], "action.yml")
            if not action.is_file():
                raise StandInError(f"{used} has no stand-in in {STAND_INS.name}/.")
            known = _read(action)["inputs"]
            unknown = [name for name in given if name not in known]
            if unknown:
                raise StandInError(
                    f"The stand-in for {used} has no input {', '.join(unknown)}, but {', '.join(known)}."
                )
            found[f"{repository}@{ref}"] = folder
        return found

    def _used_by(self, file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every remote `uses` with its `with`, of a workflow or an action and of what it calls in Slipway."""
        content = _read(file)
        steps = [step for job in content.get("jobs", {}).values() for step in (job, *job.get("steps", ()))]
        steps += content.get("runs", {}).get("steps", ())
        for step in steps:
            used = str(step.get("uses", ""))
            ours = re.fullmatch(rf"(?:\./\.slipway-actions|{re.escape(SLIPWAY)})/([^@]+)(@.+)?", used)
            if ours:
                called = self._slipway / ours[1]
                yield from self._used_by(called if called.is_file() else called / "action.yml")
            if used and not used.startswith("./"):
                yield used, step.get("with") or {}

    def _copy_work_tree(self, root: Path) -> None:
        """All files of `root` but the ignored ones: what the next commit would hold."""
        listed = self.git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        for name in filter(None, listed):
            if (root / name).is_file():
                (self._slipway / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, self._slipway / name)

    def _bridge_nested_workflows(self) -> None:
        """Alter the run's copy of Slipway's workflows where one calls another, and act differs from GitHub.

        GitHub looks for `./.github/workflows/x.yml` in the caller's own repository and commit; act looks for it in the
        folder that it was started in, which is the user's. So the copy says whose it is, at any reference: what act
        reads is the folder that `replacements` names for it.
        https://docs.github.com/actions/how-tos/reuse-automations/reuse-workflows#calling-a-reusable-workflow
        https://github.com/nektos/act/issues/1875

        act computes a called workflow's outputs whenever one of its own jobs ends, but not when a workflow ends that it
        calls in turn. So a last job ends after that one.
        """
        for file in (self._slipway / ".github" / "workflows").glob("*.yml"):
            calls = {name: job["uses"] for name, job in _read(file)["jobs"].items() if "uses" in job}
            nested = [name for name, used in calls.items() if used.startswith("./")]
            if nested:
                text = file.read_text(encoding="utf-8").replace("uses: ./.github/", f"uses: {SLIPWAY}/.github/")
                for used in {calls[name] for name in nested}:
                    text = text.replace(f"{SLIPWAY}{used[1:]}", f"{SLIPWAY}{used[1:]}@same-commit")
                last = {"needs": nested, "if": "always()", "runs-on": "ubuntu-latest", "steps": [{"run": "true"}]}
                file.write_text(f"{text.rstrip()}\n  last: {json.dumps(last)}\n", encoding="utf-8")

    def _leave_out_queues(self) -> None:
        """act refuses a file with `queue` in a concurrency group, which it does not know; it queues nothing anyway."""
        for file in (self._slipway / ".github" / "workflows").glob("*.yml"):
            file.write_text(re.sub(r"^ +queue: max\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE))

    def _own_environ(self) -> dict[str, str]:
        """act hands its whole environment to every step, so it has next to nothing of ours."""
        home = self.folder / "home"
        home.mkdir()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        # Without the environment of the tests: what they have installed must not mend what a stage lacks.
        own = Path(sys.executable).parent
        path = [entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry) != own]
        return {
            "UV_CACHE_DIR": str(cache / "uv"),
            "PIP_CACHE_DIR": str(cache / "pip"),
            **{name: value for name, value in os.environ.items() if PASSED_ON.match(name)},
            "PATH": os.pathsep.join(path),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "DOCKER_HOST": "unix:///nonexistent",
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
        }


def _pairs(flag: str, values: Mapping[str, str]) -> Iterator[str]:
    return (part for name, value in values.items() for part in (flag, f"{name}={value}"))


def _read(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(content, dict), file
    return content


def _run_in_session(command: list[str], environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code and both outputs; whatever the command has started ends with it when it takes too long."""
    process = subprocess.Popen(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        said, errors = process.communicate(timeout=SLOWEST_RUN)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, said, errors
