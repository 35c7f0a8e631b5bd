"""What must agree: action.yml = dataclasses = docs = README; workflows, pins, locks; one name in five places.

Each check is a function from the text of a file to a list of problems, in words that say which file to mend. Below the
checks the tests hold the repository's files to them, and then spoil a copy of a file to see that the check objects.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import subprocess
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import pytest
import yaml
from pydantic import BaseModel

import write_schema
from slipway.data import schema
from slipway.data.rules import ALIASES, OPTIONS, RULES
from slipway.evaluation.metrics import FAMILIES, METRICS
from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.policy.rules import MetricRule
from slipway.runner.errors import PolicyError
from slipway.runner.inputs import Secret, default_text, is_required, user_name, variable
from test_training_toy import stage_python

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
STAGES = sorted(folder.name for folder in (ROOT / "actions").iterdir())
ALL_STAGES = "run-pipeline"
"""The root action, by the name of its script."""

ACTIONS = {ALL_STAGES: ROOT / "action.yml"} | {name: ROOT / "actions" / name / "action.yml" for name in STAGES}
DOCS = {ALL_STAGES: ROOT / "docs" / "pipeline.md"} | {name: ROOT / "docs" / f"{name}.md" for name in STAGES}
PIPELINE = ROOT / ".github" / "workflows" / "pipeline.yml"
REUSABLE = {
    "pipeline.yml": ROOT / "docs" / "pipeline.md",
    "attest.yml": ROOT / "docs" / "provenance.md",
    "comment-fork.yml": ROOT / "docs" / "comment-fork.md",
    "drift.yml": ROOT / "docs" / "drift-loop.md",
    "retrain.yml": ROOT / "docs" / "drift-loop.md",
    "reproduce.yml": ROOT / "docs" / "reproduce-workflow.md",
    "release.yml": ROOT / "docs" / "release.md",
    "canary.yml": ROOT / "docs" / "release.md",
    "rollback.yml": ROOT / "docs" / "release.md",
}
"""Workflows that callers use, and the page whose section "The reusable workflow" explains each."""

WORKFLOWS = sorted([*PIPELINE.parent.glob("*.yml"), *(ROOT / "examples").glob("*/.github/workflows/*.yml")])
PAGES = sorted(page for folder in (".", "docs", "tests", "examples/*") for page in ROOT.glob(f"{folder}/*.md"))
WHOLE_LOCK = ROOT / "requirements.txt"
LOCKS = [
    WHOLE_LOCK,
    *sorted((ROOT / "requirements").glob("*.txt")),
    *sorted((ROOT / "examples" / "flights").glob("*.txt")),
    ROOT / "examples" / "flights-loop" / "refresh.txt",
]
OPTIONAL = {
    "azure",
    "detect-drift-classifier",
    "dvc-s3",
    "gcs",
    "huggingface",
    "kserve",
    "lakefs",
    "local-gateway",
    "moto",
    "s3",
    "validate-data-spark",
    "vertex",
}
"""Groups with packages of their own: one outside system each, which no stage needs before its data lie there."""

GROUPS = sorted({file.stem for file in (ROOT / "requirements").glob("*.in")} - {"core", "dev", "uv"} - OPTIONAL)

SHARED_GROUPS = {"rollback-model": "deploy-model"}
"""Stages that have another one's environment, since they do the same with it."""

CODE_LINES = 240
RIGHTS = ("none", "read", "write")
"""Lines of a script without blank lines and comments. About 200 are meant; the longest, train_model.py, has 234."""

OURS = "your-org/slipway"
"""How docs and examples name this repository."""

DEFINED_OTHERWISE = {
    ("input", "policy", "audit-trail"),
    ("input", "tracking-uri", "pipeline.yml"),
    ("input", "tracking-uri", "attest.yml"),
    ("input", "tracking-uri", "drift.yml"),
    ("input", "tracking-uri", "retrain.yml"),
    ("input", "tracking-uri", "reproduce.yml"),
    ("input", "model-version", "reproduce-model"),
    ("input", "model-version", "reproduce.yml"),
    ("input", "github-token", "reproduce-model"),
    ("input", "diagnose", "reproduce.yml"),
    ("output", "verdict", "reproduce.yml"),
    ("input", "drift-report", "dispatch-retraining"),
    ("input", "drift-report", "drift.yml"),
    ("input", "dry-run", "drift.yml"),
    ("input", "github-token", "propose-retraining"),
    ("output", "verdict", "drift.yml"),
    ("output", "pull-request", "propose-retraining"),
    ("output", "commit", "refresh-data"),
    ("input", "model-version", "attest.yml"),
    ("input", "model", "attest.yml"),
    ("input", "data", "detect-drift"),
    ("output", "production-version", "detect-drift"),
    ("input", "model", "comment-fork"),
    ("input", "model", "comment-fork.yml"),
    ("input", "github-token", "comment-fork"),
    ("input", "github-token", "record-reports"),
    ("input", "github-token", "evaluate-model"),
    ("input", "github-token", "audit-trail"),
    ("input", "model", "audit-trail"),
    ("input", "model-version", "audit-trail"),
    ("input", "report", "audit-trail"),
    ("input", "github-token", "dispatch-retraining"),
    ("input", "github-token", "judge-canary"),
    ("output", "decision", "judge-canary"),
    ("output", "run-id", "dispatch-retraining"),
    ("input", "evaluation-report", "assess-risk"),
    ("input", "model-version", "release.yml"),
    ("input", "tracking-uri", "release.yml"),
    ("input", "inside-envelope", "release.yml"),
    ("input", "pull-request", "release.yml"),
    ("input", "watch-minutes", "release.yml"),
    ("input", "runs-on", "release.yml"),
    ("input", "environment", "canary.yml"),
    ("input", "tracking-uri", "canary.yml"),
    ("input", "promote", "canary.yml"),
    ("input", "reason", "canary.yml"),
    ("input", "runs-on", "canary.yml"),
    ("output", "decision", "canary.yml"),
    ("input", "environment", "rollback.yml"),
    ("input", "model-version", "rollback.yml"),
    ("input", "reason", "rollback.yml"),
    ("input", "tracking-uri", "rollback.yml"),
    ("input", "runs-on", "rollback.yml"),
    ("output", "live", "rollback.yml"),
    ("input", "environment", "deploy-model"),
    ("input", "github-token", "deploy-model"),
    ("input", "registry-token", "deploy-model"),
    ("input", "model-version", "deploy-model"),
    ("input", "reason", "deploy-model"),
    ("input", "environment", "rollback-model"),
    ("input", "reason", "rollback-model"),
    ("input", "github-token", "rollback-model"),
    ("input", "registry-token", "rollback-model"),
    ("input", "model-version", "rollback-model"),
    ("output", "live", "rollback-model"),
    ("output", "share", "deploy-model"),
    ("input", "github-token", "assess-risk"),
    ("output", "model-version", "assess-risk"),
    ("input", "github-token", "record-approval"),
    ("input", "environment", "record-approval"),
    ("input", "pull-request", "record-approval"),
    ("output", "model-version", "record-approval"),
    ("output", "image", "record-approval"),
    ("input", "evaluation-report", "package-model"),
    ("input", "command", "sign-model"),
    ("input", "command", "package-model"),
    ("input", "private-key", "package-model"),
    ("input", "certificate-chain", "package-model"),
    ("input", "model-version", "sign-model"),
}
"""What may differ from its namesakes: machines that share no file need a server, and what is attested is named; tokens
that read, comment or record need other rights; the ledger knows other models than the reports, and other commands; a
signature is for a version and no alias; drift is of one dataset."""

BESIDE_THE_PIPELINE = {
    *("audit-trail", "comment-fork", "detect-drift", "dispatch-retraining", "propose-retraining", "refresh-data"),
    *(
        "assess-risk",
        "deploy-model",
        "judge-canary",
        "rollback-model",
        "package-model",
        "record-approval",
        "reproduce-model",
        "sign-model",
    ),
}
"""Stages that people and other workflows call. The pipeline's jobs run the change's own code, which must not come near
a signing key, nor, in a fork's run, near a token that may write."""

OVER_ALL_STAGES = {ALL_STAGES, "post-report", "pipeline.yml", "retrain.yml"}
"""Where `verdict` is not that of one stage."""


class Interface(NamedTuple):
    """What a caller sees of an action or of a reusable workflow."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    secrets: dict[str, Any]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def interface(name: str) -> Interface:
    """Of an action by its script's name, or of a reusable workflow by its file's."""
    if name in REUSABLE:
        call = yaml.safe_load(text_of(PIPELINE.with_name(name)))[True]["workflow_call"]  # YAML reads `on` as true
        return Interface(call["inputs"], call["outputs"], call.get("secrets", {}))
    said = yaml.safe_load(text_of(ACTIONS[name]))
    return Interface(said["inputs"], said["outputs"], {})


@cache
def called() -> dict[str, Interface]:
    """What can be called, by the address before the `@`."""
    stages = {f"{place}/actions/{name}": name for name in STAGES for place in (OURS, "./.slipway-actions")}
    flows = {f"{place}/.github/workflows/{name}": name for name in REUSABLE for place in (OURS, ".")}
    whole = {OURS: ALL_STAGES} | flows
    return {address: interface(name) for address, name in {**stages, **whole}.items()}


# Reading Markdown.

FENCED = re.compile(r"^( *)```.*?^\1```$", flags=re.MULTILINE | re.DOTALL)


def yaml_blocks(page: str) -> list[str]:
    """The fenced YAML of a page, without the indent of a list around it."""
    found = re.findall(r"^( *)```ya?ml\n(.*?)^\1```$", page, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def without_blocks(page: str) -> str:
    return FENCED.sub("", page)


def section(page: str, title: str) -> str:
    """What stands below a heading, its own subheadings included; nothing where there is no such heading."""
    plain = FENCED.sub(lambda block: block[0].replace("#", "-"), page)  # a comment of code is no heading
    heading = re.search(rf"^(#+) {re.escape(title)}$", plain, flags=re.MULTILINE)
    if heading is None:
        return ""
    end = re.compile(rf"^#{{1,{len(heading[1])}}} ", flags=re.MULTILINE).search(plain, heading.end())
    return page[heading.end() : end.start() if end else len(page)]


def table(text: str, first: str) -> list[list[str]]:
    """Rows of the first table whose first column is called `first`."""
    found = re.search(rf"^\| {first} \|.*\n\|[-:| ]+\|\n((?:\|.*\n?)*)", text, flags=re.MULTILINE)
    rows = found[1].splitlines() if found else []
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]


def anchors(page: str) -> set[str]:
    """The headings as GitHub names them in addresses."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(page), flags=re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in plain}


# The checks.


def action_problems(name: str, text: str) -> list[str]:
    """Where an action.yml differs from its script's dataclasses, or from the rules of the house."""
    said, script = yaml.safe_load(text), importlib.import_module(name.replace("-", "_"))
    fields = {user_name(field.name): field for field in dataclasses.fields(script.Inputs)}
    results = {user_name(field.name) for field in dataclasses.fields(script.Outputs)}
    problems = [
        *[f"the input `{key}` is not a field of Inputs" for key in said["inputs"].keys() - fields.keys()],
        *[f"the input `{key}` is missing" for key in fields.keys() - said["inputs"].keys()],
        *[f"the output `{key}` is not a field of Outputs" for key in said["outputs"].keys() - results],
        *[f"the output `{key}` is missing" for key in results - said["outputs"].keys()],
    ]
    for key in fields.keys() & said["inputs"].keys():
        required = is_required(fields[key])
        expected = {"required": required} | ({} if required else {"default": default_text(fields[key])})
        written = {part: value for part, value in said["inputs"][key].items() if part != "description"}
        if written != expected:
            problems.append(f"the input `{key}` has {written}, and Inputs says {expected}")
    for key, output in said["outputs"].items():
        if output.get("value") != f"${{{{ steps.stage.outputs.{key} }}}}":
            problems.append(f"the output `{key}` has the value {output.get('value')}")
    described = {"action": said, **said["inputs"], **said["outputs"]}
    for key, each in described.items():
        if not re.match(r"\S.*\.$", str(each.get("description", ""))):
            problems.append(f"the description of `{key}` is missing or is no sentence")
    forwarded = {variable(field.name): f"${{{{ inputs.{key} }}}}" for key, field in fields.items()}
    problems += step_problems(name, said["runs"], forwarded)
    # Of two equal keys YAML keeps the last without a word.
    twice = Counter(re.findall(r"^ +(INPUT_\w+):", text, flags=re.MULTILINE))
    problems += [f"{key} is set {count} times" for key, count in twice.items() if count > 1]
    return [f"{shown(ACTIONS[name])}: {problem}" for problem in problems]


def step_problems(name: str, runs: Any, forwarded: dict[str, str]) -> Iterator[str]:
    """Where the steps are others than: build the stage's own environment, run its script with every input once."""
    build = {
        "run": 'python3 "$GITHUB_ACTION_PATH/../../scripts/build_environment.py"',
        "env": {"INPUT_GROUP": SHARED_GROUPS.get(name, name)},
    }
    python = {"SLIPWAY_PYTHON": "${{ steps.environment.outputs.python }}"}
    file = f"scripts/{name.replace('-', '_')}.py"
    work = {"run": f'"$SLIPWAY_PYTHON" "$GITHUB_ACTION_PATH/../../{file}"', "env": {**python, **forwarded}}
    expected: dict[str, Any] = {"environment": build, "stage": work}
    if name == ALL_STAGES:  # the script builds the environment of each stage by itself
        expected = {"stage": {"run": f'python3 "$GITHUB_ACTION_PATH/{file}"', "env": forwarded}}
    if runs["using"] != "composite" or [step.get("id") for step in runs["steps"]] != list(expected):
        yield f"it must be a composite of the steps {', '.join(expected)}"
        return
    for step, wanted in zip(runs["steps"], expected.values(), strict=True):
        run, env = str(step.get("run", "")), step.get("env", {})
        if "uses" in step or step.get("shell") != "bash" or "\n" in run.strip():
            yield f"the step `{step['id']}` is not one line for `shell: bash`"
        if "${{" in run:
            yield f"the step `{step['id']}` has an expression in `run:`, where a shell would read it"
        elif run != wanted["run"]:
            yield f"the step `{step['id']}` runs {run}, not {wanted['run']}"
        for key in env.keys() | wanted["env"].keys():
            if env.get(key) != wanted["env"].get(key):
                yield f"`env:` of the step `{step['id']}` has {key}: {env.get(key)}, not {wanted['env'].get(key)}"


def shared_problems(interfaces: dict[str, Interface]) -> list[str]:
    """Inputs and outputs of one name that mean different things in different places."""
    seen: dict[tuple[str, str], tuple[str, Any]] = {}
    problems = []
    for name, each in interfaces.items():
        for kind, members in (("input", each.inputs), ("output", each.outputs)):
            for key, said in members.items():
                if (kind, key, name) in DEFINED_OTHERWISE:
                    continue
                of_all = key == "verdict" and name in OVER_ALL_STAGES
                meant = {"description": said["description"], "required": said.get("required", False)}
                meant |= {"default": said.get("default")} if kind == "input" else {}
                first, before = seen.setdefault((kind, f"{key} of all stages" if of_all else key), (name, meant))
                if before != meant:
                    problems.append(f"{kind} `{key}`: {first} says {before}, {name} says {meant}")
    return problems


def docs_problems(page: str, known: Interface, *, below: str = "") -> list[str]:
    """Where the tables of a page (or of one section) differ from the inputs, secrets and outputs."""
    text = section(page, below) if below else page
    inputs = {
        f"`{key}`": "required" if said.get("required") else f"`{default}`" if default != "" else ""
        for key, said in known.inputs.items()
        for default in [str(said.get("default")).lower() if said.get("type") == "boolean" else said.get("default")]
    }
    secrets = {f"`{key}`": "required" if said["required"] else "optional" for key, said in known.secrets.items()}
    outputs = {f"`{key}`": None for key in known.outputs}
    problems = []
    for kind, expected in (("input", inputs), ("secret", secrets), ("output", outputs)):
        rows = table(text, kind)
        listed = Counter(row[0] for row in rows)
        problems += [f"the {kind} {key} is listed {listed[key]} times" for key in expected if listed[key] != 1]
        problems += [f"the {kind} {key} does not exist" for key in listed.keys() - expected.keys()]
        problems += [f"the {kind} {row[0]} is not explained" for row in rows if not row[-1]]
        for key, second, *_ in rows:
            if expected.get(key) is not None and second != expected[key]:
                problems.append(f"the {kind} {key} is shown with `{second}`, and is `{expected[key]}`")
    return problems


def source_problems(text: str) -> list[str]:
    """Where a script has another shape than Inputs, Outputs, main, and handing `main` to the stage runner."""
    problems = []
    tree = ast.parse(text)
    if ast.unparse(tree.body[-1]) != "if __name__ == '__main__':\n    sys.exit(stage.run(main, Inputs))":
        problems.append("it does not end with `sys.exit(stage.run(main, Inputs))`")
    classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
    if "Inputs" not in classes or not any(
        isinstance(each, ast.FunctionDef) and each.name == "main" for each in tree.body
    ):
        problems.append("it lacks `Inputs` or `main`")
    for each in (classes[name] for name in ("Inputs", "Outputs") if name in classes):
        if [ast.unparse(mark) for mark in each.decorator_list] != ["dataclass(frozen=True, kw_only=True)"]:
            problems.append(f"{each.name} is not a frozen, keyword-only dataclass")
        if not ast.get_docstring(each):
            problems.append(f"{each.name} has no docstring")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) > CODE_LINES:
        problems.append(f"it has {len(lines)} lines of code, more than {CODE_LINES}")
    return problems


def mappings(content: Any) -> Iterator[dict[Any, Any]]:
    """Every mapping in a YAML document."""
    if isinstance(content, dict):
        yield content
    for each in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from mappings(each)


def permissions_without_a_reason(text: str) -> Iterator[str]:
    """Rights that a YAML document gives without saying why in a comment on the line."""

    def nodes(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield key.value, value
                yield from nodes(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                yield from nodes(value)

    for key, rights in nodes(yaml.compose(text)):
        if key == "permissions":
            if not isinstance(rights, yaml.MappingNode):
                yield f"`permissions: {rights.value}` does not name single rights"
                continue
            for right, _ in rights.value:
                if " # " not in text.splitlines()[right.start_mark.line]:
                    yield f"the permission `{right.value}` has no comment that says what for"


def yaml_problems(text: str, *, whole: bool) -> list[str]:
    """What is wrong in a workflow (`whole`), or in a part of one that a page shows."""
    problems = list(permissions_without_a_reason(text))
    content = yaml.safe_load(text)
    steps: dict[str, str] = {}
    for each in mappings(content):
        if isinstance(each.get("id"), str):
            script = re.search(r"\.slipway-actions/scripts/(\w+\.py)$", str(each.get("run", "")))
            steps[each["id"]] = str(SCRIPTS / script[1]) if script else str(each.get("uses", "")).partition("@")[0]
        if isinstance(each.get("run"), str) and "${{" in each["run"]:
            problems.append(f"an expression stands in `run: {each['run'].strip()}`; forward it in `env:`")
        if isinstance(each.get("uses"), str):
            problems += call_problems(each, whole=whole)
    outputs = {address: set(known.outputs) for address, known in called().items()}
    outputs |= {str(file): script_outputs(file) for file in SCRIPTS.glob("*.py")}
    for step, output in re.findall(r"\bsteps\.([\w-]+)\.outputs\.([\w-]+)", text):
        if whole and step not in steps:
            problems.append(f"there is no step `{step}`")
        if output not in outputs.get(steps.get(step, ""), set().union(*outputs.values())):
            problems.append(f"the step `{step}` has no output `{output}`")
    return problems


def script_outputs(file: Path) -> set[str]:
    """What a step that runs a script by itself, not as an action, can give to later ones."""
    declared = getattr(importlib.import_module(file.stem), "Outputs", None)
    return {user_name(field.name) for field in dataclasses.fields(declared)} if declared else set()


def call_problems(step: dict[str, Any], *, whole: bool) -> Iterator[str]:
    """What is wrong in one use of an action or a reusable workflow."""
    address, _, commit = step["uses"].partition("@")
    given, secrets = step.get("with", {}), step.get("secrets", {})
    if address == "actions/checkout" and given.get("persist-credentials") is not False:
        yield "a checkout without `persist-credentials: false` leaves the job's token on disk"
    if address.startswith(("./", OURS)):
        known = called().get(address)
        if known is None:
            yield f"there is no {address}"
            return
        if not address.startswith("./") and not re.fullmatch(r"[0-9a-f]{40}" if whole else r"<commit>", commit):
            yield f"{address} is not pinned by a commit"
        for kind, listed, said in (("input", known.inputs, given), ("secret", known.secrets, secrets)):
            yield from (f"{address} has no {kind} `{key}`" for key in said.keys() - listed.keys())
            needed = {key for key, each in listed.items() if each.get("required")}
            yield from (f"{address} needs the {kind} `{key}`" for key in needed - said.keys())
        if "permissions" in step:
            asked = rights_asked(ROOT / address.removeprefix("./").removeprefix(f"{OURS}/"))
            has = step["permissions"]
            # GitHub starts no such run. act does, so no run of the tests shows it.
            yield from (
                f"{address} needs `{right}: {level}`"
                for right, level in asked.items()
                if RIGHTS.index(has.get(right, "none")) < RIGHTS.index(level)
            )


def rights_asked(workflow: Path) -> dict[str, str]:
    """The most that any job of a reusable workflow asks for, by right."""
    asked: dict[str, str] = {}
    for job in yaml.safe_load(text_of(workflow))["jobs"].values():
        for right, level in job["permissions"].items():
            asked[right] = max(asked.get(right, "none"), level, key=RIGHTS.index)
    return asked


def workflow_problems(text: str) -> list[str]:
    """What is wrong in a workflow as a whole."""
    content = yaml.safe_load(text)
    problems = yaml_problems(text, whole=True)
    if content.get("permissions") != {}:
        problems.append("`permissions: {}` is missing at the top")
    for name, job in content["jobs"].items():
        if "uses" not in job and "timeout-minutes" not in job:
            problems.append(f"the job `{name}` has no `timeout-minutes`")
        if "permissions" not in job:
            problems.append(f"the job `{name}` has no `permissions`")
    return problems


def pin_problems(files: dict[str, list[str]]) -> list[str]:
    """Uses of somebody else's action that are not pinned by commit and version, or not alike in all files (of YAML)."""
    pins: dict[str, set[str]] = {}
    problems = []
    for file, text in ((file, text) for file, texts in files.items() for text in texts):
        uses = {each["uses"] for each in mappings(yaml.safe_load(text)) if isinstance(each.get("uses"), str)}
        for address in (address for address in uses if not address.startswith(("./", OURS))):
            for remark in re.findall(re.escape(address) + "(.*)", text):
                if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", address + remark):
                    problems.append(f"{file}: `{address}{remark}` is not `owner/name@<40 hex digits> # vX.Y.Z`")
                name, _, commit = address.partition("@")
                pins.setdefault("/".join(name.split("/")[:2]), set()).add(commit + remark)
    return problems + [f"{name} has several pins: {sorted(said)}" for name, said in pins.items() if len(said) > 1]


def pinned(lock: str) -> dict[str, frozenset[str]]:
    """Hashes of every package and version that a lock lists."""
    lines = re.sub(r"\\\n", " ", lock).splitlines()
    return {line.split()[0]: frozenset(re.findall(r"--hash=(\S+)", line)) for line in lines if "==" in line}


def lock_problems(lock: str) -> list[str]:
    """Lines of a lock that are not a package with version and hashes: options, addresses, comments."""
    entry = r"[\w.\[\]-]+==[\w.!+-]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+ *"
    lines = re.sub(r"\\\n", " ", lock).splitlines()
    problems = [f"`{line[:60]}` is not a package with its hashes" for line in lines if not re.fullmatch(entry, line)]
    return problems + [f"it names the address {address}" for address in re.findall(r"https?://\S+", lock)]


def subset_problems(lock: str, whole: str) -> list[str]:
    """Packages of a lock that the whole resolution has not, or has with another version or other hashes."""
    every = pinned(whole)
    return [
        f"{name} is not so in the whole resolution"
        for name, hashes in pinned(lock).items()
        if every.get(name) != hashes
    ]


def shared_pin_problems(lock: str, whole: str) -> list[str]:
    """Packages of a lock that the whole resolution has with another version or other hashes."""
    every = pinned(whole)
    names = {entry.partition("==")[0] for entry in every}
    return [
        f"{entry} is another one in the whole resolution"
        for entry, hashes in pinned(lock).items()
        if entry.partition("==")[0] in names and every.get(entry) != hashes
    ]


def models_in(kind: Any) -> list[type[BaseModel]]:
    """The pydantic models that a field's type is made from."""
    if get_origin(kind) is None:
        return [kind] if isinstance(kind, type) and issubclass(kind, BaseModel) else []
    return [model for part in get_args(kind) for model in models_in(part)]


def policy_fields(kind: type[BaseModel], values: list[Any], path: str = "") -> Iterator[tuple[str, Any, list[Any]]]:
    """Path, field and the values that an example gives to it, for every key that a policy can have."""
    for name, field in kind.model_fields.items():
        key = field.alias or name
        given = [value[key] for value in values if key in value]
        yield path + key, field, given
        for model in models_in(field.annotation):
            named = get_origin(field.annotation) is dict
            inside = given
            if named or get_origin(field.annotation) is tuple:
                inside = [inner for value in given for inner in (value.values() if named else value)]
            yield from policy_fields(model, inside, f"{path}{key}.{'*.' if named else ''}")


def told_defaults(example: str) -> Iterator[tuple[str, str]]:
    """Path and value of each line of the example that says it shows a default."""
    above: list[tuple[int, str]] = []
    for line in example.splitlines():
        if found := re.match(r"( *)(\w+):(?: (\S+))?( +# default\b)?", line):
            depth = len(found[1])
            above = [*((indent, key) for indent, key in above if indent < depth), (depth, found[2])]
            if found[4]:
                yield ".".join(key for _, key in above), found[3]


def policy_example_problems(page: str) -> list[str]:
    """Where docs/policy.md's example lacks a key, states another default, or is no policy."""
    # No policy can show every key: those of one task exclude those of another.
    examples = [block for block in yaml_blocks(page) if block.startswith(("version: 1", "evaluation:"))]
    problems = policy_problems(examples[0])
    fields = list(policy_fields(Policy, [yaml.safe_load(example) for example in examples]))
    # A rule that several sections share need not be shown whole in each of them.
    shown = {id(field) for _, field, given in fields if given}
    problems += [f"the example does not show `{path}`" for path, field, _ in fields if id(field) not in shown]
    for told_path, told in chain.from_iterable(map(told_defaults, examples)):
        defaults = [field.default for path, field, _ in fields if fnmatchcase(told_path, path)]
        if yaml.safe_load(told) not in defaults:
            problems.append(f"the default of `{told_path.rpartition('.')[2]}` is {defaults}, not {told}")
    return problems


def policy_problems(text: str) -> list[str]:
    try:
        read_text(text, Policy, file="the example")
    except PolicyError as error:
        return [str(error)]
    return []


def metric_names(cell: str) -> Iterator[str]:
    """The metrics that a cell lists: `precision / recall `_macro` `_micro`` stands for four."""
    for item in cell.split(", "):
        suffixes = re.findall(r"`(_\w+)`", item) or [""]
        for name in re.sub(r"`_\w+`", "", item).split("/"):
            yield from (name.strip() + suffix for suffix in suffixes)


def statistics_problems(page: str) -> list[str]:
    """Where docs/statistics.md lists other metrics or gates than there are, or lacks a metric's measured coverage."""
    listed = {
        (row[0].strip("`"), name) for row in table(section(page, "Metrics"), "task") for name in metric_names(row[1])
    }
    known = {(metric.task, metric.name) for metric in METRICS}
    known |= {(family.task, f"{family.name}@{family.symbol}") for family in FAMILIES}
    gates = {row[0].strip("`").partition(":")[0] for row in table(section(page, "Gates"), "gate")}
    families = {(family.task, family.name): f"{family.name}@{family.symbol}" for family in FAMILIES}
    measured = {
        (task, families[task, stem] if at else row[0])
        for task in {task for task, _ in known}
        for row in table(section(page, "Coverage"), task)
        for stem, at, _ in [row[0].partition("@")]
    }
    return [
        *[f"the coverage of {name} ({task}) is not measured" for task, name in known - measured],
        *[f"the metric {name} ({task}) is not listed" for task, name in known - listed],
        *[f"the metric {name} ({task}) does not exist" for task, name in listed - known],
        *[f"the gate {name} is in only one of page and policy" for name in gates ^ MetricRule.model_fields.keys()],
    ]


def checks_problems(page: str) -> list[str]:
    """Where docs/validate-data.md lists other checks, options or keys of `slipway` than there are."""
    prose = " ".join(section(page, "The schema").split())
    found = re.search(r"Checks: (.*?)\. Options of each: (.*?)\.", prose)
    listed = dict(re.findall(r"`(\w+)`(?: \(`(\w+)`\))?", found[1])) if found else {}
    options = set(re.findall(r"`(\w+)`", found[2])) if found else set()
    aliases = {short: name for name, short in listed.items() if short}
    keys = {row[0].strip("`") for row in table(section(page, "The `slipway` section"), "key")}
    shapes = {
        f"{key}: {{{', '.join(model.model_fields)}}}"
        for key, field in schema.Slipway.model_fields.items()
        for model in models_in(field.annotation)
        if get_origin(field.annotation) is not list
    }
    return [
        *[f"the check {name} is in only one of page and RULES" for name in listed.keys() ^ RULES.keys()],
        *[f"the short name {name} is in only one of page and ALIASES" for name, _ in aliases.items() ^ ALIASES.items()],
        *[
            f"the option {name} is in only one of page and OPTIONS"
            for name in options ^ {*OPTIONS} - {"groupby", "groups"}
        ],
        *[f"`{key}` is not listed with exactly its keys" for key in shapes - keys],
        *[
            f"the key {key} is in only one of page and `slipway`"
            for key in {key.partition(":")[0] for key in keys} ^ schema.Slipway.model_fields.keys()
        ],
    ]


def link_problems(page: Path, text: str) -> Iterator[str]:
    """Relative links that lead to no file or heading of this repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.is_relative_to(ROOT) or not place.exists():
            yield f"{target} does not exist"
        elif anchor and anchor not in anchors(text if place == page else text_of(place)):
            yield f"{target} names no heading of {shown(place)}"


def readme_problems(page: str) -> list[str]:
    """Where the README's table of stages differs from the actions that there are."""
    expected = {f"[{name}](docs/{name}.md)" for name in STAGES}
    rows = [row[0] for row in table(section(page, "Stages"), "action")]
    problems = [f"the table of stages has {row}, which is no action" for row in rows if row not in expected]
    problems += [f"the table of stages lacks {row}" for row in expected if row not in rows]
    return problems + ["it does not link to docs/pipeline.md"] * ("](docs/pipeline.md)" not in page)


def imported(python: Path, code: str, watched: set[str]) -> set[str]:
    """Which of the watched modules a fresh process has after running `code` beside the scripts."""
    whole = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); {code}; print(*sys.modules)"
    done = subprocess.run([str(python), "-I", "-c", whole], capture_output=True, text=True, check=True)
    return watched & set(done.stdout.split())


# The repository's files.


@pytest.mark.parametrize("name", ACTIONS)
def test_action__agrees_with_its_script(name: str) -> None:
    assert action_problems(name, text_of(ACTIONS[name])) == []


def test_actions__define_what_they_share_alike() -> None:
    assert shared_problems({name: interface(name) for name in (*ACTIONS, *REUSABLE)}) == []


@pytest.mark.parametrize("name", ACTIONS)
def test_docs__list_the_inputs_and_outputs(name: str) -> None:
    below = "The root action" if name == ALL_STAGES else ""
    assert docs_problems(text_of(DOCS[name]), interface(name), below=below) == [], shown(DOCS[name])


@pytest.mark.parametrize(("name", "page"), REUSABLE.items(), ids=list(REUSABLE))
def test_docs__list_what_a_reusable_workflow_takes_and_gives(name: str, page: Path) -> None:
    below = name if section(text_of(page), name) else "The reusable workflow"
    assert docs_problems(text_of(page), interface(name), below=below) == [], shown(page)


def test_readme__lists_every_stage() -> None:
    assert readme_problems(text_of(ROOT / "README.md")) == []


@pytest.mark.parametrize("name", STAGES)
def test_stage__is_one_name_in_five_places(name: str) -> None:
    snake = name.replace("-", "_")
    places = (
        *(f"actions/{name}/action.yml", f"scripts/{snake}.py", f"docs/{name}.md", f"tests/test_{snake}.py"),
        *(f"requirements/{SHARED_GROUPS.get(name, name)}.{kind}" for kind in ("in", "txt")),
    )
    assert [place for place in places if not (ROOT / place).is_file()] == []


@pytest.mark.parametrize("file", sorted(SCRIPTS.glob("*.py")), ids=lambda file: file.name)
def test_script__has_the_shape_of_a_stage(file: Path) -> None:
    assert source_problems(text_of(file)) == []
    # Its folder is importable: a name of one word could stand in the way of somebody's package.
    assert len(file.stem.split("_")) == 2


@pytest.mark.parametrize("name", ACTIONS)
def test_script__takes_tokens_as_secrets(name: str) -> None:
    hints = get_type_hints(importlib.import_module(name.replace("-", "_")).Inputs)
    secret = {key for key in hints if "token" in key or key.startswith("private")}
    assert secret == {key for key, kind in hints.items() if kind is Secret}


@pytest.mark.parametrize("file", WORKFLOWS, ids=shown)
def test_workflow__gives_no_more_than_it_must(file: Path) -> None:
    assert workflow_problems(text_of(file)) == []


def test_pipeline__runs_every_stage() -> None:
    used = {step.get("uses", "") for step in mappings(yaml.safe_load(text_of(PIPELINE)))}
    assert {address for address in used if address.startswith("./")} == {
        f"./.slipway-actions/actions/{name}" for name in STAGES if name not in BESIDE_THE_PIPELINE
    }


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_page__shows_yaml_that_works(page: Path) -> None:
    for block in yaml_blocks(text_of(page)):
        assert yaml_problems(block, whole=False) == []
        if block.startswith("version: 1"):
            assert policy_problems(block) == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_page__links_lead_somewhere(page: Path) -> None:
    assert list(link_problems(page, text_of(page))) == []


def test_uses__are_pinned_by_commit_and_alike_everywhere() -> None:
    files = {shown(file): [text_of(file)] for file in (*WORKFLOWS, *ACTIONS.values())}
    files |= {shown(page): yaml_blocks(text_of(page)) for page in PAGES}
    assert pin_problems(files) == []


@pytest.mark.parametrize("lock", LOCKS, ids=shown)
def test_lock__is_hashed_and_names_no_index(lock: Path) -> None:
    assert pinned(text_of(lock))
    assert lock_problems(text_of(lock)) == []


@pytest.mark.parametrize("group", GROUPS)
def test_lock__is_a_subset_of_the_one_resolution(group: str) -> None:
    assert subset_problems(text_of(ROOT / "requirements" / f"{group}.txt"), text_of(WHOLE_LOCK)) == []


@pytest.mark.parametrize("group", sorted(OPTIONAL))
def test_lock__of_an_optional_group_agrees_with_the_one_resolution(group: str) -> None:
    assert shared_pin_problems(text_of(ROOT / "requirements" / f"{group}.txt"), text_of(WHOLE_LOCK)) == []


def test_lock__of_the_tests_holds_the_whole_resolution() -> None:
    assert subset_problems(text_of(WHOLE_LOCK), text_of(ROOT / "requirements" / "dev.txt")) == []


@pytest.mark.parametrize(
    ("group", "absent"),
    [
        ("post-report", {"pandas", "scikit-learn", "mlflow", "mlflow-skinny", "numpy"}),
        ("comment-fork", {"pandas", "scikit-learn", "mlflow", "mlflow-skinny", "numpy"}),
        ("dispatch-retraining", {"pandas", "scikit-learn", "mlflow", "mlflow-skinny", "numpy"}),
        ("validate-data", {"pandas", "scikit-learn", "mlflow", "mlflow-skinny"}),
        ("evaluate-model", {"pandas"}),
    ],
)
def test_lock__brings_nothing_heavy(group: str, absent: set[str]) -> None:
    names = {name.partition("==")[0] for name in pinned(text_of(ROOT / "requirements" / f"{group}.txt"))}
    assert names & absent == set()


@pytest.mark.parametrize(
    ("group", "code", "heavy"),
    [
        (
            "post-report",
            "import post_report, slipway.github_api.comments, slipway.github_api.client",
            {"pandas", "sklearn", "mlflow", "numpy", "polars"},
        ),
        (
            "comment-fork",
            "import comment_fork, slipway.github_api.artifacts, slipway.github_api.fork_runs",
            {"pandas", "sklearn", "mlflow", "numpy", "polars"},
        ),
        (
            "dispatch-retraining",
            "import dispatch_retraining, slipway.github_api.dispatches",
            {"pandas", "sklearn", "mlflow", "numpy", "polars"},
        ),
        ("validate-data", "import validate_data, slipway.validating.judging", {"pandas", "sklearn", "mlflow"}),
    ],
)
def test_stage__imports_nothing_heavy(group: str, code: str, heavy: set[str], environments_cache: Path) -> None:
    python = stage_python(group, environments_cache)
    assert imported(python, code, heavy) == set()
    assert imported(python, "import tabulate", {"tabulate"}) == {"tabulate"}


def test_policy__is_documented_with_every_key() -> None:
    assert policy_example_problems(text_of(ROOT / "docs" / "policy.md")) == []


def test_policy__has_a_json_schema_for_editors() -> None:
    for name in write_schema.SCHEMAS:
        assert text_of(ROOT / "docs" / name) == write_schema.rendered(name), "make schema"


@pytest.mark.parametrize("file", list((ROOT / "examples").glob("*/slipway.yml")), ids=shown)
def test_policy__of_an_example_holds(file: Path) -> None:
    assert policy_problems(text_of(file)) == []


def test_statistics__lists_every_metric_and_gate() -> None:
    assert statistics_problems(text_of(ROOT / "docs" / "statistics.md")) == []


def test_validate_data__lists_every_check() -> None:
    page = text_of(DOCS["validate-data"])
    assert checks_problems(page) == []
    assert schema.read(yaml_blocks(section(page, "The schema"))[0], file="docs/validate-data.md").columns


def test_changelog__has_a_section_for_what_comes_next() -> None:
    assert "\n## [Unreleased]\n" in text_of(ROOT / "CHANGELOG.md")


# Every check can fail: one change to a good text, and a part of what must then be said.

TRAIN = text_of(ACTIONS["train-model"])
TRAIN_DOCS = text_of(DOCS["train-model"])
PIPELINE_DOCS = text_of(DOCS[ALL_STAGES])
FLOW = text_of(PIPELINE)
BUILD = text_of(SCRIPTS / "build_environment.py")
CHECKOUT = f"actions/checkout@{'a' * 40} # v1.2.3"
HASHED = f"numpy==2.0 \\\n    --hash=sha256:{'a' * 64}\n"


def spoilt(unit: str, check: Callable[[str], Any], good: str, *cases: tuple[str, str, str, str]) -> list[Any]:
    """A parameter for each case: what is wrong, the text that is replaced, its replacement, and what must be said."""
    return [pytest.param(check, good, old, new, said, id=f"{unit}: {wrong}") for wrong, old, new, said in cases]


SPOILT = [
    *spoilt(
        "action",
        lambda text: action_problems("train-model", text),
        TRAIN,
        (
            "an input is forwarded twice",
            "   INPUT_POLICY:",
            "   INPUT_POLICY: x\n        INPUT_POLICY:",
            "is set 2 times",
        ),
        ("an input is not forwarded", "        INPUT_REPORT: ${{ inputs.report }}\n", "", "INPUT_REPORT: None"),
        (
            "an input is given another's value",
            "{{ inputs.report }}",
            "{{ inputs.policy }}",
            "INPUT_REPORT: ${{ inputs.p",
        ),
        (
            "something else is forwarded",
            "   INPUT_POLICY:",
            "   INPUT_MODEL: x\n        INPUT_POLICY:",
            "INPUT_MODEL: x",
        ),
        ("an expression stands in run", "train_model.py\"'", "train_model.py\" ${{ inputs.policy }}'", "expression in"),
        ("a run has two lines", "run: python3 ", "run: |\n        set -e\n        python3 ", "not one line"),
        (
            "another shell",
            "environment\n      shell: bash",
            "environment\n      shell: sh",
            "not one line for `shell: b",
        ),
        ("another action is used", "id: stage\n", "id: stage\n      uses: ./actions/x\n", "not one line"),
        ("another script is run", "train_model.py", "post_report.py", "post_report.py"),
        ("another group is built", "GROUP: train-model", "GROUP: dvc", "INPUT_GROUP: dvc"),
        ("a step is added", "  steps:\n", "  steps:\n    - id: x\n      run: x\n", "composite of the steps"),
        ("an output is renamed", "  run-id:\n", "  run:\n", "`run-id` is missing"),
        ("an output has another value", "outputs.run-id", "outputs.run_id", "`run-id` has the value"),
        ("an input is renamed", "  policy:\n", "  policy-file:\n", "`policy` is missing"),
        ("required is flipped", "false\n    default: slipway", "true\n    default: slipway", "the input `policy` has"),
        ("a default is changed", "slipway.yml", "policy.yml", "the input `policy` has"),
        ("a default is no text", 'default: "false"', "default: false", "the input `allow-dirty-tree` has"),
        (
            "a description is missing",
            "    description: The MLflow run that trained it.\n",
            "",
            "description of `run-id`",
        ),
        ("a description is no sentence", "trained it.", "trained it", "description of `run-id`"),
    ),
    *spoilt(
        "docs of an action",
        lambda page: docs_problems(page, interface("train-model")),
        TRAIN_DOCS,
        ("a row is missing", "| `allow-dirty-tree` |", "| allow |", "`allow-dirty-tree` is listed 0 times"),
        ("another default", "| `false` |", "| `true` |", "`allow-dirty-tree` is shown with"),
        ("an optional input looks required", "| `report` | |", "| `report` | required |", "`report` is shown with"),
        ("a row says nothing", "| the MLflow run that trained it |", "| |", "the output `run-id` is not explained"),
        ("an output does not exist", "| `run-id` |", "| `run` |", "the output `run` does not exist"),
    ),
    *spoilt(
        "docs of the pipeline",
        lambda page: docs_problems(page, interface(PIPELINE.name), below="The reusable workflow"),
        PIPELINE_DOCS,
        ("a secret is missing", "| `credentials` |", "| `other` |", "`credentials` is listed 0 times"),
        ("a secret looks required", "| optional |", "| required |", "`credentials` is shown with"),
        ("an output is missing", "| `verdict` | `pass`", "| `result` | `pass`", "`verdict` is listed 0 times"),
    ),
    *spoilt(
        "README",
        readme_problems,
        text_of(ROOT / "README.md"),
        ("a stage is missing", "| [train-model](docs/train-model.md) |", "| train-model |", "lacks [train-model]"),
        ("the root action has no page", "](docs/pipeline.md)", "](docs/policy.md)", "docs/pipeline.md"),
    ),
    *spoilt(
        "script",
        source_problems,
        BUILD,
        ("it ends otherwise", "sys.exit(stage.run(main, Inputs))", "main(Inputs())", "does not end with"),
        ("Inputs can be changed", "(frozen=True, kw_only=True)", "(kw_only=True)", "Inputs is not a frozen"),
        ("Outputs has no docstring", '    """Where it is."""\n', "", "Outputs has no docstring"),
        ("it has no main", "def main(", "def work(", "lacks `Inputs` or `main`"),
        ("it is too long", "import sys\n", "import sys\n" * CODE_LINES, "lines of code"),
    ),
    *spoilt(
        "workflow",
        workflow_problems,
        FLOW,
        ("the default rights hold", "\npermissions: {}\n", "\n", "missing at the top"),
        ("all rights are given", "\npermissions: {}\n", "\npermissions: write-all\n", "does not name single rights"),
        ("a right has no reason", "write # write the comment", "write", "`pull-requests` has no comment"),
        ("no time limit", "    timeout-minutes: 15\n", "", "`report` has no `timeout-minutes`"),
        ("an input does not exist", "model-version: ${{ needs", "version: ${{ needs", "no input `version`"),
        ("a required input is not given", "reports: |", "model: |", "needs the input `reports`"),
        ("an output does not exist", "train.outputs.model-version", "train.outputs.version", "no output `version`"),
        ("a step does not exist", "        id: train\n", "        id: fit\n", "no step `train`"),
    ),
    *spoilt(
        "workflow that runs a script",
        workflow_problems,
        text_of(PIPELINE.with_name("attest.yml")),
        ("an output does not exist", "statement.outputs.subjects", "statement.outputs.subject", "no output `subject`"),
        ("another script is run", "scripts/fetch_statement.py", "scripts/write_schema.py", "no output `subjects`"),
        ("a right has no reason", "write # prove to Sigstore which workflow this is", "write", "`id-token` has no"),
    ),
    *spoilt(
        "page",
        lambda text: yaml_problems(text, whole=False),
        f"- uses: {CHECKOUT}\n  with: {{persist-credentials: false}}\n"
        "- run: echo $TITLE\n"
        "- uses: your-org/slipway@<commit>\n  with: {policy: x}\n"
        "- uses: your-org/slipway/.github/workflows/pipeline.yml@<commit>\n"
        "  with: {tracking-uri: x}\n  secrets: {credentials: x}\n"
        "  permissions:\n    contents: write # record\n    pull-requests: write # comment\n"
        "- permissions:\n    contents: read # check out\n",
        ("the token stays on disk", "persist-credentials: false", "fetch-depth: 0", "leaves the job's token"),
        ("an expression stands in run", "$TITLE", "${{ github.event.pull_request.title }}", "expression stands in"),
        ("an input does not exist", "policy", "polcy", "no input `polcy`"),
        ("a secret does not exist", "credentials: x", "credential: x", "no secret `credential`"),
        (
            "an action does not exist",
            "slipway@",
            "slipway/actions/fit-model@",
            "there is no your-org/slipway/actions/fit",
        ),
        ("a branch is no commit", "slipway@<commit>", "slipway@main", "not pinned"),
        ("a called workflow lacks a right", "    pull-requests: write # comment\n", "", "needs `pull-requests: write`"),
        ("a called workflow may only read", "contents: write # record", "contents: read # record", "`contents: write`"),
        ("a right has no reason", " # check out", "", "`contents` has no comment"),
    ),
    *spoilt(
        "pin",
        lambda text: pin_problems({"one": [f"uses: {CHECKOUT}"], "two": [text]}),
        f"- uses: {CHECKOUT}",
        ("a tag", "a" * 40, "v7", "two: `actions/checkout@v7"),
        ("a tag in braces", f"- uses: {CHECKOUT}", "- {uses: actions/checkout@v7, id: x}", "two: `actions/checkout@v7"),
        ("a short commit", "a" * 40, "a" * 7, "is not `owner/name@"),
        ("no version", " # v1.2.3", "", "is not `owner/name@"),
        ("another commit for the version", "a" * 40, "b" * 40, "several pins"),
        ("another version for the commit", "v1.2.3", "v1.2.4", "several pins"),
    ),
    *spoilt(
        "lock",
        lock_problems,
        HASHED,
        ("no hash", f" \\\n    --hash=sha256:{'a' * 64}", "", "is not a package with its hashes"),
        ("an index", "numpy", "--index-url https://index.invalid/simple\nnumpy", "names the address"),
        ("a folder of packages", "numpy", "--find-links wheels\nnumpy", "`--find-links wheels` is not a package"),
        ("an address for a version", "numpy==2.0", "numpy @ https://index.invalid/numpy.whl", "names the address"),
    ),
    *spoilt(
        "subset",
        lambda lock: subset_problems(lock, HASHED),
        HASHED,
        ("another version", "2.0", "2.1", "numpy==2.1"),
        ("another hash", "a" * 64, "b" * 64, "numpy==2.0"),
        ("another package", "numpy", "scipy", "scipy==2.0"),
    ),
    *spoilt(
        "shared pins",
        lambda lock: shared_pin_problems(lock, HASHED),
        HASHED + HASHED.replace("numpy", "scipy"),
        ("another version", "numpy==2.0", "numpy==2.1", "numpy==2.1"),
        ("another hash", "a" * 64, "b" * 64, "numpy==2.0"),
    ),
    *spoilt(
        "policy",
        policy_example_problems,
        text_of(ROOT / "docs" / "policy.md"),
        ("a key is not shown", "  seed: 2013", "  # 2013", "`training.seed`"),
        ("a key of a metric is not shown", "      max: 0.2", "      min: 0.2", "`evaluation.metrics.*.max`"),
        ("another default", "min_rows: 100 ", "min_rows: 50 ", "`min_rows` is [100]"),
        ("a default that there is not", "# handed to the command", "# default", "`seed` is [None]"),
        ("an unknown key", "model: flight-delays ", "modle: flight-delays ", "modle"),
    ),
    *spoilt(
        "statistics",
        statistics_problems,
        text_of(ROOT / "docs" / "statistics.md"),
        ("a metric is missing", "r2, ", "", "r2 (regression) is not listed"),
        ("an average is missing", " `_micro`", "", "recall_micro (multiclass) is not listed"),
        ("a metric does not exist", "r2, ", "r3, ", "r3 (regression) does not exist"),
        ("a gate is missing", "| `max: x` |", "| x |", "the gate max"),
        ("a coverage is missing", "| wape |", "| wap |", "the coverage of wape (forecasting) is not measured"),
        ("a family's coverage is missing", "| ndcg@10 |", "| ndcg |", "the coverage of ndcg@k (ranking)"),
    ),
    *spoilt(
        "validate-data",
        checks_problems,
        text_of(DOCS["validate-data"]),
        ("a check is missing", "`notin`, ", "", "the check notin"),
        ("another short name", "(`ge`)", "(`gte`)", "the short name gte"),
        ("an option is missing", "`raise_warning`, `n", "`n", "the option raise_warning"),
        ("a key of a rule is missing", ", as_of}`", "}`", "max_age_days, as_of}"),
        ("a rule is missing", "| `missing: ", "| `absent: ", "the key missing"),
    ),
    *spoilt(
        "link",
        lambda text: list(link_problems(ROOT / "README.md", text)),
        "# A page\n[a](docs/policy.md#which-gate-to-choose) [b](#a-page)",
        ("no such file", "docs/policy.md", "docs/polcy.md", "docs/polcy.md"),
        ("no such heading", "which-gate", "what-gate", "names no heading of docs/policy.md"),
        ("no such heading of the page", "# A page", "# One page", "names no heading of README.md"),
        ("a file outside of the repository", "docs/policy.md", "../../etc", "../../etc"),
    ),
]


@pytest.mark.parametrize(("check", "good", "old", "new", "said"), SPOILT)
def test_check__objects_to(check: Callable[[str], list[str]], good: str, old: str, new: str, said: str) -> None:
    assert old in good, "the file has changed: let this case replace another part of it"
    assert [problem for problem in check(good) if said in problem] == []
    assert [problem for problem in check(good.replace(old, new)) if said in problem]


def test_section__is_not_ended_by_a_comment_of_code() -> None:
    page = "# Page\n## One\n```yaml\n# Remark\na: 1\n```\n| input |\n## Two\n"
    assert section(page, "One") == "\n```yaml\n# Remark\na: 1\n```\n| input |\n"
    assert anchors(page) == {"page", "one", "two"}


def test_shared_problems__finds_another_meaning() -> None:
    policy = {"description": "Path of the policy.", "required": False, "default": "slipway.yml"}
    alike = {name: Interface({"policy": policy}, {}, {}) for name in ("first", "second")}
    assert shared_problems(alike) == []
    for change in ({"description": "A path."}, {"required": True}, {"default": ""}):
        assert shared_problems({**alike, "third": Interface({"policy": policy | change}, {}, {})})
