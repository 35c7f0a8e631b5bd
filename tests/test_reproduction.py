"""What a rebuild rests on and is compared by: the record, the commit's folder, and the four grades."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import reproduce_model
from conftest import GitRepository
from slipway.audit import facts
from slipway.audit.trail import Trail
from slipway.evaluation.outcomes import Regression
from slipway.evaluation.sampling import Sampling
from slipway.ledger import drafting, place
from slipway.ledger.store import Ledger
from slipway.policy.evaluation import Evaluation, Isolation
from slipway.policy.model import Grade, Policy
from slipway.policy.rules import MetricRule
from slipway.policy.source import SourcedPolicy
from slipway.prediction.isolation import confinement
from slipway.prediction.process import Job, Predictions
from slipway.report import Report, Subject, Verdict
from slipway.reproduction import files, layers, rebuilding, recorded, structure
from slipway.reproduction.matching import Match, Matcher, Step, distance, metric_matches
from slipway.reproduction.rebuilding import Rebuilt
from slipway.reproduction.structure_worker import Description
from slipway.reproduction.worktree import Source
from slipway.runner.context import Run
from slipway.runner.errors import GateError, InputError
from test_evaluate_text import RESPONDER, SCORERS
from test_training_toy import POLICY, QUIET, ROOT, Toy, git, make_toy, models_python, save_toy

pytestmark = [QUIET, pytest.mark.xdist_group("reproduction")]

TEXT = {
    "task": "text",
    "holdout": "holdout",
    "target": "answer",
    "scorers": {"close": {"use": "scorers:close", "greater_is_better": True}},
}
FAIL, OPEN, PASS = Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS


# What is recorded


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, environments_cache: Path) -> Iterator[Toy]:
    """Version 1 can be rebuilt, 2 was trained from a dirty tree, 3 without a lock, 4 not by Slipway."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("trained")
        patch.chdir(folder)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")
        toy = make_toy(folder, tmp_path_factory.getbasetemp(), environments_cache)
        toy.write("requirements.txt", "# nothing\n")
        toy.policy(training={"requirements": "requirements.txt"})
        assert toy.train().code == 0
        toy.write("left-over.txt", "not committed")
        assert toy.train(allow_dirty_tree="true").code == 0
        (toy.folder / "left-over.txt").unlink()
        toy.policy()
        assert toy.train().code == 0
        assert toy.version({"x1": 1.0}, lock="").version == "4"
        yield toy


def read(toy: Toy, version: str, scratch: Path) -> recorded.Recorded:
    registry = toy.registry()
    return recorded.read(registry, registry.by_version("toy", version), scratch)


def test_recorded__is_what_training_left(trained: Toy, tmp_path: Path) -> None:
    found = read(trained, "1", tmp_path)
    assert found.made.command == ["python", "train.py"]
    assert (found.model / "weights.json").is_file()
    assert found.digest.startswith("sha256:")


@pytest.mark.parametrize(
    ("version", "what"),
    [
        ("2", "was trained from a work tree with uncommitted changes"),
        ("3", "has no environment lock"),
        ("4", "has no provenance"),
    ],
)
def test_recorded__that_cannot_be_rebuilt(trained: Toy, tmp_path: Path, version: str, what: str) -> None:
    with pytest.raises(GateError, match=what) as refused:
        read(trained, version, tmp_path)
    assert refused.value.why and refused.value.fix


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("slipway/provenance.json", "The provenance.json of version 1 is not the one"),
        ("slipway/provenance.intoto.json", "The provenance statement of version 1 is not the one"),
        ("weights.json", "The files of version 1 are not those that were registered"),
    ],
)
def test_recorded__that_was_altered(trained: Toy, tmp_path: Path, name: str, what: str) -> None:
    version = trained.registry().by_version("toy", "1")
    (file,) = [
        each
        for each in (trained.folder / "mlruns").rglob(Path(name).name)
        if each.as_posix().endswith(name) and (version.run_id in each.parts or version.source.endswith(each.parts[-3]))
    ]
    kept = file.read_bytes()
    file.write_bytes(kept + b"\n")
    try:
        with pytest.raises(GateError, match=what) as refused:
            read(trained, "1", tmp_path)
        assert "Do not trust the version" in refused.value.fix
    finally:
        file.write_bytes(kept)


# The commit


@pytest.fixture
def project(repository: GitRepository, monkeypatch: pytest.MonkeyPatch) -> GitRepository:
    """A repository in whose subfolder somebody works."""
    (repository.path / "models").mkdir()
    repository.commit({"models/train.py": "first", ".dvc/config": "[core]\n", "models/.gitignore": "/left\n"})
    monkeypatch.chdir(repository.path / "models")
    return repository


def test_checkout__of_an_older_commit_from_a_subfolder(project: GitRepository, tmp_path: Path) -> None:
    older = project.git("rev-parse", "HEAD")
    project.commit({"models/train.py": "second"})
    (project.path / ".dvc" / "config.local").write_text("[core]\n")
    folder = Source.around(place.find(Run())).check_out(older, tmp_path / "tree")
    assert folder == tmp_path / "tree" / "models"
    assert (folder / "train.py").read_text() == "first"
    assert (tmp_path / "tree" / ".dvc" / "config.local").is_file(), "where DVC keeps credentials"
    assert git(folder, "rev-parse", "HEAD").strip() == older
    assert git(folder, "status", "--porcelain", "--", ".") == ""
    assert project.git("worktree", "list").count("\n") == 0


def test_checkout__without_the_folder(project: GitRepository, tmp_path: Path) -> None:
    commit = project.git("rev-parse", "HEAD")
    (project.path / "others").mkdir()
    os.chdir(project.path / "others")
    with pytest.raises(InputError, match="has no folder others"):
        Source.around(place.find(Run())).check_out(commit, tmp_path / "tree")


def test_checkout__brings_submodules(project: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text('[protocol "file"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    inner = GitRepository(tmp_path / "inner")
    inner.path.mkdir()
    inner.git("init", "--quiet", "--initial-branch=main")
    inner.commit({"library.py": "inner"})
    allowed = ("-c", "protocol.file.allow=always")
    project.git(*allowed, "submodule", "--quiet", "add", inner.path.as_uri(), "lib")
    commit = project.commit({})
    Source.around(place.find(Run())).check_out(commit, tmp_path / "tree")
    assert (tmp_path / "tree" / "lib" / "library.py").read_text() == "inner"


def test_source__outside_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no clone"):
        Source.around(place.Place("https://example.invalid/octo/models", tmp_path))


# The Python


def test_python__the_recorded_one_before_another_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ".".join(map(str, sys.version_info[:3]))
    minor = here.rpartition(".")[0]
    assert rebuilding.find_python(here) == sys.executable
    other = tmp_path / "Python" / f"{minor}.99" / "x64" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.write_text(f"#!/bin/sh\necho {minor}.99\n")
    other.chmod(0o755)
    assert rebuilding.find_python(f"{minor}.99") == sys.executable, "no such interpreter is known"
    monkeypatch.setenv("RUNNER_TOOL_CACHE", str(tmp_path))
    assert rebuilding.find_python(f"{minor}.99") == str(other)


def test_python__of_another_minor_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"was trained with Python 3\.7\.1, and this machine has 3\.") as refused:
        rebuilding.find_python("3.7.1")
    assert 'python-version: "3.7.1"' in refused.value.fix


# Grades


def match(**said: Verdict) -> Match:
    names: tuple[Grade, ...] = ("bytes", "structure", "predictions", "metrics")
    return Match(tuple(Step(name, said[name], "") for name in names if name in said))


@pytest.mark.parametrize(
    ("found", "wanted", "verdict"),
    [
        (match(bytes=PASS), "bytes", PASS),
        (match(bytes=PASS), "metrics", PASS),
        (match(bytes=FAIL, structure=PASS), "bytes", FAIL),
        (match(bytes=FAIL, structure=PASS), "structure", PASS),
        (match(bytes=FAIL, structure=OPEN, predictions=PASS), "structure", OPEN),
        (match(bytes=FAIL, structure=OPEN, predictions=PASS), "predictions", PASS),
        (match(bytes=FAIL, structure=OPEN, predictions=FAIL, metrics=PASS), "predictions", FAIL),
        (match(bytes=FAIL, structure=OPEN, predictions=OPEN, metrics=FAIL), "structure", FAIL),
        (match(bytes=FAIL, structure=FAIL, predictions=OPEN, metrics=OPEN), "predictions", OPEN),
        (match(bytes=FAIL, structure=FAIL, predictions=FAIL, metrics=FAIL), "metrics", FAIL),
        (match(bytes=FAIL, structure=FAIL, predictions=FAIL, metrics=OPEN), "predictions", FAIL),
    ],
)
def test_match__is_never_better_than_what_was_seen(found: Match, wanted: Grade, verdict: Verdict) -> None:
    assert found.verdict(wanted) is verdict


def test_files__mlflows_own_fields_are_left_out_and_no_others(tmp_path: Path) -> None:
    one, two = (save_toy(tmp_path / name, {"x1": 1.0}) for name in ("one", "two"))
    assert (one / "MLmodel").read_bytes() != (two / "MLmodel").read_bytes(), "each has an id of its own"
    assert files.digests(one) == files.digests(two)
    (two / "registered_model_meta").write_text("model_name: toy")
    assert files.differences(files.digests(one), files.digests(two)) == []
    said = json.loads((two / "MLmodel").read_text())
    said["flavors"]["python_function"]["python_version"] = "3.12"
    (two / "MLmodel").write_text(json.dumps(said))
    (two / "weights.json").unlink()
    (two / "more.json").write_text("{}")
    assert files.differences(files.digests(one), files.digests(two)) == [
        *("`MLmodel` differs", "`more.json` was not there before", "`weights.json` was not made again"),
    ]
    (two / "MLmodel").write_text(": no YAML: [")
    assert "MLmodel" in files.digests(two)


class Estimator:
    """An object with a state."""

    def __init__(self, **state: object) -> None:
        self.__dict__.update(state)


def described(value: object) -> str:
    found = Description()
    found.walk("model", value)
    return found.whole.hexdigest()


def padded(value: int) -> np.ndarray:
    """A structured array with whatever lies between its fields."""
    raw = np.frombuffer(os.urandom(32), dtype=np.uint8).copy()
    array = raw.view(np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8], "itemsize": 16}))
    array["a"], array["b"] = value, 0.5
    return array


@pytest.mark.parametrize(
    "make",
    [
        lambda: Estimator(coef=np.arange(6.0).reshape(2, 3), names=["a", "b"], depth=3),
        lambda: Estimator(nodes=padded(1)),
        lambda: Estimator(labels=np.array(["x", None, 3], dtype=object)),
        lambda: {"classes": {"b", "a", "c"}, "order": OrderedDict(x=1), "generator": np.random.default_rng(3)},
        lambda: [np.random.RandomState(4), partial(max, 3), float("nan"), b"raw", 1 + 2j, (1, (2,))],
        lambda: [random.Random(5), Path, np.float64, np.float32(1.5), np.dtype("i4")],
    ],
)
def test_structure__of_equal_objects_is_the_same(make: object) -> None:
    assert callable(make)
    assert described(make()) == described(make())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Estimator(a=1), Estimator(a=2)),
        (Estimator(a=1), Estimator(a=True)),
        (Estimator(a=1), Estimator(b=1)),
        (Estimator(a=0.0), Estimator(a=-0.0)),
        (np.arange(6), np.arange(6).reshape(2, 3)),
        (np.arange(6), np.arange(6.0)),
        (padded(1), padded(2)),
        (np.array(["x", 1], dtype=object), np.array(["x", 2], dtype=object)),
        ([1, 2], (1, 2)),
        ([1, 2], [2, 1]),
        ({"a": 1}, OrderedDict(a=1)),
        ({1, 2}, frozenset({1, 2})),
        (np.random.RandomState(1), np.random.RandomState(2)),
        (lambda x: x + 1, lambda x: x + 2),
        (Path("a"), Path("b")),
        (np.float64, np.float32),
    ],
)
def test_structure__of_other_objects_is_another(one: object, other: object) -> None:
    assert described(one) != described(other)


@pytest.fixture
def recursion() -> Iterator[None]:
    """As deep as in the worker."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(before)


def test_structure__of_what_holds_itself(recursion: None) -> None:
    one: list[object] = [1]
    one.append(one)
    assert described(one) == described(one)
    deep: list[object] = []
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(RecursionError, match="nested too deeply"):
        described(deep)


def test_structure__of_forests() -> None:
    """A tree's nodes have bytes between their fields that nobody sets, so that pickles of equal trees can differ."""
    from sklearn.ensemble import RandomForestClassifier

    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(60, 3)), draw.integers(0, 2, 60)
    one, same, other = (RandomForestClassifier(3, random_state=seed).fit(x, y) for seed in (1, 1, 2))
    assert described(one) == described(same) != described(other)


def test_structure__names_what_differs() -> None:
    parts = (("a", "1"), ("a", "2"), ("b", "3"))
    one = structure.Structure("x", parts)
    assert (one.first_difference(one), one.differing(one)) == ("", 0)
    other = structure.Structure("y", (("a", "1"), ("a", "4"), ("b", "3"), ("c", "5")))
    assert (one.first_difference(other), one.differing(other)) == ("a", 2)
    assert other.first_difference(structure.Structure("z", other.parts[:3])) == "c"


def test_structure__of_a_model_that_does_not_load(tmp_path: Path) -> None:
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin") or sys.executable
    job = Job("The recorded model", save_toy(tmp_path / "model", {"x1": 1.0}), Path(python), tmp_path / "out")
    with pytest.raises(GateError, match=r"The recorded model cannot be taken apart: \w+: "):
        structure.describe_all([job], confinement(Isolation()))


def predictions(**columns: list[object]) -> Predictions:
    return Predictions(pl.DataFrame(columns), None)


@pytest.mark.parametrize(
    ("recorded_", "rebuilt", "expected"),
    [
        (predictions(prediction=[1.0, 2.0]), predictions(prediction=[1.0, 2.0]), (0, 0.0)),
        (predictions(prediction=[1.0, None]), predictions(prediction=[1.0, None]), (0, 0.0)),
        (predictions(prediction=[1.0, None]), predictions(prediction=[1.0, 2.0]), (1, float("inf"))),
        (predictions(prediction=[0.5, 0.5]), predictions(prediction=[0.5, 0.6]), (1, 0.1)),
        (predictions(prediction=[0.5, 1e9]), predictions(prediction=[0.5, 1e9 + 1]), (0, 1e-9)),
        (predictions(prediction=["a", "b"]), predictions(prediction=["a", "c"]), (1, 0.0)),
        (predictions(prediction=[0, 1]), predictions(prediction=[1, 1]), (1, 0.0)),
        (predictions(prediction=[0, 1]), predictions(other=[0, 1]), (2, 0.0)),
    ],
)
def test_predictions__how_far_apart(recorded_: Predictions, rebuilt: Predictions, expected: tuple[int, float]) -> None:
    rows, largest = distance(recorded_, rebuilt, 1e-6)
    assert rows == expected[0]
    assert largest == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("shift", "margin", "verdict"),
    [
        (0.0, None, PASS),
        (0.2, None, FAIL),
        (0.2, 0.5, PASS),
        (0.2, 0.01, FAIL),
        (0.2, 0.2, OPEN),
    ],
)
def test_metrics__a_difference_must_not_matter(shift: float, margin: float | None, verdict: Verdict) -> None:
    draw = np.random.default_rng(2)
    truth = draw.normal(size=4_000)
    error = np.abs(draw.normal(size=4_000))
    evaluation = Evaluation.model_validate(
        {"task": "regression", "holdout": "h", "target": "y", "metrics": {"mean_absolute_error": {}}}
    )
    one, two = (
        Regression(truth, truth + error),
        Regression(truth, truth + error + shift + 0.02 * draw.normal(size=4_000)),
    )
    if shift == 0:
        two = Regression(truth, truth + draw.permutation(error))
    found, said = metric_matches(
        "mean_absolute_error", MetricRule(margin=margin), evaluation, two, one, Sampling(4_000)
    )
    assert found is verdict, said
    assert said.startswith("mean_absolute_error differs by ")


def test_grades__of_models_that_run(tmp_path: Path, environments_cache: Path, trained: Toy) -> None:
    metrics = {"roc_auc": {"margin": 0.02}}
    policy = Policy.model_validate({**POLICY, "evaluation": {**POLICY["evaluation"], "metrics": metrics}})
    rebuilt = Rebuilt(
        made=read(trained, "1", tmp_path / "read").made,
        model=save_toy(tmp_path / "rebuilt", {"x1": 2.02, "x2": 1.0}),
        folder=trained.folder,
        sourced=SourcedPolicy(policy, Path("slipway.yml")),
    )
    before = save_toy(tmp_path / "recorded", {"x1": 2.0, "x2": 1.0})
    found = Matcher(lambda: models_python(environments_cache), 1e-6, tmp_path).compare(before, rebuilt)
    assert found.grade == "metrics", found
    assert [step.verdict for step in found.steps] == [FAIL, FAIL, FAIL, PASS]
    assert "weights" in found.detail("structure")
    assert "of 1,500 predictions differ, by up to" in found.detail("predictions")
    assert "roc_auc differs by" in found.detail("metrics") and "within its margin of 0.02" in found.detail("metrics")


def test_grades__of_models_of_text(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, trained: Toy
) -> None:
    """Other texts with the same scores are the same by the metrics, by a scorer of the team's own as well."""
    toy = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    rows = {"question": [f"{a} plus {a}" for a in range(150)], "answer": [str(2 * a) for a in range(150)]}
    pl.DataFrame(rows).write_parquet(toy.folder / "data" / "holdout.parquet")
    toy.write("scorers.py", SCORERS)
    found = {}
    for name, metrics in (("same scores", ("close",)), ("another score", ("close", "exact_match"))):
        evaluation = {**TEXT, "metrics": {metric: {"margin": 0.02} for metric in metrics}}
        toy.policy({"evaluation": evaluation})
        policy = Policy.model_validate({**POLICY, "evaluation": evaluation})
        scratch = tmp_path / name
        scratch.mkdir()
        before, after = (
            save_toy(scratch / f"model {number}", {"prompt": prompt}, model_code=RESPONDER, columns=())
            for number, prompt in enumerate(("answer", "answer in JSON"))
        )
        rebuilt = Rebuilt(
            made=dataclasses.replace(read(trained, "1", scratch / "read").made, datasets={}),
            model=after,
            folder=toy.folder,
            sourced=SourcedPolicy(policy, Path("slipway.yml")),
        )
        found[name] = Matcher(lambda: models_python(environments_cache), 1e-6, scratch).compare(before, rebuilt)
    same, other = found["same scores"], found["another score"]
    assert [step.verdict for step in same.steps] == [FAIL, FAIL, FAIL, PASS], same
    assert "150 of 150 predictions differ" in same.detail("predictions")
    assert "close differs by +0 " in same.detail("metrics")
    assert (other.grade, other.steps[-1].verdict) == ("none", FAIL), other
    assert "exact_match differs by -1" in other.detail("metrics")


# The example, the disk and the ledger


def test_example__saves_the_same_bytes_whenever_it_trains(tmp_path: Path, environments_cache: Path) -> None:
    python = models_python(environments_cache)
    draw = random.Random(3)
    rows = 400
    data = pl.DataFrame(
        {
            "carrier": [draw.choice(["AA", "UA", "DL"]) for _ in range(rows)],
            "origin": [draw.choice(["EWR", "JFK"]) for _ in range(rows)],
            "dest": [draw.choice(["LAX", "BOS", "ORD"]) for _ in range(rows)],
            "weekday": [draw.randint(0, 6) for _ in range(rows)],
            "hour": [draw.randint(5, 23) for _ in range(rows)],
            "distance": [draw.randint(100, 3_000) for _ in range(rows)],
            "late": [draw.random() < 0.3 for _ in range(rows)],
        }
    )
    made = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("train.py", "params.yaml", "requirements.txt"):
            shutil.copy(ROOT / "examples" / "flights" / file, folder)
        (folder / "data" / "train").mkdir(parents=True)
        data.write_parquet(folder / "data" / "train" / "month.parquet")
        environ = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONHASHSEED": "1"}
        subprocess.run([str(python), "train.py"], cwd=folder, env=environ, check=True, capture_output=True)
        made.append(files.digests(folder / "build" / "model"))
    assert "model.skops" in made[0]
    assert made[0] == made[1]


def test_disk__that_is_full_is_no_defect() -> None:
    with pytest.raises(InputError, match="The disk is full"), reproduce_model.disk_errors():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), reproduce_model.disk_errors():
        raise PermissionError(errno.EACCES, "Permission denied")


def test_ledger__tells_the_last_attempt_to_rebuild_a_version(repository: GitRepository, tmp_path: Path) -> None:
    repository.commit({"a": "b"})
    ledger = Ledger(place.find(Run(), folder=repository.path))
    digest = f"sha256:{'1' * 64}"
    for stage, role, verdict in (("train-model", "candidate", PASS), ("reproduce-model", "version", FAIL)):
        named = Subject(role=role, name="7", id=digest)
        report = Report(stage=stage, model="toy", verdict=verdict, headline="Said so.", subjects=(named,))
        ledger.append([drafting.of_report(report.write(tmp_path / f"{stage}.json"), Run())])
    found = facts.facts(Trail.read(ledger), "toy", "7", None)
    said = [fact for fact in found if "rebuild" in fact.claim]
    assert said and any("fail" in (fact.value or "") for fact in said), said


def test_layers__of_a_record_from_before_processors_were_counted(trained: Toy, tmp_path: Path) -> None:
    made = read(trained, "1", tmp_path).made
    machine = {name: value for name, value in made.machine.items() if name != "settings"}  # this machine's own
    made = dataclasses.replace(made, machine=machine)
    now = dataclasses.replace(made, machine={**made.machine, "settings": "OMP_NUM_THREADS=1"})
    (found,) = [row for row in layers.of_inputs(made, now) if row.name == "settings"]
    assert (found.recorded, found.rebuilt, found.same, found.deciding) == ("none", "OMP_NUM_THREADS=1", "no", False)
    earlier = dataclasses.replace(made, machine={"platform": made.machine["platform"]})
    assert [row.same for row in layers.of_inputs(earlier, now) if row.layer == "machine"] == ["yes", "yes"]
    assert layers.first_difference(layers.of_inputs(made, now)) is None
    seeded = dataclasses.replace(made, seed=8, parameters={"depth": "4"})
    row = layers.first_difference(layers.of_inputs(made, seeded))
    assert row and row.layer == "parameters"
