"""What a team's scorer can reach, and what is made of what it leaves: tried by scorers that try."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway import datasets
from slipway.evaluation.outcomes import Floats
from slipway.policy.evaluation import Evaluation
from slipway.policy.model import Policy
from slipway.policy.rules import MetricRule
from slipway.policy.source import SourcedPolicy
from slipway.prediction import isolation, scored
from slipway.prediction.holdout import Holdout
from slipway.prediction.process import Predictions
from slipway.prediction.scored import text_outcomes
from slipway.runner import environments
from slipway.runner.errors import GateError, InputError, PolicyError, RemoteError
from test_prediction_isolation import AVAILABLE, variants
from test_training_toy import git

ROWS = 10


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a file that is none of a scorer's business."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret")
    monkeypatch.chdir(folder)
    return folder


def scores(tmp_path: Path, code: str, *, metrics: tuple[str, ...] = ("own",), **keys: Any) -> dict[str, Floats]:
    """Scores by metric of a model that answers `answer 0`, `answer 1`, …, by functions of this module."""
    Path("mine.py").write_text(code)
    whole: dict[str, Any] = {
        "version": 1,
        "model": "toy",
        "data": {"holdout": {"path": "holdout.parquet"}},
        "evaluation": {
            "task": "text",
            "holdout": "holdout",
            "target": "reference text",
            "scorers": {name: {"use": f"mine:{name}"} for name in metrics},
            "metrics": {name: {} for name in (*metrics, "exact_match")},
            **keys,
        },
    }
    evaluation = Evaluation.model_validate(whole["evaluation"])
    policy = SourcedPolicy(Policy.model_validate(whole), Path("slipway.yml"))
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    features = scratch / "features.parquet"
    pl.DataFrame({"question": [f"question {row}" for row in range(ROWS)]}).write_parquet(features)
    texts = pl.Series("reference text", [f"answer {row % 2}" for row in range(ROWS)])
    version = datasets.DatasetVersion(path="holdout.parquet", kind="file", id="0", immutable=True)
    empty = pl.DataFrame()
    holdout = Holdout("holdout", features, texts, None, version, empty, empty)
    said = Predictions(pl.DataFrame({"prediction": [f"answer {row}" for row in range(ROWS)]}), None)
    judged = text_outcomes(policy, evaluation, holdout, {"The candidate": said}, scratch)
    return dict(judged["The candidate"].scores)


def outputs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "scratch").glob("scorers-*/scores-*-*[0-9]"))


def test_scorers__see_question_output_and_reference_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    original = pl.read_parquet

    def counted(file: Path) -> pl.DataFrame:
        read.append(file)
        return original(file)

    monkeypatch.setattr(pl, "read_parquet", counted)
    code = """
def own(rows):
    assert list(rows[0]) == ["question", "reference", "output"], list(rows[0])
    return [len(row["question"]) + (row["output"] == row["reference"]) for row in rows]

def other(rows):
    return (int(row["output"][-1]) for row in rows)
"""
    found = scores(tmp_path, code, metrics=("own", "other"))
    assert found["own"].tolist() == [11, 11, *[10] * 8]
    assert found["other"].tolist() == list(range(10))
    assert found["exact_match"].tolist() == [1, 1, *[0] * 8]
    assert len(read) == 1
    usage = [each.with_name(f"{each.name}-usage.json") for each in outputs(tmp_path)]
    assert len(usage) == 2
    assert all(json.loads(file.read_text())["peak_bytes"] > 1_000_000 for file in usage)


@pytest.mark.parametrize("confined", variants())
def test_scorers__no_file_but_their_own_no_network_and_no_secret(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, confined: isolation.Confinement
) -> None:
    monkeypatch.setattr(scored, "confinement", lambda _: confined)
    for name in ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        code = f"""
import json, os, socket
def value(code):
    try:
        return eval(code)
    except Exception as error:
        return f"{{type(error).__name__}} {{getattr(error, 'errno', '')}}"
def own(rows):
    said = {{name: value(code) for name, code in {{
        "secret": "open({str(repository / "secret.txt")!r}).read()",
        "truth": "open({str(tmp_path / "scratch" / "features.parquet")!r}, 'rb').read(4)",
        "module": "open(__file__, 'a')",
        "planted": "open({str(tmp_path / "planted")!r}, 'w')",
        "socket": "socket.create_connection(('127.0.0.1', {port}), 5)",
        "parent": "open('/proc/{os.getpid()}/environ').read()",
        "environ": "dict(os.environ)",
    }}.items()}}
    open("said.json", "w").write(json.dumps(said, default=str))
    return [0] * len(rows)
"""
        scores(tmp_path, code)
    (output,) = outputs(tmp_path)
    said = json.loads((output / "said.json").read_text())
    assert "a secret" not in json.dumps(said["environ"])
    assert said["environ"]["HOME"] == str(output.resolve() / "home")
    if confined.files:
        refused = {name: said[name] for name in ("secret", "truth", "module", "planted")}
        assert set(refused.values()) == {"PermissionError 13"}, refused
        assert said["parent"] in ("PermissionError 13", "FileNotFoundError 2")
    if confined.network:
        assert said["socket"] in ("PermissionError 13", "ConnectionRefusedError 111")


@pytest.mark.parametrize("confined", variants())
def test_scorers__what_they_started_ends_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, confined: isolation.Confinement
) -> None:
    monkeypatch.setattr(scored, "confinement", lambda _: confined)
    code = """
import os, time
def own(rows):
    if os.fork() == 0:
        try:
            os.setsid()
        except PermissionError:
            pass
        while True:
            open("alive.txt", "a").write(".")
            time.sleep(0.01)
    while not os.path.exists("alive.txt"):
        time.sleep(0.01)
    return [0] * len(rows)
"""
    scores(tmp_path, code)
    (output,) = outputs(tmp_path)
    size = (output / "alive.txt").stat().st_size
    time.sleep(0.2)
    assert (output / "alive.txt").stat().st_size == size or not confined.network


def test_scorers__one_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored, "SECONDS", 3.0)
    with pytest.raises(InputError, match=r"The scorer `own` \(mine:own\) took longer than 0.05 minutes"):
        scores(tmp_path, "import time\ndef own(rows):\n    time.sleep(600)\n")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [1.0]", "it gave 1 scores for 10 rows"),
        ("return [0.5] * 11", "it gave 11 scores for 10 rows"),
        ("return [float('nan')] * 10", "a score that is no finite number"),
        ("return [float('-inf')] * 10", "a score that is no finite number"),
        ("return ['0.5'] * 10", "TypeError: a score is of the type str, which is no number"),
        ("return [b'1'] * 10", "TypeError: a score is of the type bytes"),
        ("return '0123456789'", "TypeError: a score is of the type str"),
        ("return [None] * 10", "TypeError"),
        ("return [[1.0]] * 10", "TypeError"),
        ("return [10 ** 400] * 10", "OverflowError"),
        ("return None", "TypeError"),
        ("sys.exit(0)", "it raised SystemExit: 0"),
        ("os._exit(3)", "it does not say how"),
        ("sys.stderr.write('noise'); raise ValueError('first\\nsecond')", "it raised ValueError: first second"),
        ("os.remove(__file__)", "PermissionError"),
        ("open('big', 'wb').truncate(9 * 2**30)", "OSError: .*File too large"),
    ],
)
def test_scorers__one_that_is_at_fault(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(InputError, match=r"The scorer `own` \(mine:own\) is at fault: .*" + said):
        scores(tmp_path, f"import os, sys\ndef own(rows):\n    {body}\n")


@pytest.mark.parametrize(
    ("body", "said"),
    [("os.kill(os.getpid(), 9)", "was ended by signal 9"), ("os._exit(7)", "broke")],
)
def test_scorers__one_whose_process_breaks(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(RemoteError, match=f"The scorer `own`: its process {said}"):
        scores(tmp_path, f"import os\ndef own(rows):\n    {body}\n")


@pytest.mark.parametrize(
    "body",
    [
        "os._exit(0)",
        "put('{')",
        "put('[' * 300)",
        "put('null')",
        "put('7')",
        "put({'own': [0.5] * 10})",
        "put(['0.5'] * 10)",
        "put([True] * 10)",
        "put([1] * 10)",
        "put([None] * 10)",
        "put([[0.5]] * 10)",
        "put('[' + ', '.join(['NaN'] * 10) + ']')",
        "put('[' + ', '.join(['1e999'] * 10) + ']')",
        "put([0.5] * 9)",
        "put([0.5] * 11)",
        "put('[0.5' + ' ' * 1000 + ']')",
        "open('scores.json', 'w').truncate(5 * 2**30)",
        "os.symlink('/etc/passwd', 'scores.json')",
        "os.mkfifo('scores.json')",
        "os.mkdir('scores.json')",
        "open('scores.json', 'wb').write(b'\\xff')",
    ],
)
def test_scorers__what_they_leave_in_place_of_scores_is_refused(tmp_path: Path, body: str) -> None:
    """The function ends its process itself, past all that the worker checks."""
    code = f"""
import json, os
def put(what):
    open("scores.json", "w").write(what if isinstance(what, str) else json.dumps(what))
def own(rows):
    {body}
    os._exit(0)
"""
    with pytest.raises(InputError, match=r"The scorer `own` \(mine:own\) left "):
        scores(tmp_path, code)


def test_scorers__what_they_print_reaches_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = """
import os, sys
def own(rows):
    for stream in (sys.stdout, sys.stderr):
        stream.write("::error::forged\\n::set-output name=verdict::pass\\n" * 200_000)
    return [0] * len(rows)
"""
    assert scores(tmp_path, code)["own"].tolist() == [0] * ROWS
    captured = capfd.readouterr()
    assert "forged" not in captured.out + captured.err


def test_scorers__a_message_is_short_and_of_one_line(tmp_path: Path) -> None:
    code = "def own(rows):\n    raise ValueError('x' * 1_000_000 + '\\n::error::forged')\n"
    with pytest.raises(InputError) as raised:
        scores(tmp_path, code)
    assert len(raised.value.what) < 2_200
    assert "\n" not in raised.value.what


def test_scorers__one_models_texts_cannot_reach_anothers_scores(tmp_path: Path) -> None:
    """A scorer that runs what a model answers, as one for code would: it finds no other folder of scores."""
    code = """
import os
def own(rows):
    try:
        found = os.listdir("..")
    except PermissionError:
        found = []
    assert not found, found
    return [0] * len(rows)
"""
    if AVAILABLE.files:
        assert scores(tmp_path, code, metrics=("own",))["own"].tolist() == [0] * ROWS


def test_scorers__the_policy_says_what_they_may_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = tmp_path / "words.txt"
    extra.write_text("please")
    code = f"def own(rows):\n    return [len(open({str(extra)!r}).read())] * len(rows)\n"
    assert scores(tmp_path, code, isolation={"readable": [str(extra)]})["own"].tolist() == [6] * ROWS
    monkeypatch.setattr(isolation, "_possible", lambda _: (False, False, False))
    with pytest.raises(GateError, match="cannot take the network"):
        scores(tmp_path, code, isolation={"network": "deny"})


def test_scorers__a_missing_file_is_named(tmp_path: Path, repository: Path) -> None:
    code = "def own(rows):\n    return []\n"
    with pytest.raises(PolicyError, match=r"There is no scorer at absent\.py"):
        scores(tmp_path, code, scorers={"own": {"use": "absent:own"}})


def test_scorers__the_base_branchs_lock_makes_their_environment(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change could name a package in it that scores for the candidate."""
    lock = repository / "scorers.txt"
    lock.write_text("# of the base\n")
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Base")
    commit = git(repository, "rev-parse", "HEAD").strip()
    lock.write_text("evil\n")
    given: list[str] = []

    def for_lock(file: Path) -> Path:
        given.append(file.read_text())
        return Path(sys.executable)

    monkeypatch.setattr(environments, "for_lock", for_lock)
    policy = Policy.model_validate({"version": 1, "model": "toy"})
    folder = tmp_path / "folder"
    folder.mkdir()
    rules = Evaluation(
        task="text", holdout="h", scorer_requirements="scorers.txt", metrics={"json_valid": MetricRule()}
    )
    scored._python(SourcedPolicy(policy, Path("slipway.yml"), gates_commit=commit), rules, folder)
    scored._python(SourcedPolicy(policy, Path("slipway.yml")), rules, folder)
    assert given == ["# of the base\n", "evil\n"]
