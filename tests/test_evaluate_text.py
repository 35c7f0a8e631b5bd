"""Language models and prompts: texts are scored row by row, and a prompt is a version like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from pydantic import ValidationError

from conftest import pull_request
from slipway.policy.evaluation import Evaluation
from slipway.registry.mlflow import CANDIDATE, PRODUCTION
from test_training_toy import MODEL, QUIET, Done, Toy, make_toy

pytestmark = QUIET

RESPONDER = '''
"""Stands for a language model that answers by its prompt: deterministic, and without a network."""
import json
from pathlib import Path


def _load_pyfunc(path):
    return Responder(json.loads((Path(path) / "weights.json").read_text())["weights"]["prompt"])


class Responder:
    def __init__(self, prompt):
        self.prompt = prompt

    def predict(self, frame, params=None):
        if self.prompt == "answer nothing":
            return [None for _ in frame["question"]]
        return [self.answer(question) for question in frame["question"]]

    def answer(self, question):
        first, second = map(int, question.split(" plus "))
        if "refuse" in self.prompt and first % 2:
            return "I am sorry, I cannot help with that."
        said = str(first + second)
        return json.dumps({"answer": said}) if "JSON" in self.prompt else said
'''

SCORERS = """
def close(rows):
    return [1.0 if row["reference"] in row["output"] else 0.0 for row in rows]
"""


@pytest.fixture
def toy(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Toy:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    made = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    questions = [(first, second) for first in range(20) for second in range(20)]
    rows = {"question": [f"{a} plus {b}" for a, b in questions], "answer": [str(a + b) for a, b in questions]}
    pl.DataFrame(rows).write_parquet(made.folder / "data" / "holdout.parquet")
    made.write("scorers.py", SCORERS)
    return made


def prompt(toy: Toy, text: str, alias: str) -> str:
    made = toy.version({"prompt": text}, model_code=RESPONDER, columns=(), alias=alias)
    return made.version


def judged(toy: Toy, **evaluation: object) -> Done:
    """Judge by a policy whose evaluation has these keys besides the usual ones."""
    said = yaml.safe_load((toy.folder / "slipway.yml").read_text(encoding="utf-8"))
    said["evaluation"] = {"task": "text", "holdout": "holdout", "target": "answer", **evaluation}
    toy.write("slipway.yml", yaml.safe_dump(said, sort_keys=False))
    toy.commit("Change the policy")
    return toy.evaluate()


def test_text__a_prompt_that_refuses_more_fails(toy: Toy) -> None:
    prompt(toy, "Answer.", PRODUCTION)
    prompt(toy, "Answer, or refuse.", CANDIDATE)
    done = judged(
        toy,
        scorers={"close": {"use": "scorers:close"}},
        metrics={"exact_match": {"margin": 0.02}, "refusal": {"max": 0.05}, "close": {}, "json_valid": {}},
    )
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    checks = {check["name"]: check for check in done.report["checks"]}
    assert checks["exact_match: not worse by 0.02"]["verdict"] == "fail"
    assert checks["exact_match: not worse by 0.02"]["values"]["value"] == pytest.approx(-0.5)
    assert checks["refusal: at most 0.05"]["values"]["candidate"] == pytest.approx(0.5)
    rows = {row[0].split("\u00a0")[0]: row for row in done.report["tables"][0]["rows"]}
    assert [float(rows["close"][place]) for place in (1, 2)] == [1.0, 0.5]
    assert rows["refusal"][0].endswith("↓") and rows["exact_match"][0].endswith("↑")
    assert MODEL in done.report["model"]


def test_text__a_prompt_that_answers_in_json_is_better_by_its_own_scorer(toy: Toy) -> None:
    prompt(toy, "Answer.", PRODUCTION)
    prompt(toy, "Answer in JSON.", CANDIDATE)
    done = judged(
        toy,
        scorers={"close": {"use": "scorers:close"}, "object": {"use": "regex", "pattern": r'^\{"answer"'}},
        metrics={"close": {"margin": 0.02}, "object": {"better_by": 0}, "leak": {"max": 0.05}},
    )
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log


def test_text__the_base_branchs_scorer_judges(toy: Toy) -> None:
    prompt(toy, "Answer.", PRODUCTION)
    prompt(toy, "Answer, or refuse.", CANDIDATE)
    rules = {"scorers": {"close": {"use": "scorers:close"}}, "metrics": {"close": {"margin": 0.02}}}
    assert judged(toy, **rules).outputs["verdict"] == "fail"
    base = toy.git("rev-parse", "HEAD").strip()
    toy.write("scorers.py", "def close(rows):\n    return [1.0 for _ in rows]\n")
    toy.event = pull_request(base=base, head=toy.commit("Loosen the scorer"))
    assert toy.evaluate().outputs["verdict"] == "fail"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def close(rows):\n    return [1.0]\n", "it gave 1 scores for 400 rows"),
        ("def close(rows):\n    return [float('nan') for _ in rows]\n", "a score that is no finite number"),
        ("def close(rows):\n    raise KeyError('outptu')\n", "it raised KeyError: 'outptu'"),
        ("import nowhere\n", "No module named 'nowhere'"),
        ("def near(rows):\n    return []\n", "has no attribute 'close'"),
    ],
)
def test_text__a_scorer_at_fault(toy: Toy, code: str, said: str) -> None:
    prompt(toy, "Answer.", CANDIDATE)
    toy.write("scorers.py", code)
    done = judged(toy, scorers={"close": {"use": "scorers:close"}}, metrics={"close": {"min": 0.5}})
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive")
    assert said in done.error


def test_text__what_cannot_be_judged(toy: Toy) -> None:
    prompt(toy, "answer nothing", CANDIDATE)
    done = judged(toy, metrics={"exact_match": {"min": 0.5}})
    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    assert "must answer every row with a text" in done.error
    done = judged(toy, target="question2", metrics={"exact_match": {"min": 0.5}})
    assert "has no column `question2`" in done.error


def test_text__without_a_reference(toy: Toy) -> None:
    prompt(toy, "Answer in JSON.", CANDIDATE)
    done = judged(toy, target="", metrics={"json_valid": {"min": 0.9}, "leak": {"max": 0.05}})
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert json.dumps(done.report)


@pytest.mark.parametrize(
    "section",
    [
        {"slices": {"columns": ["lang"], "metrics": {"bleu": {"margin": 0.1}}}},
        {"fairness": {"groups": ["lang"], "metrics": {"bleu": {"max_gap": 0.1}}}},
    ],
)
def test_policy__slices_and_fairness_of_texts_name_metrics_that_are_scored(section: dict[str, Any]) -> None:
    """Else it would be found out after the models have answered, by a traceback."""
    said = {"task": "text", "holdout": "h", "metrics": {"refusal": {"max": 0.1}}, **section}
    with pytest.raises(ValidationError, match=r"metrics\.bleu` is not among the `metrics` of the evaluation"):
        Evaluation.model_validate(said)
    Evaluation.model_validate(json.loads(json.dumps(said).replace("bleu", "refusal")))
