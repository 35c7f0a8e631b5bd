"""The policy: strict reading with line and suggestion, a digest of its meaning, and gates from the base branch."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import write_schema
from conftest import GitRepository, pull_request, push
from slipway.policy.evaluation import Evaluation
from slipway.policy.metrics import canonical
from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.policy.rules import MetricRule
from slipway.policy.source import SourcedPolicy, file_digest, load
from slipway.runner.context import Run
from slipway.runner.errors import GateError, InputError, PolicyError

ROOT = Path(__file__).parents[1]
FULL = """\
version: 1
model: flight-delays
data:
  train: {path: data/train, schema: schema.yml}
  holdout:
    path: data/holdout
    schema: schema.yml
training:
  command: python train.py
  requirements: requirements.txt
  parameters: params.yaml
  model: build/model
  seed: 2013
  timeout_minutes: 20
  experiment: flights
evaluation:
  task: binary
  holdout: holdout
  target: late
  positive: true
  threshold: 0.5
  cluster: date
  confidence: 0.9
  min_rows: 50
  on_inconclusive: fail
  metrics:
    roc_auc: {margin: 0.005, min: 0.55}
    log_loss: {better_by: 1e-3, max: 1}
    accuracy: {}
pull_request:
  gates_from: base
"""


def parse(text: str) -> Policy:
    return read_text(text, Policy, file="slipway.yml")


def refusal(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    assert caught.value.file == "slipway.yml"
    return caught.value


def changed(old: str, new: str) -> str:
    assert FULL.count(old) == 1, old
    return FULL.replace(old, new)


def with_value(section: str, key: str, value: Any) -> str:
    """The full policy with one value, written as YAML."""
    said = yaml.safe_load(FULL)
    place = said
    for part in section.split("."):
        place = place[part]
    place[key] = value
    return yaml.safe_dump(said)


def test_read__every_key() -> None:
    policy = parse(FULL)
    training, evaluation = policy.training, policy.evaluation
    assert training is not None
    assert evaluation is not None
    assert (policy.version, policy.model, list(policy.data)) == (1, "flight-delays", ["train", "holdout"])
    assert (policy.data["holdout"].path, policy.data["holdout"].schema_) == ("data/holdout", "schema.yml")
    assert training.model_dump() == {
        "command": "python train.py",
        "requirements": "requirements.txt",
        "parameters": "params.yaml",
        "model": "build/model",
        "code": None,
        "seed": 2013,
        "timeout_minutes": 20,
        "experiment": "flights",
        "container": None,
    }
    assert evaluation.metrics == {
        "roc_auc": MetricRule(margin=0.005, min=0.55),
        "log_loss": MetricRule(better_by=0.001, max=1),
        "accuracy": MetricRule(),
    }
    assert (evaluation.positive, evaluation.threshold, evaluation.cluster) == (True, 0.5, "date")
    assert (evaluation.confidence, evaluation.min_rows, evaluation.on_inconclusive) == (0.9, 50, "fail")


def test_read__the_least_that_a_policy_says() -> None:
    policy = parse("version: 1\nmodel: m\n")
    assert (policy.data, policy.training, policy.evaluation) == ({}, None, None)
    assert policy.pull_request.gates_from == "base"


def test_read__defaults_of_an_evaluation() -> None:
    section = "evaluation: {task: regression, holdout: h, target: y, metrics: {r2: {}}}"
    text = f"version: 1\nmodel: m\ndata: {{h: {{path: x}}}}\n{section}"
    evaluation = parse(text).evaluation
    assert evaluation is not None
    assert (evaluation.confidence, evaluation.min_rows, evaluation.on_inconclusive) == (0.95, 100, "warn")
    assert (evaluation.positive, evaluation.threshold, evaluation.cluster) == (None, None, None)


def test_read__the_command_may_be_a_list() -> None:
    training = parse(changed("command: python train.py", 'command: [python, "my train.py"]')).training
    assert training is not None
    assert training.command == ["python", "my train.py"]


@pytest.mark.parametrize("label", [True, False, 0, 1, "yes", "1"])
def test_read__a_label_keeps_its_type(label: bool | int | str) -> None:
    evaluation = parse(with_value("evaluation", "positive", label)).evaluation
    assert evaluation is not None
    assert (type(evaluation.positive), evaluation.positive) == (type(label), label)


def test_read__the_examples_policy_is_one() -> None:
    read_text((ROOT / "examples" / "flights" / "slipway.yml").read_text(encoding="utf-8"), Policy, file="slipway.yml")


def test_read__the_documented_policy_is_one() -> None:
    documented = (
        (ROOT / "docs" / "policy.md").read_text(encoding="utf-8").split("```yaml\nversion: 1")[1].split("```")[0]
    )
    said = parse("version: 1" + documented)
    assert said.evaluation
    rules = [rule.model_dump(exclude_none=True) for rule in said.evaluation.metrics.values()]
    assert {key for rule in rules for key in rule} >= {"margin", "min", "better_by"}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("model: flight-delays", "modle: flight-delays", 2, "`modle` is not a known key; did you mean `model`?"),
        (
            "    schema: schema.yml\n",
            "    shema: schema.yml\n",
            7,
            "`data.holdout.shema` is not a known key; did you mean `schema`?",
        ),
        ("train: {path", "train: {pth", 4, "`data.train.pth` is not a known key; did you mean `path`?"),
        ("  seed: 2013", "  sede: 2013", 13, "`training.sede` is not a known key; did you mean `seed`?"),
        ("  min_rows: 50", "  min-rows: 50", 24, "`evaluation.min-rows` is not a known key; did you mean `min_rows`?"),
        (
            "margin: 0.005",
            "margn: 0.005",
            27,
            "`evaluation.metrics.roc_auc.margn` is not a known key; did you mean `margin`?",
        ),
        (
            "  gates_from: base",
            "  gate_from: base",
            31,
            "`pull_request.gate_from` is not a known key; did you mean `gates_from`?",
        ),
        ("accuracy: {}", "accuracy: {zzz: 1}", 29, "known keys: better_by, margin, max, min"),
    ],
)
def test_read__a_misspelt_key_has_a_line_and_a_suggestion(old: str, new: str, line: int, said: str) -> None:
    failure = refusal(changed(old, new))
    assert said in str(failure)
    assert failure.line == line
    assert f"line {line}: " in str(failure)


def test_read__every_problem_is_named_at_once() -> None:
    failure = refusal(changed("model: flight-delays", "modle: x").replace("seed: 2013", "seed: soon"))
    assert failure.what == "slipway.yml has 3 problems."
    assert "- line 1: `model` is required" in failure.why
    assert "- line 13: `training.seed`: must be a whole number" in failure.why
    assert "- line 2: `modle` is not a known key; did you mean `model`?" in failure.why


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("  seed: 2013\n", "  seed: 2013\n  seed: 1\n", 14, "seed"),
        ("accuracy: {}", "roc_auc: {}", 29, "roc_auc"),
        ("min: 0.55}", "min: 0.55, margin: 9}", 27, "margin"),
        ("version: 1\n", "version: 1\nversion: 1\n", 2, "version"),
        ("accuracy: {}", '"log_loss": {}', 29, "log_loss"),
    ],
)
def test_read__a_key_that_stands_twice_is_refused(old: str, new: str, line: int, key: str) -> None:
    failure = refusal(changed(old, new))
    assert f"the key `{key}` twice" in failure.what
    assert failure.line == line


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_read__an_empty_file_is_refused(text: str) -> None:
    if text == "---\n":  # a document that says null
        assert "must be a mapping" in refusal(text).what
    else:
        assert refusal(text).what == "slipway.yml is empty."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("version: 1\nmodel: [", 2),
        ("version: 1\n\tmodel: m", 2),
        ("version: 1\nmodel: a: b", 2),
        ("version: 1\nmodel: !!python/object:os.system {}", 2),
        ("version: 1\nmodel: 'm", 2),
        ("? {a: b}\n: c", 1),
        ("? [a]\n: c", 1),
        ("<<: 3", 1),
        ("version: 1\n---\nversion: 1", 2),
        ("a: *nothing", 1),
        ("model: \x00", 0),
    ],
)
def test_read__what_is_no_yaml_says_where(text: str, line: int) -> None:
    failure = refusal(text)
    assert failure.what == "slipway.yml is not YAML."
    assert failure.line == line
    assert failure.why


@pytest.mark.parametrize("text", ["model: 2001-99-99", "model: !!int m", "[" * 5000, "model: !!binary é"])
def test_read__a_value_that_yaml_cannot_build_is_refused(text: str) -> None:
    assert refusal(text).what in ("slipway.yml holds a value that cannot be read.", "slipway.yml is not YAML.")


def test_read__an_alias_of_itself_is_refused() -> None:
    assert "`data` is not" not in str(refusal("version: 1\nmodel: m\ndata: &a {x: *a}"))


def test_read__aliases_of_aliases_are_not_walked_through() -> None:
    # Nine levels of nine stand for 387 million nodes.
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "`a8` is not a known key" in str(refusal("\n".join(levels)))


def test_read__aliases_and_merge_keys_may_be_used() -> None:
    text = "version: 1\nmodel: m\ndata:\n  a: &a {path: x, schema: s.yml}\n  b: {<<: *a, path: y}\n"
    assert {name: each.path for name, each in parse(text).data.items()} == {"a": "x", "b": "y"}


def test_read__a_misspelt_key_behind_a_merge_key_is_named() -> None:
    failure = refusal("<<: {modle: x}\nversion: 1\nmodel: m\n")
    assert "`modle` is not a known key; did you mean `model`?" in failure.what


@pytest.mark.parametrize("text", ["- version: 1", "version 1", "3", "true"])
def test_read__what_is_no_mapping_is_refused(text: str) -> None:
    assert "the file must be a mapping of keys to values" in refusal(text).what


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("evaluation.metrics.roc_auc", "margin", True, "must be a number, not true or false"),
        ("evaluation.metrics.roc_auc", "min", False, "must be a number, not true or false"),
        ("evaluation.metrics.roc_auc", "margin", float("nan"), "finite number"),
        ("evaluation.metrics.roc_auc", "margin", float("inf"), "finite number"),
        ("evaluation.metrics.roc_auc", "min", float("nan"), "finite number"),
        ("evaluation.metrics.roc_auc", "max", float("-inf"), "finite number"),
        ("evaluation.metrics.roc_auc", "margin", -0.001, "must be at least 0, and is -0.001"),
        ("evaluation.metrics.log_loss", "better_by", float("nan"), "finite number"),
        ("evaluation.metrics.log_loss", "better_by", -1, "must be at least 0, and is -1"),
        ("evaluation.metrics.roc_auc", "margin", "half", "must be a number"),
        ("evaluation.metrics", "accuracy", None, "must be a mapping of keys to values (`{}` for none)"),
        ("evaluation.metrics", "accuracy", 0.9, "must be a mapping"),
        ("evaluation", "metrics", {}, "must have at least 1 entry"),
        ("evaluation", "threshold", 0, "must be above 0, and is 0"),
        ("evaluation", "threshold", 1, "must be below 1, and is 1"),
        ("evaluation", "threshold", float("nan"), "finite number"),
        ("evaluation", "confidence", 0.49, "must be at least 0.5, and is 0.49"),
        ("evaluation", "confidence", 95, "must be below 1, and is 95"),
        ("evaluation", "confidence", float("nan"), "finite number"),
        ("evaluation", "min_rows", 1, "must be at least 2, and is 1"),
        ("evaluation", "min_rows", 10.5, "must be a whole number"),
        ("evaluation", "min_rows", True, "must be a number, not true or false"),
        ("evaluation", "on_inconclusive", "pass", "'warn' or 'fail'"),
        ("evaluation", "task", "clustering", "'binary', 'multiclass', "),
        ("evaluation", "target", 3, "must be text, or a list"),
        ("evaluation", "positive", 1.5, "must be true or false, or a whole number, or text"),
        ("training", "command", [], "must be text, or a list of at least 1 entry"),
        ("training", "command", 3, "must be text, or a list"),
        ("training", "timeout_minutes", 0, "must be above 0, and is 0"),
        ("training", "timeout_minutes", float("inf"), "finite number"),
        ("training", "timeout_minutes", 7201, "must be at most 7200, and is 7201"),
        ("training", "seed", True, "must be a number, not true or false"),
        ("pull_request", "gates_from", "main", "'base' or 'head'"),
        ("data", "a/b", {"path": "x"}, "must have the form `^[A-Za-z0-9]"),
        ("data.train", "path", None, "must be text"),
    ],
)
def test_read__a_wrong_value_says_what_it_must_be(section: str, key: str, value: Any, said: str) -> None:
    failure = refusal(with_value(section, key, value))
    assert said in str(failure)
    assert f"`{section}.{key}" in str(failure)
    assert failure.line > 1


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("evaluation.metrics.roc_auc", "min", 1.5, "min`: is 1.5, and roc_auc lies between 0 and 1"),
        ("evaluation.metrics.roc_auc", "min", 55, "(1 % is 0.01: 0.55?)"),
        (
            "evaluation.metrics.roc_auc",
            "margin",
            2,
            "margin`: is 2, and roc_auc lies between 0 and 1, so no two of its",
        ),
        ("evaluation.metrics.log_loss", "max", -0.5, "max`: is -0.5, and log_loss lies at or above 0"),
        (
            "evaluation.metrics",
            "roc_acu",
            {},
            "roc_acu`: `roc_acu` is no metric for binary tasks; did you mean `roc_auc`?",
        ),
        ("evaluation.metrics", "neg_log_loss", {"min": -0.5}, "min`: is -0.5, and neg_log_loss lies at or above 0"),
        (
            "evaluation",
            "slices",
            {"columns": ["a"], "metrics": {"acuracy": {}}},
            "slices.metrics.acuracy`: `acuracy` is no metric for binary tasks; did you mean `accuracy`?",
        ),
        (
            "evaluation",
            "fairness",
            {"groups": ["a"], "metrics": {"selection_rate": {"max_gap": 5}}},
            "fairness.metrics.selection_rate.max_gap`: is 5, and selection_rate lies between 0 and 1",
        ),
        (
            "evaluation",
            "robustness",
            {"noise": {"columns": ["a"], "metric": "f2", "max_drop": 0.1}},
            "robustness.noise.metric`: `f2` is no metric for binary tasks; did you mean `f1`?",
        ),
        (
            "evaluation",
            "robustness",
            {"noise": {"columns": ["a"], "metric": "f1", "max_drop": 10}},
            "robustness.noise.max_drop`: is 10, and f1 lies between 0 and 1, so no two of its values are as far apart",
        ),
    ],
)
def test_read__a_metric_or_limit_that_cannot_be_meant_is_refused(section: str, key: str, value: Any, said: str) -> None:
    text = with_value(section, key, value)
    failure = refusal(text)
    assert said in str(failure)
    word = re.search(r"`evaluation\.([\w.]+)`", failure.what)
    assert word is not None
    assert word[1].rpartition(".")[2] in text.splitlines()[failure.line - 1], "the line is that of the key itself"


@pytest.mark.parametrize(
    ("task", "name", "hint"),
    [
        ("regression", "rmse", "did you mean `root_mean_squared_error`?"),
        ("forecasting", "mae", "did you mean `mean_absolute_error`?"),
        ("regression", "R2", "did you mean `r2`?"),
        ("binary", "sensitivity", "did you mean `recall`?"),
        ("binary", "AUC", "did you mean `roc_auc`?"),
        ("multiclass", "auc", "did you mean `roc_auc_ovr`?"),
        ("binary", "pr_auc", "did you mean `average_precision`?"),
        ("multiclass", "f1", "did you mean `f1_macro`, `f1_micro` or `f1_weighted`?"),
        ("ranking", "map", "did you mean `mean_average_precision`?"),
        ("ranking", "NDCG@10", "did you mean `ndcg@k`?"),
        ("binary", "acuracy", "did you mean `accuracy`?"),
        ("binary", "zzz", "known for binary tasks: accuracy, "),
    ],
)
def test_canonical__a_short_name_gets_the_hint_that_it_deserves(task: Any, name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is no metric") as raised:
        canonical(name, task)
    assert hint in str(raised.value)


def test_read__all_that_cannot_be_meant_is_told_at_once() -> None:
    text = """version: 1
model: m
data: {h: {path: h.csv}}
evaluation:
  task: regression
  holdout: h
  target: y
  threshold: 0.5
  metrics:
    r2: {min: 2}
    mae: {margin: 1}
    mean_absolute_error:
      max: -1
  fairness:
    groups: [a]
    metrics: {r2: {max_gap: 0.1}, gini: {}}
"""
    failure = refusal(text)
    assert failure.what == "slipway.yml has 5 problems."
    assert [line.partition(":")[0] for line in failure.why.strip().splitlines()] == [
        *("- line 4", "- line 10", "- line 11", "- line 13", "- line 16"),
    ]
    for said in ("`threshold` belongs to", "r2.min`: is 2", "`mae` is no metric", "max`: is -1", "`gini` is no metric"):
        assert said in failure.why


@pytest.mark.parametrize(
    ("more", "gated"),
    [
        ({}, ()),
        ({"metrics": {"roc_auc": {"margin": 0}}}, ("quality",)),
        ({"beats_baseline": True}, ("quality",)),
        ({"slices": {"columns": ["a"], "metrics": {"roc_auc": {"min": 0.5}}}}, ("quality",)),
        ({"slices": {"columns": ["a"]}}, ()),
        ({"fairness": {"groups": ["a"], "metrics": {"recall": {"max_gap": 0.1}}}}, ("fairness",)),
        ({"fairness": {"groups": ["a"], "metrics": {"recall": {}}}}, ()),
        ({"latency": {"p50_ms": {}}}, ()),
        ({"latency": {"throughput": {"ratio": 0.5}}}, ("latency",)),
        ({"robustness": {}}, ()),
        (
            {
                "robustness": {"swap": {"columns": ["a"], "metric": "f1", "max_drop": 0.1}},
                "latency": {"size_mb": {"max": 1}},
            },
            ("robustness", "latency"),
        ),
    ],
)
def test_gated__is_what_gates_look_at(more: dict[str, Any], gated: tuple[str, ...]) -> None:
    said = {"task": "binary", "holdout": "h", "target": "y", "metrics": {"roc_auc": {}}, **more}
    assert Evaluation.model_validate(said).gated == gated


def test_read__limits_that_lie_in_a_metrics_range_are_taken() -> None:
    for task, name, rule in (
        ("binary", "expected_cost", {"min": -50}),
        ("binary", "matthews_corrcoef", {"min": -1, "margin": 2}),
        ("regression", "r2", {"min": -3}),
        ("regression", "mean_absolute_error", {"max": 1e9, "margin": 1e6}),
        ("multiclass", "brier_score", {"max": 2}),
        ("ranking", "ndcg@10", {"min": 0, "margin": 1}),
    ):
        more: dict[str, Any] = {"costs": {"false_positive": 1, "false_negative": 1}} if name == "expected_cost" else {}
        more |= {"query": "q"} if task == "ranking" else {}
        Evaluation.model_validate({"task": task, "holdout": "h", "target": "y", "metrics": {name: rule}, **more})


@pytest.mark.parametrize("version", [0, 2, "one"])
def test_read__another_version_is_refused(version: int | str) -> None:
    assert "`version`: must be 1" in refusal(f"version: {version}\nmodel: m").what


@pytest.mark.parametrize("name", ["", " a", ".hidden", "a/b", "a:b", "-x", "é", "x" * 201, "a\n"])
def test_read__a_models_name_is_what_every_registry_can_carry(name: str) -> None:
    assert "`model`" in refusal(yaml.safe_dump({"version": 1, "model": name})).what


def test_read__margin_and_better_by_exclude_each_other() -> None:
    failure = refusal(with_value("evaluation.metrics.roc_auc", "better_by", 0.1))
    assert "`evaluation.metrics.roc_auc`: `margin` and `better_by` exclude each other" in failure.what


def test_read__min_above_max_is_refused_and_equal_is_not() -> None:
    assert "`min` (0.55) is above `max` (0.5)" in refusal(with_value("evaluation.metrics.roc_auc", "max", 0.5)).what
    parse(with_value("evaluation.metrics.roc_auc", "max", 0.55))


def test_read__the_holdout_must_be_declared() -> None:
    failure = refusal(with_value("evaluation", "holdout", "hold-out"))
    assert "names the dataset `hold-out`, which `data` does not declare (declared: " in failure.what
    assert "train" in failure.what


YAML_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [
                "version",
                "model",
                "data",
                ": ",
                "1",
                "\n",
                "  ",
                "- ",
                "{",
                "}",
                "[",
                "]",
                "&a",
                "*a",
                "<<",
                "!!",
                "? ",
                "'",
                "#",
                "|",
                "true",
                ".nan",
                "2001-99-99",
            ]
        ),
        max_size=30,
    ).map("".join),
)


@given(YAML_TEXT)
def test_read__any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    try:
        parse(text)
    except PolicyError as failure:
        assert failure.what  # noqa: PT017 - both outcomes are right


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
)


@given(
    section=st.sampled_from(
        ["data", "data.train", "training", "evaluation", "evaluation.metrics.roc_auc", "pull_request"]
    ),
    key=st.sampled_from(["path", "command", "margin", "positive", "metrics", "gates_from", "task", "other"]),
    value=VALUES,
)
def test_read__any_value_anywhere_is_taken_or_named(section: str, key: str, value: Any) -> None:
    try:
        parse(with_value(section, key, value))
    except PolicyError as failure:
        assert failure.what  # noqa: PT017 - both outcomes are right


def test_digest__leaves_out_comments_layout_and_order() -> None:
    digest = parse(FULL).digest
    assert digest.startswith("sha256:")
    assert len(digest) == len("sha256:") + 64
    reordered = yaml.safe_dump(dict(reversed(yaml.safe_load(FULL).items())), sort_keys=False)
    assert parse(reordered).digest == digest
    assert parse("# comment\n" + FULL.replace("\n", "\n\n")).digest == digest
    assert parse(changed("max: 1}", "max: 1.0}")).digest == digest
    assert parse(json.dumps(yaml.safe_load(FULL))).digest == digest


def test_digest__counts_what_is_left_to_its_default() -> None:
    assert parse(changed("pull_request:\n  gates_from: base\n", "")).digest == parse(FULL).digest


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("evaluation.metrics.roc_auc", "margin", 0.0051),
        ("evaluation.metrics.roc_auc", "min", None),
        ("evaluation.metrics.log_loss", "max", 1.1),
        ("evaluation.metrics.log_loss", "better_by", 0.0),
        ("evaluation.metrics", "f1", {}),
        ("evaluation", "confidence", 0.95),
        ("evaluation", "min_rows", 51),
        ("evaluation", "on_inconclusive", "warn"),
        ("evaluation", "threshold", None),
        ("evaluation", "cluster", None),
        ("evaluation", "positive", 1),
        ("evaluation", "target", "early"),
        ("evaluation", "holdout", "train"),
        ("data.holdout", "path", "data/other"),
        ("data.holdout", "schema", None),
        ("training", "seed", 1),
        ("pull_request", "gates_from", "head"),
    ],
)
def test_digest__changes_with_every_gate(section: str, key: str, value: Any) -> None:
    assert parse(with_value(section, key, value)).digest != parse(FULL).digest


# Which copy judges a pull request.

SCHEMA = "columns: {late: {dtype: Boolean}}\n"
LOOSE = FULL.replace("margin: 0.005, min: 0.55", "margin: 0.5").replace("python train.py", "python new.py")


@pytest.fixture
def repository(repository: GitRepository, monkeypatch: pytest.MonkeyPatch) -> GitRepository:
    monkeypatch.chdir(repository.path)
    return repository


def run_of(base: str) -> Run:
    return Run(event=pull_request(base=base))


def margin(sourced: SourcedPolicy) -> float | None:
    assert sourced.policy.evaluation
    return sourced.policy.evaluation.metrics["roc_auc"].margin


def command(sourced: SourcedPolicy) -> Any:
    assert sourced.policy.training
    return sourced.policy.training.command


def test_load__outside_of_a_pull_request_the_work_tree_judges(repository: GitRepository) -> None:
    repository.commit({"slipway.yml": FULL})
    (repository.path / "slipway.yml").write_text(LOOSE, encoding="utf-8")
    sourced = load(Path("slipway.yml"), Run(event=push()))
    assert (margin(sourced), sourced.gates_commit, sourced.remarks) == (0.5, "", ())
    assert sourced.provenance["gates_from"] == "work tree"


def test_load__in_a_pull_request_the_base_judges_and_the_change_trains(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    repository.commit({"slipway.yml": LOOSE})
    sourced = load(Path("slipway.yml"), run_of(base))
    assert (margin(sourced), command(sourced)) == (0.005, "python new.py")
    assert "This pull request changes `slipway.yml`. It was judged by the base branch's gates" in sourced.remarks[0]
    assert sourced.gates_commit == base
    assert sourced.provenance == {"policy": "slipway.yml", "policy_digest": sourced.policy.digest, "gates_from": base}


def test_load__a_change_cannot_allow_itself_data_that_change(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL + "\nreproducibility: {mutable_data: fail}\n"})
    repository.commit({"slipway.yml": LOOSE + "\nreproducibility: {mutable_data: warn}\n"})
    assert load(Path("slipway.yml"), run_of(base)).policy.reproducibility.mutable_data == "fail"
    assert load(Path("slipway.yml"), Run(event=push())).policy.reproducibility.mutable_data == "warn"


def test_load__the_work_tree_counts_not_the_commit(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    (repository.path / "slipway.yml").write_text(LOOSE, encoding="utf-8")
    assert margin(load(Path("slipway.yml"), run_of(base))) == 0.005


@pytest.mark.parametrize(
    "text", [FULL, "# a comment\n" + FULL, FULL.replace("\n", "\r\n"), FULL.replace("train.py", "t.py")]
)
def test_load__a_change_of_no_gate_is_no_remark(repository: GitRepository, text: str) -> None:
    base = repository.commit({"slipway.yml": FULL})
    repository.commit({"slipway.yml": text})
    assert load(Path("slipway.yml"), run_of(base)).remarks == ()


def test_load__a_new_policy_judges_itself_and_says_so(repository: GitRepository) -> None:
    base = repository.commit({"README.md": "x"})
    repository.commit({"slipway.yml": FULL})
    sourced = load(Path("slipway.yml"), run_of(base))
    assert (margin(sourced), sourced.gates_commit) == (0.005, "")
    assert sourced.remarks == ("The policy `slipway.yml` is new in this pull request: its own gates were applied.",)


def test_load__a_base_commit_that_a_shallow_clone_lacks_is_an_error(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = repository.commit({"slipway.yml": FULL})
    repository.commit({"slipway.yml": LOOSE})
    shallow = tmp_path / "shallow"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", str(shallow))
    monkeypatch.chdir(shallow)
    with pytest.raises(InputError) as caught:
        load(Path("slipway.yml"), run_of(base))
    assert f"The base commit {base[:12]} of this pull request is not in this clone." in caught.value.what
    assert "fetch-depth: 0" in caught.value.fix


def test_load__outside_of_a_clone_git_is_quoted(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slipway.yml").write_text(FULL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(InputError) as caught:
        load(Path("slipway.yml"), run_of("b" * 40))
    assert "not a git repository" in caught.value.why


def test_load__a_machine_without_git_is_told(repository: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    base = repository.commit({"slipway.yml": FULL})
    monkeypatch.setenv("PATH", str(repository.path))
    with pytest.raises(InputError, match="git is not on the PATH"):
        load(Path("slipway.yml"), run_of(base))


def test_load__a_base_policy_that_cannot_be_read_is_not_a_new_one(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    blob = repository.git("rev-parse", f"{base}:slipway.yml")
    repository.commit({"slipway.yml": LOOSE})
    (repository.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(InputError, match=r"slipway\.yml of the base branch cannot be read"):
        load(Path("slipway.yml"), run_of(base))


def test_load__a_base_policy_that_is_no_text_is_an_error(repository: GitRepository) -> None:
    (repository.path / "slipway.yml").write_bytes(b"model: \xff")
    base = repository.commit({})
    repository.commit({"slipway.yml": FULL})
    with pytest.raises(PolicyError, match=r"slipway\.yml of the base branch is not UTF-8"):
        load(Path("slipway.yml"), run_of(base))


def test_load__a_wrong_base_policy_says_whose_it_is(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": changed("margin", "margn")})
    repository.commit({"slipway.yml": FULL})
    with pytest.raises(PolicyError, match=r"slipway\.yml of the base branch is not valid"):
        load(Path("slipway.yml"), run_of(base))


def test_load__a_wrong_policy_of_the_change_is_an_error_too(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    repository.commit({"slipway.yml": changed("margin", "margn")})
    with pytest.raises(PolicyError, match=r"slipway\.yml is not valid"):
        load(Path("slipway.yml"), run_of(base))


SIGNING = "signing: {method: key, public_key: keys/model.pub}\n"


def test_signing__says_whom_to_trust() -> None:
    assert parse(FULL).signing is None
    signing = parse(FULL + SIGNING).signing
    assert signing is not None
    assert (signing.method, signing.public_key, signing.required) == ("key", "keys/model.pub", True)
    assert signing.identity_provider == "https://token.actions.githubusercontent.com"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{method: key}", "`method: key` needs `public_key`"),
        ("{method: key, public_key: ''}", "`method: key` needs `public_key`"),
        ("{method: certificate, public_key: k.pub}", "`method: certificate` needs `certificate_chain`"),
        ("{method: workflow}", "`method: workflow` needs `identity`"),
        ("{method: pgp, public_key: k.pub}", "'key', 'certificate' or 'workflow'"),
        ("{method: key, public_key: k.pub, required: 'no'}", "required"),
        ("{method: key, pubic_key: k.pub}", "did you mean `public_key`?"),
    ],
)
def test_signing__that_nobody_could_satisfy(section: str, said: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse(FULL + f"signing: {section}\n")
    assert said in str(refused.value)


def test_trusted_file__is_the_base_branchs_in_a_pull_request(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL + SIGNING, "keys/model.pub": "base"})
    repository.commit({"slipway.yml": FULL, "keys/model.pub": "change"})
    here = load(Path("slipway.yml"), Run())
    assert here.policy.signing is None
    assert here.trusted_file("keys/model.pub") == "change"
    judged = load(Path("slipway.yml"), Run(event=pull_request(base=base)))
    assert judged.policy.signing is not None, "a change cannot do away with the demand for a signature"
    assert judged.trusted_file("keys/model.pub") == "base"
    assert judged.remarks


def test_trusted_file__is_never_one_that_the_change_brings(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL + SIGNING})
    repository.commit({"keys/model.pub": "change"})
    judged = load(Path("slipway.yml"), Run(event=pull_request(base=base)))
    with pytest.raises(PolicyError, match=r"The base branch has no keys/model\.pub"):
        judged.trusted_file("keys/model.pub")
    with pytest.raises(PolicyError, match=r"There is no file at keys/none\.pub"):
        load(Path("slipway.yml"), Run()).trusted_file("keys/none.pub")


def test_load__gates_from_head_counts_where_the_base_says_it(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": changed("gates_from: base", "gates_from: head")})
    repository.commit({"slipway.yml": LOOSE})
    sourced = load(Path("slipway.yml"), run_of(base))
    assert (margin(sourced), sourced.gates_commit) == (0.5, "")


def test_load__gates_from_head_does_not_count_where_only_the_change_says_it(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    repository.commit({"slipway.yml": LOOSE.replace("gates_from: base", "gates_from: head")})
    sourced = load(Path("slipway.yml"), run_of(base))
    assert (margin(sourced), sourced.gates_commit) == (0.005, base)
    assert sourced.remarks


@pytest.mark.parametrize("spelling", ["models/a/slipway.yml", "./models/a/slipway.yml", "models/b/../a/slipway.yml"])
def test_load__a_policy_in_a_folder(repository: GitRepository, spelling: str) -> None:
    base = repository.commit({"models/a/slipway.yml": FULL, "models/b/x": ""})
    repository.commit({"models/a/slipway.yml": LOOSE})
    assert margin(load(Path(spelling), run_of(base))) == 0.005


def test_load__an_absolute_path_is_judged_by_the_base_too(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    repository.commit({"slipway.yml": LOOSE})
    assert margin(load(repository.path / "slipway.yml", run_of(base))) == 0.005


def test_load__from_a_folder_of_the_repository(repository: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    base = repository.commit({"models/a b/slipway.yml": FULL, "models/a b/schema.yml": SCHEMA})
    repository.commit({"models/a b/slipway.yml": LOOSE, "models/a b/schema.yml": "columns: {}\n"})
    monkeypatch.chdir(repository.path / "models" / "a b")
    sourced = load(Path("slipway.yml"), run_of(base))
    assert margin(sourced) == 0.005
    assert sourced.gate_file("schema.yml") == SCHEMA


def test_load__a_path_outside_of_the_repository_is_refused(repository: GitRepository, tmp_path: Path) -> None:
    base = repository.commit({"slipway.yml": FULL})
    (tmp_path / "elsewhere.yml").write_text(FULL, encoding="utf-8")
    with pytest.raises(InputError, match="is not inside of the repository"):
        load(Path("../elsewhere.yml"), run_of(base))


def test_load__a_link_to_another_policy_changes_no_gate(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    (repository.path / "slipway.yml").unlink()
    (repository.path / "slipway.yml").symlink_to("loose.yml")
    repository.commit({"loose.yml": LOOSE})
    assert margin(load(Path("slipway.yml"), run_of(base))) == 0.005


def test_load__a_missing_policy_says_where_to_start(repository: GitRepository) -> None:
    with pytest.raises(PolicyError, match=r"There is no policy at slipway\.yml") as caught:
        load(Path("slipway.yml"), Run())
    assert "examples/flights/slipway.yml" in caught.value.fix


def test_load__a_folder_is_no_policy(repository: GitRepository) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load(Path(), Run())


def test_gate_file__is_the_bases_copy(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL, "schema.yml": SCHEMA})
    repository.commit({"schema.yml": "columns: {}\n"})
    sourced = load(Path("slipway.yml"), run_of(base))
    assert sourced.gate_file("schema.yml") == SCHEMA
    assert sourced.remark_on("schema.yml").startswith("This pull request changes `schema.yml`; the base branch's copy")


def test_gate_file__a_deleted_schema_still_judges(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL, "schema.yml": SCHEMA})
    (repository.path / "schema.yml").unlink()
    repository.commit({})
    assert load(Path("slipway.yml"), run_of(base)).gate_file("schema.yml") == SCHEMA


def test_gate_file__is_unchanged_where_only_line_ends_differ(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL, "schema.yml": SCHEMA})
    repository.commit({"schema.yml": SCHEMA.replace("\n", "\r\n")})
    assert load(Path("slipway.yml"), run_of(base)).remark_on("schema.yml") == ""


def test_gate_file__what_the_base_lacks_is_the_work_trees(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    repository.commit({"schema.yml": SCHEMA})
    sourced = load(Path("slipway.yml"), run_of(base))
    assert sourced.gate_file("schema.yml") == SCHEMA
    assert sourced.remark_on("schema.yml") == "`schema.yml` is new in this pull request: its own copy judged the data."


def test_gate_file__outside_of_a_pull_request_is_the_work_trees(repository: GitRepository) -> None:
    repository.commit({"slipway.yml": FULL, "schema.yml": SCHEMA})
    sourced = load(Path("slipway.yml"), Run())
    (repository.path / "schema.yml").write_text("columns: {}\n", encoding="utf-8")
    assert sourced.gate_file("schema.yml") == "columns: {}\n"
    assert sourced.remark_on("schema.yml") == ""


def test_gate_file__that_is_nowhere_is_named(repository: GitRepository) -> None:
    base = repository.commit({"slipway.yml": FULL})
    with pytest.raises(PolicyError, match=r"There is no schema at schema\.yml"):
        load(Path("slipway.yml"), run_of(base)).gate_file("schema.yml")


def test_file_digest__is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert file_digest(tmp_path / "file") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# The JSON Schema for editors.


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((write_schema.DOCS / "slipway.schema.json").read_text(encoding="utf-8"))
    return found


def test_schema__is_in_sync_with_the_types() -> None:
    write_schema.main(write_schema.Inputs(check=True))


def test_schema__that_is_out_of_sync_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_schema, "DOCS", tmp_path)
    with pytest.raises(GateError):
        write_schema.main(write_schema.Inputs(check=True))
    write_schema.main(write_schema.Inputs())
    assert (tmp_path / "slipway.schema.json").read_bytes() == (ROOT / "docs" / "slipway.schema.json").read_bytes()
    write_schema.main(write_schema.Inputs(check=True))


def test_schema__counts_no_classes_of_all_languages() -> None:
    r"""`\w{0,200}` is compiled to 200 times every letter there is: a seventh of a second whenever a stage starts."""
    patterns = re.findall(r'"pattern": (".*")', (write_schema.DOCS / "slipway.schema.json").read_text(encoding="utf-8"))
    assert len(patterns) > 20
    counted = re.compile(r"\\[wdsWDS][^\[\]]*\][{]\d|\\[wdsWDS][{]\d")
    assert [each for each in patterns if counted.search(json.loads(each))] == []
    assert counted.search(r"^[A-Za-z0-9][\w.-]{0,95}$")
    assert counted.search(r"\d{1,5}")


def test_schema__is_a_schema_that_describes_every_key() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    for kind in (schema(), *schema()["$defs"].values()):
        assert kind["additionalProperties"] is False
        assert [key for key, said in kind["properties"].items() if not said.get("description")] == []


def test_schema__accepts_what_the_types_accept() -> None:
    jsonschema.validate(yaml.safe_load(changed("1e-3", "0.001")), schema())
    jsonschema.validate({"version": 1, "model": "m"}, schema())


def of_task(task: str, **more: Any) -> str:
    metric = {"ranking": "ndcg", "regression": "r2", "forecasting": "r2"}.get(task, "accuracy")
    said = {"task": task, "holdout": "h", "target": "y", "metrics": {metric: {}}, **more}
    return yaml.safe_dump({"version": 1, "model": "m", "data": {"h": {"path": "h"}}, "evaluation": said})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (of_task("binary", query="q"), "`query` belongs to ranking tasks, and the task is binary"),
        (of_task("ranking", query="q", time="t"), "`time` belongs to forecasting tasks, and the task is ranking"),
        (of_task("regression", season=7), "`season` belongs to forecasting tasks, and the task is regression"),
        (of_task("regression", positive=True), "`positive` belongs to binary tasks"),
        (of_task("multiclass", threshold=0.5), "`threshold` belongs to binary and multilabel tasks"),
        (of_task("ranking"), "`task: ranking` needs `query`"),
        (of_task("forecasting"), "`task: forecasting` needs `time`"),
        (of_task("forecasting", time="t", season=0), "must be at least 1, and is 0"),
        (of_task("binary", target=["a", "b"]), "`target` is a list of columns only in multilabel tasks"),
        (of_task("multilabel", target=["a", "a"]), "`target` names a column twice"),
        (of_task("multilabel", target=["a"]), "a list of at least 2 entries"),
        (of_task("binary", metrics={"expected_cost": {}}), "the metric `expected_cost` needs `costs`"),
        (of_task("binary", costs={"false_positive": 1, "false_negative": 9}), "`costs` count only in the metric"),
        (
            of_task("binary", metrics={"expected_cost": {}}, costs={"false_positive": 1}),
            "`evaluation.costs.false_negative` is required",
        ),
        (
            of_task("multilabel", costs={"false_positive": 1, "false_negative": 9}),
            "`costs` belongs to binary tasks, and the task is multilabel",
        ),
    ],
)
def test_read__keys_belong_to_their_task(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as raised:
        read_text(text, Policy, file="slipway.yml")
    assert message in f"{raised.value.what} {raised.value.why}"


def test_read__columns_of_a_task() -> None:
    def read(task: str, **more: Any) -> Evaluation:
        found = read_text(of_task(task, **more), Policy, file="slipway.yml").evaluation
        assert found is not None
        return found

    ranked = read("ranking", query="q")
    assert (ranked.targets, ranked.keys, ranked.cluster_column) == (("y",), ("q",), "q")
    assert read("ranking", query="q", cluster="user").cluster_column == "user"
    forecast = read("forecasting", time="day", series="shop")
    assert (forecast.keys, forecast.cluster_column) == (("shop", "day"), "day")
    labels = read("multilabel", target=["a", "b"])
    assert (labels.targets, labels.keys, labels.cluster_column) == (("a", "b"), (), None)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("evaluation", "min-rows", 3),
        ("evaluation.metrics.roc_auc", "margn", 0.1),
        ("evaluation.metrics.roc_auc", "margin", -1),
        ("evaluation.metrics.roc_auc", "margin", True),
        ("evaluation", "confidence", 1),
        ("evaluation", "metrics", {}),
        ("evaluation", "task", "clustering"),
        ("training", "command", []),
        ("training", "timeout_minutes", 0),
        ("data.train", "schema_", "x"),
    ],
)
def test_schema__refuses_what_the_types_refuse(section: str, key: str, value: Any) -> None:
    text = with_value(section, key, value)
    refusal(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema())


def test_load__works_where_git_finds_no_identity(repository: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    # A container's user has no home; reading must not need one.
    base = repository.commit({"slipway.yml": FULL})
    monkeypatch.delenv("HOME", raising=False)
    assert shutil.which("git")
    assert margin(load(Path("slipway.yml"), run_of(base))) == 0.005


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({"metrics": {"politeness": {}}}, "`metrics.politeness` is no scorer"),
        ({"metrics": {"exact_match": {}}}, "compares with a reference, and `target` is missing"),
        ({"metrics": {"regex": {}}}, "needs its `pattern`"),
        ({"scorers": {"a": {"use": "regex"}}, "metrics": {"a": {}}}, "`use: regex` needs `pattern`"),
        ({"scorers": {"a": {"use": "regex", "pattern": "("}}, "metrics": {"a": {}}}, "no regular expression"),
        ({"scorers": {"a": {"use": "grade"}}, "metrics": {"a": {}}}, "`grade` is no scorer: take one of exact_match"),
        ({"scorers": {"a": {"use": "x.y:z"}}, "metrics": {"a": {}}}, "is no scorer"),
        ({"scorers": {"a": {"use": "leak"}}, "metrics": {"refusal": {}}}, "would never be looked at"),
        ({"scorers": {"a": {"use": "leak", "greater_is_better": True}}, "metrics": {"a": {}}}, "direction of `leak`"),
        ({"scorers": {"a": {"use": "json_valid", "pattern": "x"}}, "metrics": {"a": {}}}, "takes no `pattern`"),
        ({"task": "binary", "metrics": {"accuracy": {}}}, "`target` is missing"),
        (
            {"task": "binary", "target": "y", "scorers": {"a": {"use": "leak"}}, "metrics": {"accuracy": {}}},
            "`scorers` are for `task: text`",
        ),
    ],
)
def test_evaluation__a_text_task_that_cannot_be_meant(evaluation: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Evaluation.model_validate({"task": "text", "holdout": "h", **evaluation})


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("{}", "`retraining.workflow` is required"),
        ("{workflow: ../retrain.yml}", "retraining.workflow"),
        ("{workflow: .github/workflows/retrain.yml}", "retraining.workflow"),
        ("{workflow: retrain.yml, per_day: 0}", "retraining.per_day"),
        ("{workflow: retrain.yml, per_day: true}", "must be a number, not true or false"),
        ("{workflow: retrain.yml, cooldown: 24}", "did you mean `cooldown_hours`?"),
        ("{workflow: retrain.yml, causes: []}", "retraining.causes"),
        ("{workflow: retrain.yml, causes: [weather]}", "retraining.causes"),
        ("{workflow: retrain.yml, event_type: a b}", "retraining.event_type"),
        ("{workflow: retrain.yml, persistence: {drifted: 3, windows: 2}}", "can never be met by `windows: 2`"),
        ("{workflow: retrain.yml, back_off: {factor: 0.5}}", "retraining.back_off.factor"),
    ],
)
def test_retraining__refuses(said: str, problem: str) -> None:
    assert problem in str(refusal(f"version: 1\nmodel: flights\nretraining: {said}\n"))


# Canaries.


def test_canary__has_a_default_for_everything() -> None:
    canary = parse("version: 1\nmodel: flights\ncanary: {}\n").canary
    assert canary is not None
    assert [(stage.share, stage.prove) for stage in canary.stages] == [
        (0.01, False),
        (0.05, False),
        (0.25, True),
        (0.5, True),
    ]
    assert [*canary.metrics.rules] == ["errors"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("{stages: []}", "canary.stages"),
        ("{stages: [{share: 0.5}, {share: 0.5}]}", "the shares of the stages must rise"),
        ("{stages: [{share: 50}]}", "share"),
        ("{stages: [{share: 0.5, requests: 0}]}", "requests"),
        ("{stages: [{share: 0.5, minutes: 0}]}", "minutes"),
        ("{alpha: 0}", "canary.alpha"),
        ("{alpha: yes}", "canary.alpha"),
        ("{metrics: {errors: null}}", "at least one metric needs a `margin`"),
        ("{metrics: {errors: {margin: null}}}", "at least one metric needs a `margin`"),
        ("{metrics: {errors: {margin: 1.2, harm: 2}}}", "`harm: 2` is above `margin: 1.2`"),
        ("{metrics: {errors: {margin: 1}}}", "canary.metrics.errors.margin"),
        ("{metrics: {latency: {margin: 0.01, harm: 0.05}}}", "`harm: 0.05` is above `margin: 0.01`"),
        ("{metrics: {throughput: {}}}", "throughput"),
        ("{observations: {}}", "needs exactly one of"),
        ("{observations: {file: a, command: b}}", "needs exactly one of"),
        ("{observations: {file: a, target: production}}", "needs exactly one of"),
        ("{observations: {target: production}}", "names the environment `production`, which `deployment` does not"),
        ("{observations: {prometheus: {url: 'http://me:secret@host', queries: {requests: '$version'}}}}", "url"),
        ("{observations: {prometheus: {url: 'http://host', queries: {requests: up}}}}", "`$version` must stand"),
        (
            "{observations: {prometheus: {url: 'http://host', "
            "queries: {requests: 'a$version[$window]', errors: 'b$version'}}}}",
            "`$window` must stand in all of the queries or in none",
        ),
    ],
)
def test_canary__refuses(said: str, problem: str) -> None:
    assert problem in str(refusal(f"version: 1\nmodel: flights\ncanary: {said}\n"))


ONE = "{target: {local: {folder: /a, port: 8100}}}"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("{}", "environments"),
        ("{production: {target: {}}}", "needs exactly one of"),
        (
            "{production: {target: {local: {folder: /a, port: 8100}, container: {folder: /b, port: 8101}}}}",
            "exactly one",
        ),
        ("{production: {target: {local: {folder: /a, port: 80}}}}", "local.port"),
        ("{production: {target: {container: {folder: /a, port: 8100, engine: runc}}}}", "container.engine"),
        ("{production: {target: {local: {folder: '', port: 8100}}}}", "local.folder"),
        (f"{{candidate: {ONE}}}", "`candidate` cannot be an environment's name"),
        (
            f"{{dev: {ONE}, production: {{target: {{container: {{folder: /b, port: 8100}}}}}}}}",
            "is that of `dev`, too: each environment needs its own",
        ),
        (f"{{dev: {ONE}, production: {{target: {{local: {{folder: /a, port: 8101}}}}}}}}", "is that of `dev`, too"),
        (f"{{dev: {ONE}, production: {{target: {{local: {{folder: /a/./, port: 8101}}}}}}}}", "is that of `dev`, too"),
        *(
            (f"{{dev: {{target: {each}}}, production: {{target: {each}}}}}", "is that of `dev`, too")
            for each in (
                "{kserve: {namespace: models, service: flights}}",
                "{vertex: {project: octo-models, location: europe-west4, endpoint: '1'}}",
                "{huggingface: {repository: octo/flights}}",
                "{mlflow: {uri: 'sagemaker:/eu-west-1', name: flights, requirements: lock.txt}}",
            )
        ),
        (
            "{staging: {target: {vertex: "
            "{project: octo-models, location: europe-west4, endpoint: '1', trial_endpoint: '2'}}},"
            " production: {target: {vertex: {project: octo-models, location: europe-west4, endpoint: '2'}}}}",
            "is where `production` serves: a trial takes away what is there",
        ),
    ],
)
def test_deployment__refuses(said: str, problem: str) -> None:
    assert problem in str(refusal(f"version: 1\nmodel: flights\ndeployment: {{environments: {said}}}\n"))


def test_deployment__names_the_line_of_a_port_that_is_given_twice() -> None:
    text = "version: 1\nmodel: flights\ndeployment:\n  environments:\n"
    for name, folder in (("dev", "/a"), ("production", "/b")):
        text += f"    {name}:\n      target:\n        local:\n          folder: {folder}\n          port: 8100\n"
    assert refusal(text).line == text.count("\n")
