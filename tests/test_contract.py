"""What must agree: action.yml = dataclass = docs = README, pins, locks, and one name for a stage in five places."""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from slipway.evaluation.metrics import METRICS
from slipway.policy import Policy, read_text
from slipway.runner.inputs import Secret, default_text, is_required, user_name, variable
from test_training_toy import stage_python

ROOT = Path(__file__).resolve().parents[1]
STAGES = sorted(folder.name for folder in (ROOT / "actions").iterdir())
ACTIONS = {"run-pipeline": ROOT / "action.yml"} | {name: ROOT / "actions" / name / "action.yml" for name in STAGES}
DOCS = {"run-pipeline": ROOT / "docs" / "pipeline.md"} | {name: ROOT / "docs" / f"{name}.md" for name in STAGES}
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    ROOT / "tests" / "README.md",
    *(ROOT / "examples").rglob("*.md"),
]
WORKFLOWS = [*(ROOT / ".github" / "workflows").glob("*.yml"), *(ROOT / "examples").rglob(".github/workflows/*.yml")]
GROUPS = [*STAGES, "dvc"]


@cache
def script(name: str) -> Any:
    """The module of a stage's script."""
    path = ROOT / "scripts" / f"{name.replace('-', '_')}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def action(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(ACTIONS[name].read_text(encoding="utf-8")))


def action_problems(name: str, said: dict[str, Any]) -> list[str]:
    """Where an action.yml differs from its script's dataclasses, or from the rules of the house."""
    *before, step = said["runs"]["steps"]
    fields = dataclasses.fields(script(name).Inputs)
    declared = {user_name(field.name): field for field in fields}
    problems = [
        f"input `{extra}` is in only one of action.yml and Inputs" for extra in set(declared) ^ set(said["inputs"])
    ]
    for key, field in declared.items():
        written = said["inputs"].get(key, {})
        if written.get("required") is not is_required(field):
            problems.append(f"`required` of the input `{key}`")
        if not is_required(field) and written.get("default") != default_text(field):
            problems.append(f"default of the input `{key}`")
        if not str(written.get("description", "")).endswith("."):
            problems.append(f"description of the input `{key}`")
    forwarded = {key: value for key, value in step["env"].items() if key.startswith("INPUT_")}
    if forwarded != {variable(field.name): f"${{{{ inputs.{user_name(field.name)} }}}}" for field in fields}:
        problems.append("`env:` does not forward each input once")
    results = {user_name(field.name) for field in dataclasses.fields(script(name).Outputs)}
    if said["outputs"].keys() != results:
        problems.append("outputs are not the fields of Outputs")
    for key, output in said["outputs"].items():
        if output.get("value") != f"${{{{ steps.{step['id']}.outputs.{key} }}}}" or not output.get("description"):
            problems.append(f"value or description of the output `{key}`")
    for each in (*before, step):
        if "uses" in each or each.get("shell") != "bash" or "${{" in each["run"] or "\n" in each["run"]:
            problems.append(f"the step `{each['name']}` is not one plain line of bash")
    if [each["env"] for each in before] != ([{"INPUT_GROUP": name}] if name in STAGES else []):
        problems.append("the first step does not build the stage's own group")
    return problems


def table_rows(text: str, heading: str) -> dict[str, str]:
    """First and second cell of the table below a heading, by the names in the first."""
    section = re.split(r"^#+ ", text.partition(heading)[2], flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| ([^|]*) \|(?: ([^|]*?) ?)?\|", section, flags=re.MULTILINE)
    return {name: second for first, second in rows for name in re.findall(r"`([^`]+)`", first)}


def uses() -> Iterator[tuple[Path, str, str, str]]:
    """File, action, commit and remark of every use of somebody else's action."""
    for file in (*WORKFLOWS, *PAGES, *ACTIONS.values()):
        for name, commit, remark in re.findall(r"uses: ([\w.-]+/[\w./-]+)@(\S+)(.*)", file.read_text(encoding="utf-8")):
            if not name.startswith("your-org/"):
                yield file, name, commit, remark


def steps(file: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every job of a workflow with each of its steps (an empty one for a job that calls a workflow)."""
    for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values():
        for step in job.get("steps", [{}]):
            yield job, step


def packages(lock: Path) -> dict[str, frozenset[str]]:
    """Hashes of every pinned package of a lock."""
    found = re.findall(r"^(\S+==\S+?)(?: ;[^\\]*)? \\\n((?:    --hash=.*\n?)+)", lock.read_text(), flags=re.MULTILINE)
    return {name: frozenset(re.findall(r"sha256:\w+", hashes)) for name, hashes in found}


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ACTIONS)
def test_action__agrees_with_its_script(name: str) -> None:
    assert action_problems(name, action(name)) == []


MUTATIONS = {
    "an env line is missing": lambda said: said["runs"]["steps"][-1]["env"].pop("INPUT_POLICY"),
    "an expression stands in a run": lambda said: said["runs"]["steps"][-1].update(run="echo ${{ inputs.policy }}"),
    "an output is renamed": lambda said: said["outputs"].update(result=said["outputs"].pop("verdict")),
    "required is flipped": lambda said: said["inputs"]["policy"].update(required=True),
    "a default is changed": lambda said: said["inputs"]["policy"].update(default="policy.yml"),
    "an input is unknown": lambda said: said["inputs"].update(other={"description": "X.", "required": False}),
    "another group is built": lambda said: said["runs"]["steps"][0]["env"].update(INPUT_GROUP="dvc"),
    "an action is nested": lambda said: said["runs"]["steps"][0].update(uses="./actions/x"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_action_problems__finds(mutation: str) -> None:
    said = copy.deepcopy(action("train-model"))
    MUTATIONS[mutation](said)
    assert action_problems("train-model", said)


def test_actions__define_a_shared_input_alike() -> None:
    seen: dict[str, Any] = {}
    for name in ACTIONS:
        for key, said in action(name)["inputs"].items():
            definition = (said["required"], said.get("default"))
            assert seen.setdefault(key, definition) == definition, f"{key} of {name}"


@pytest.mark.parametrize("name", ACTIONS)
def test_docs__list_the_inputs_and_outputs(name: str) -> None:
    text = DOCS[name].read_text(encoding="utf-8")
    level = "\n### " if name == "run-pipeline" else "\n## "
    inputs = table_rows(text, f"{level}Inputs")
    shown = {key: "required" if said["required"] else said["default"] for key, said in action(name)["inputs"].items()}
    assert {key: default.strip("`") for key, default in inputs.items()} == shown
    assert table_rows(text, f"{level}Outputs").keys() == action(name)["outputs"].keys()


@pytest.mark.parametrize("name", STAGES)
def test_stage__is_one_name_in_five_places(name: str) -> None:
    snake = name.replace("-", "_")
    assert len(name.split("-")) == 2
    for place in (f"scripts/{snake}.py", f"requirements/{name}.in", f"requirements/{name}.txt", f"docs/{name}.md"):
        assert (ROOT / place).is_file(), place
    assert (ROOT / "tests" / f"test_{snake}.py").is_file()
    assert f"| [{name}](docs/{name}.md) |" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ACTIONS)
def test_script__hands_main_to_the_stage_runner(name: str) -> None:
    module = script(name)
    last = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body[-1]
    assert "stage.run(main, Inputs)" in ast.unparse(last)
    for each in (module.Inputs, module.Outputs):
        assert each.__dataclass_params__.frozen
        assert all(field.kw_only for field in dataclasses.fields(each))
        assert each.__doc__
        assert not each.__doc__.startswith(f"{each.__name__}(")
    assert all("token" in key for key, kind in get_type_hints(module.Inputs).items() if kind is Secret)


def test_pipeline__is_documented() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text(encoding="utf-8"))
    call = workflow[True]["workflow_call"]  # YAML reads `on` as true
    text = DOCS["run-pipeline"].read_text(encoding="utf-8")
    shown = table_rows(text, "## The reusable workflow")
    # Two optional inputs share a row, which shows their defaults once.
    assert shown.keys() == call["inputs"].keys()
    for key, said in call["inputs"].items():
        default = "required" if said.get("required") else str(said["default"])
        assert shown[key].strip("`") == default, key
    assert all(f"`{each}`" in text for each in (*call["secrets"], *call["outputs"]))


def test_pipeline__gives_the_actions_inputs_that_they_have() -> None:
    given = [
        (step["uses"].rpartition("/")[2], set(step.get("with", {})))
        for _, step in steps(ROOT / ".github/workflows/pipeline.yml")
        if step.get("uses", "").startswith("./")
    ]
    assert {name for name, _ in given} == set(STAGES)
    for name, keys in given:
        assert keys <= action(name)["inputs"].keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page__shows_inputs_that_exist(page: Path) -> None:
    known = {f"your-org/slipway/actions/{name}": set(action(name)["inputs"]) for name in STAGES}
    known["your-org/slipway"] = set(action("run-pipeline")["inputs"])
    for block in re.findall(r"uses: (your-org/slipway\S*)@\S+\n(.*?)(?:```|\Z)", page.read_text("utf-8"), re.DOTALL):
        keys = re.search(r"^ *with:\n((?: +\S.*\n)+)", block[1], flags=re.MULTILINE)
        if block[0] in known and keys:
            indent = len(keys[1]) - len(keys[1].lstrip())
            names = re.findall(rf"^ {{{indent}}}([\w-]+):", keys[1], flags=re.MULTILINE)
            assert set(names) - {"secrets"} <= known[block[0]], block[0]


def test_uses__are_pinned_by_commit_and_alike_everywhere() -> None:
    pins: dict[str, str] = {}
    for file, name, commit, remark in uses():
        assert re.fullmatch(r"[0-9a-f]{40}", commit), f"{name} in {file.relative_to(ROOT)}"
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", remark), f"{name} in {file.relative_to(ROOT)}"
        assert pins.setdefault(name, commit + remark) == commit + remark, f"{name} in {file.relative_to(ROOT)}"
    assert "actions/checkout" in pins


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_workflow__gives_no_more_than_it_must(file: Path) -> None:
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["permissions"] == {}
    for job, step in steps(file):
        assert "uses" in job or "timeout-minutes" in job
        assert "permissions" in job
        assert "${{" not in step.get("run", "")
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("group", GROUPS)
def test_lock__is_a_subset_of_the_one_resolution(group: str) -> None:
    whole, mine = packages(ROOT / "requirements.txt"), packages(ROOT / "requirements" / f"{group}.txt")
    assert mine
    assert {name: hashes for name, hashes in mine.items() if whole.get(name) != hashes} == {}


@pytest.mark.parametrize(
    "lock", [ROOT / "requirements.txt", *(ROOT / "requirements").glob("*.txt")], ids=lambda p: p.name
)
def test_lock__is_hashed_and_names_no_index(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert len(packages(lock)) == len(re.findall(r"^\S+==", text, flags=re.MULTILINE))
    assert re.findall(r"^\s*--(?!hash=).*|https?://\S+", text, flags=re.MULTILINE) == []


@pytest.mark.parametrize(
    ("group", "imports", "absent"),
    [
        (
            "post-report",
            "post_report, slipway.github_api.comments, slipway.github_api.client, tabulate",
            {"pandas", "numpy", "sklearn", "mlflow", "polars"},
        ),
        ("validate-data", "validate_data, tabulate", {"pandas", "sklearn", "mlflow"}),
    ],
)
def test_stage__imports_nothing_heavy(group: str, imports: str, absent: set[str], environments_cache: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import {imports}; print(*sys.modules)"
    python = str(stage_python(group, environments_cache))
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert not absent & set(done.stdout.split())


def test_policy__is_documented_with_every_key() -> None:
    block = re.findall(r"```yaml\n(version: 1.*?)```", (ROOT / "docs/policy.md").read_text("utf-8"), re.DOTALL)[0]
    policy = read_text(block, Policy, file="docs/policy.md")
    assert policy.training is not None
    assert policy.evaluation is not None
    for part in (policy, policy.training, policy.evaluation, policy.pull_request):
        for key, field in type(part).model_fields.items():
            assert re.search(rf"^ *{field.alias or key}:", block, flags=re.MULTILINE), key


def test_readme__shows_a_policy_that_holds() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.findall(r"```yaml\n( +version: 1.*?)```", text, re.DOTALL)[0]
    assert read_text(block, Policy, file="README.md").model == "flight-delays"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_statistics__lists_every_metric(task: str) -> None:
    line = next(
        line for line in (ROOT / "docs/statistics.md").read_text("utf-8").splitlines() if line.startswith(f"| `{task}`")
    )
    listed = line.split("|")[2]
    for metric in METRICS:
        if metric.task == task:
            stem, _, kind = metric.name.rpartition("_")
            grouped = kind in ("macro", "weighted", "micro") and stem in listed and f"`_{kind}`" in listed
            assert metric.name in listed or grouped, metric.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page__links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target
