"""A faithful runner: executes a composite action's own `run` steps, exactly as its action.yml declares them.

    result = RunnerDouble(workspace, temp, event=pull_request()).run_action(ACTIONS / "post-report", {"reports": "…"})
    assert (result.code, result.outputs["verdict"]) == (0, "pass")

Each step is a script file that `bash --noprofile --norc -e -o pipefail` runs in the workspace, with the `env:` block of
the step, the default variables of GitHub Actions, and files of its own for outputs, environment, path and summary. The
steps stop at the first that fails. What the steps print is read as actions/runner reads it: commands of both notations,
unescaped, none while commands are stopped; masked values are replaced in the log. Only `${{ inputs.x }}` and
`${{ steps.id.outputs.y }}` are evaluated; anything else that the double does not know is an error, never ignored.

A stage's first run in a session is a start of its Python; later ones are forks of a process that has imported the same
(warm_stage.py).

Nothing of the machine's own GITHUB_*, INPUT_*, RUNNER_* or SLIPWAY_* variables reaches a step; `env` is the job's. Give
SLIPWAY_CACHE in it (the fixture `environments_cache` does) so that the tests of a session share their environments.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import bytecode
import warm_stage

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
SUMMARY_LIMIT = 1024 * 1024
STEP_KEYS = {"name", "id", "shell", "run", "env"}
COMMANDS = {
    "error",
    "warning",
    "notice",
    "debug",
    "group",
    "endgroup",
    "add-mask",
    "stop-commands",
    "echo",
    "add-matcher",
}
"""What the runner registers, as far as it still does something; the rest (set-output, set-env) is refused by it."""

OURS = ("GITHUB_", "INPUT_", "RUNNER_", "SLIPWAY_", "ACTIONS_", "PYTEST_", "COV_")


@dataclass(frozen=True)
class Annotation:
    """One `::error`, `::warning` or `::notice`, unescaped."""

    level: str
    message: str
    title: str = ""
    file: str = ""
    line: int = 0


@dataclass
class StepResult:
    """What a caller of the action, and a person who looks at the run, can see of it."""

    code: int
    outputs: dict[str, str]
    annotations: list[Annotation]
    summary: str
    log: str
    masked: list[str] = field(default_factory=list)

    def messages(self, level: str) -> list[str]:
        """The messages of one level."""
        return [each.message for each in self.annotations if each.level == level]


@dataclass
class Printed:
    """Reads what a step prints, line by line, as actions/runner does (ActionCommand.cs, ActionCommandManager.cs)."""

    annotations: list[Annotation] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    stop_token: str = ""

    def read(self, text: str) -> Printed:
        """Take the output of a step."""
        for line in re.split(r"\r\n|\n|\r", text):
            command = parse_command(line, {*COMMANDS, self.stop_token} - {""})
            if command:
                self._obey(*command)
            for secret in self.masked:
                line = line.replace(secret, "***")  # noqa: PLW2901 - one replacement after the other
            self.lines.append(line)
        return self

    def _obey(self, name: str, properties: dict[str, str], data: str) -> None:
        if self.stop_token:
            if name == self.stop_token:
                self.stop_token = ""
        elif name == "stop-commands":
            assert data not in COMMANDS | {"", "pause-logging"}, f"the runner refuses the token `{data}`"
            self.stop_token = data
        elif name == "add-mask":
            self.masked = list(dict.fromkeys([*self.masked, *(part for part in (data, *data.splitlines()) if part)]))
        elif name == "group":
            self.groups.append(data)
        elif name in ("error", "warning", "notice"):
            line = int(properties.get("line") or 0)
            title, file = properties.get("title", ""), properties.get("file", "")
            self.annotations.append(Annotation(name, data, title=title, file=file, line=line))


def parse_command(line: str, known: set[str]) -> tuple[str, dict[str, str], str] | None:
    """Name, properties and data of the command in a line: `::name k=v,k=v::data`, else `##[name k=v;k=v]data`."""
    stripped = line.lstrip()
    if stripped.startswith("::") and "::" in stripped[2:]:
        head, _, data = stripped[2:].partition("::")
        name, _, properties = head.partition(" ")
        if name in known:
            return (
                name,
                _properties(properties.strip(), ",", {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ","}),
                unescape(data),
            )
    start = line.find("##[")
    if start >= 0 and "]" in line[start:]:
        head, _, data = line[start + 3 :].partition("]")
        name, _, properties = head.partition(" ")
        if name in known:
            escapes = {"%3B": ";", "%0D": "\r", "%0A": "\n", "%5D": "]", "%2C": ","}
            return name, _properties(properties, ";", escapes), unescape(data, escapes)
    return None


def unescape(text: str, escapes: Mapping[str, str] | None = None) -> str:
    """The inverse of the toolkit's escaping; the percent sign comes last."""
    for escaped, sign in {**(escapes or {"%0D": "\r", "%0A": "\n"}), "%25": "%"}.items():
        text = text.replace(escaped, sign)
    return text


def _properties(text: str, separator: str, escapes: Mapping[str, str]) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(separator) if "=" in part]
    return {name: unescape(value, escapes) for name, _, value in pairs}


def parse_file_command(text: str) -> dict[str, str]:
    """The pairs of a GITHUB_OUTPUT or GITHUB_ENV file: `name=value` and `name<<delimiter` (FileCommandManager.cs)."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        line = text[position:] if end < 0 else text[position:end]
        position = len(text) if end < 0 else end + 1
        equals, heredoc = line.find("="), line.find("<<")
        if not line:
            continue
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            found[line[:equals]] = line[equals + 1 :]
            continue
        assert heredoc > 0, f"invalid format `{line}`"
        assert line[heredoc + 2 :], f"the delimiter of `{line}` is empty"
        closing = re.compile(rf"^{re.escape(line[heredoc + 2 :])}$", re.MULTILINE)
        ended = next((each for each in closing.finditer(text, position)), None)
        assert ended, f"the delimiter of `{line}` does not occur again"
        found[line[:heredoc]] = text[position : max(position, ended.start() - 1)]
        position = ended.end() + 1
    return found


@dataclass
class RunnerDouble:
    """A job on a runner: its workspace (where the caller's repository is checked out), temporary folder and event."""

    workspace: Path
    temp: Path
    event: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    event_name: str = ""
    repository: str = "octo/models"
    api_url: str = "https://api.github.invalid"
    server_url: str = "https://github.invalid"

    def run_action(self, action: Path, inputs: Mapping[str, str] | None = None) -> StepResult:
        """Run the composite action in the folder `action`, as a step with `with: inputs` would."""
        declared = yaml.safe_load((action / "action.yml").read_text(encoding="utf-8"))
        assert declared["runs"]["using"] == "composite", "only composite actions run here"
        unknown = set(inputs or {}) - set(declared.get("inputs", {}))
        assert not unknown, f"the action has no inputs {sorted(unknown)}"
        defaults = {name: str(said.get("default", "")) for name, said in declared.get("inputs", {}).items()}
        context = Expressions({**defaults, **(inputs or {})})
        result = StepResult(0, {}, [], "", "")
        job = dict(self.env)
        for step in declared["runs"]["steps"]:
            self._run_step(step, action, context, job, result)
            if result.code:
                break
        # Outputs of a failed action are set, too: a later step with `if: always()` may read them.
        result.outputs = {name: context.evaluate(said["value"]) for name, said in declared.get("outputs", {}).items()}
        return result

    def _run_step(
        self, step: Mapping[str, Any], action: Path, context: Expressions, job: dict[str, str], result: StepResult
    ) -> None:
        assert set(step) <= STEP_KEYS, f"the double does not know {sorted(set(step) - STEP_KEYS)}"
        assert step["shell"] == "bash", "the double knows only bash"
        folder = self.temp / f"_runner_{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        script = folder / "script.sh"
        script.write_text(context.evaluate(step["run"]), encoding="utf-8")
        channels = {name: folder / name.lower() for name in ("OUTPUT", "ENV", "PATH", "STATE", "STEP_SUMMARY")}
        for file in channels.values():
            file.touch()
        given = {name: context.evaluate(str(value)) for name, value in step.get("env", {}).items()}
        environ = {
            **machine_environ(),
            **job,
            **self.variables(action),
            **{f"GITHUB_{name}": str(file) for name, file in channels.items()},
            **given,
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace,
            env={**environ, **warm(step["run"], action, environ)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self._take(step, done, channels, context, job, result)

    def _take(
        self,
        step: Mapping[str, Any],
        done: subprocess.CompletedProcess[bytes],
        channels: Mapping[str, Path],
        context: Expressions,
        job: dict[str, str],
        result: StepResult,
    ) -> None:
        """What the runner does after a step: outputs and environment for the next ones, summary, annotations, log."""
        printed = Printed(masked=result.masked).read(done.stdout.decode(errors="replace"))
        result.code = done.returncode
        result.annotations += printed.annotations
        result.masked = printed.masked
        result.log += "\n".join(printed.lines)
        job.update(parse_file_command(channels["ENV"].read_bytes().decode()))
        for line in filter(None, channels["PATH"].read_text(encoding="utf-8").splitlines()):
            job["PATH"] = f"{line}{os.pathsep}{job.get('PATH') or os.environ['PATH']}"
        if "id" in step:
            context.steps[step["id"]] = parse_file_command(channels["OUTPUT"].read_bytes().decode())
        if channels["STEP_SUMMARY"].stat().st_size > SUMMARY_LIMIT:
            size = f"{SUMMARY_LIMIT // 1024}k, got {channels['STEP_SUMMARY'].stat().st_size // 1024}k"
            message = f"$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of {size}"
            result.annotations.append(Annotation("error", message))
        else:
            summary = channels["STEP_SUMMARY"].read_text(encoding="utf-8")
            for secret in result.masked:
                summary = summary.replace(secret, "***")
            result.summary += summary

    def variables(self, action: Path) -> dict[str, str]:
        """The default variables: https://docs.github.com/actions/reference/workflows-and-actions/variables."""
        self.temp.mkdir(parents=True, exist_ok=True)
        event_file = self.temp / "event.json"
        event_file.write_text(json.dumps(self.event), encoding="utf-8")
        event_name = self.event_name or event_name_of(self.event)
        sha = head_of(self.event) or "0" * 40
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION": "__self",
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_ACTOR": "mona",
            "GITHUB_ACTOR_ID": "1",
            "GITHUB_API_URL": self.api_url,
            "GITHUB_EVENT_NAME": event_name,
            "GITHUB_EVENT_PATH": str(event_file),
            "GITHUB_JOB": "job",
            "GITHUB_REF": str(self.event.get("ref", "refs/heads/main")),
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": "1000",
            "GITHUB_SERVER_URL": self.server_url,
            "GITHUB_SHA": sha,
            "GITHUB_TRIGGERING_ACTOR": "mona",
            "GITHUB_WORKFLOW_REF": f"{self.repository}/.github/workflows/model.yml@refs/heads/main",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_ARCH": "X64",
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.temp),
        }


def warm(run: str, action: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """SLIPWAY_PYTHON for a step that runs a stage's script, so that its imports are not done again (warm_stage.py).

    The first run of a script in a session is started as on a runner, and so is one whose environment differs in what
    Python and libraries read at their start.
    """
    script = re.fullmatch(r'"\$SLIPWAY_PYTHON" "\$GITHUB_ACTION_PATH/([\w./-]+)"', run)
    if not script or any(environ.get(name) != os.environ.get(name) for name in warm_stage.read_at_start(environ)):
        return {}
    bytecode.share(Path(environ["SLIPWAY_PYTHON"]))
    return {"SLIPWAY_PYTHON": warm_stage.python_for((action / script[1]).resolve(), environ["SLIPWAY_PYTHON"])}


@dataclass
class Expressions:
    """Evaluates `${{ inputs.x }}` and `${{ steps.id.outputs.y }}`; what was never set is empty, as on GitHub."""

    inputs: Mapping[str, str]
    steps: dict[str, dict[str, str]] = field(default_factory=dict)

    def evaluate(self, text: str) -> str:
        """`text` with its expressions replaced."""
        return EXPRESSION.sub(lambda found: self._value(found[1]), text)

    def _value(self, expression: str) -> str:
        if match := re.fullmatch(r"inputs\.([\w-]+)", expression):
            assert match[1] in self.inputs, f"the action declares no input `{match[1]}`"
            return self.inputs[match[1]]
        if match := re.fullmatch(r"steps\.([\w-]+)\.outputs\.([\w-]+)", expression):
            return self.steps.get(match[1], {}).get(match[2], "")
        raise AssertionError(f"the double does not evaluate `{expression}`")


def machine_environ() -> dict[str, str]:
    """The machine's own environment, without what belongs to a run that the tests themselves may be part of."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def event_name_of(event: Mapping[str, Any]) -> str:
    """The event that a payload belongs to."""
    if "pull_request" in event:
        return "pull_request"
    if "client_payload" in event:
        return "repository_dispatch"
    return "schedule" if "schedule" in event else "push" if "after" in event else "workflow_dispatch"


def head_of(event: Mapping[str, Any]) -> str:
    """GITHUB_SHA: a pull request's is a merge commit that nobody has; a push's is the pushed commit."""
    if "pull_request" in event:
        return "f" * 40
    return str(event.get("after", ""))
