"""The reproduce-model action as a job runs it: real git, MLflow on SQLite, uv, trainings that can be repeated or not.

The toys' lock has no packages: their environment is built in a moment. What needs the model's packages is tested in
test_reproduction.py.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from conftest import git_environ
from slipway.ledger import drafting
from slipway.registry.mlflow import PRODUCTION
from slipway.runner.context import Run
from test_training_toy import MODEL, QUIET, ROOT, Done, Toy, git, make_toy, wait_for

pytestmark = QUIET

ACTION = ROOT / "actions" / "reproduce-model"
BARE = "# The toy's training needs the standard library alone.\n"
UNSEEDED = """
    import random, sys
    sys.path.insert(0, "lib")
    from folder import save
    save("build/model", {"x1": random.random()}, "logit")
"""


@pytest.fixture
def toy(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environments_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Toy:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    made = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    made.write("requirements.txt", BARE)
    made.environ["TMPDIR"] = str(made.temp / "tmp")
    (made.temp / "tmp").mkdir(parents=True)
    made.policy(training={"requirements": "requirements.txt", "seed": 7}, reproducibility={"grade": "bytes"})
    return made


def train(toy: Toy, text: str = "", **inputs: str) -> None:
    """Train version 1; text: of the training command, where it is another one."""
    if text:
        toy.write("train.py", text)
        toy.commit()
    done = toy.train(**inputs)
    assert done.code == 0, done.log


def reproduce(toy: Toy, **inputs: str) -> Done:
    before = world(toy)
    done = toy.run(ACTION, **{"model_version": "1", **inputs})
    assert world(toy) == before, "the registry, the clone or its work tree changed"
    assert not list((toy.temp / "tmp").glob("slipway-*")), "something was left behind"
    return done


def world(toy: Toy) -> object:
    """What a rebuild must not touch."""
    registry = toy.registry()
    versions = [(each.version, each.run_id, each.tags) for each in registry.versions(MODEL)]
    runs = sorted(each.name for each in (toy.folder / "mlruns").rglob("*") if each.is_dir())
    index = toy.git("ls-files", "--stage")
    objects = sorted(str(each) for each in (toy.folder / ".git").rglob("*"))
    files = {each: each.read_bytes() for each in (toy.folder / "build").rglob("*") if each.is_file()}
    return versions, registry.aliases(MODEL), runs, index, objects, files, toy.git("status", "--porcelain", "--ignored")


def layers_of(done: Done) -> dict[str, tuple[str, ...]]:
    (found,) = (each for each in done.report["tables"] if each["title"] == "Layer by layer")
    return {row[0]: tuple(row[1:]) for row in found["rows"]}


# A rebuild that matches


def test_reproduce__the_version_in_production_byte_for_byte(toy: Toy) -> None:
    toy.write("params.yaml", "depth: 3\n")
    toy.policy(
        training={"requirements": "requirements.txt", "seed": 7, "parameters": "params.yaml"},
        reproducibility={"grade": "bytes"},
    )
    commit = toy.commit()
    train(toy)
    toy.registry().set_alias(MODEL, PRODUCTION, "1")
    # What came later, committed or not, has no say.
    toy.write("train.py", "raise SystemExit('of another commit')")
    toy.write("requirements.txt", "no-such-package==1.0\n")
    toy.commit()
    toy.write("data/train.csv", "x1,y\n")

    done = reproduce(toy, model_version="")

    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert (done.outputs["version"], done.outputs["grade"]) == ("1", "bytes")
    assert (done.outputs["layer"], done.outputs["cause"]) == ("", "")
    rows = layers_of(done)
    assert rows["commit"] == (commit, "as recorded", "yes")
    assert rows["data train"][2] == rows["data holdout"][2] == rows["environment lock"][2] == rows["seed"][2] == "yes"
    assert rows["command"] == ("python train.py", "as recorded", "yes")
    assert rows["files of the model"][1:] == ("All 4 files are the same.", "yes")
    assert "with seed 7" in done.log
    assert "rebuilt from its record" in done.summary
    # The ledger gets an entry that is about the version, with all that was found as evidence.
    draft, files = drafting.of_report(Path(done.outputs["report"]), Run())
    version = toy.registry().by_version(MODEL, "1")
    assert (draft.event, draft.verdict, draft.model_version) == ("reproduction", "pass", "1")
    assert draft.model_digest == version.tags["slipway.model_digest"]
    assert sorted(files) == ["report.json", "reproduce-model.html", "reproduce-model.md"]
    roles = {each.role: each.id for each in draft.subjects}
    assert roles["commit"] == commit
    assert roles["provenance"].startswith("sha256:")
    assert b"reproduce-model: pass" in files["reproduce-model.html"]

    assert "The registry has no version `9`" in reproduce(toy, model_version="9").error
    done = reproduce(toy, model_version="staging")
    assert done.error.startswith("No version of `toy` has the alias `staging`.")
    assert done.outputs["verdict"] == "inconclusive"


def test_reproduce__nothing_reaches_the_teams_registry(toy: Toy) -> None:
    """The command sees a store of its own, also where it registers a model by itself."""
    train(
        toy,
        "import os\n"
        + (toy.folder / "train.py").read_text()
        + "print('store', os.environ['MLFLOW_TRACKING_URI'], os.environ.get('MLFLOW_REGISTRY_URI'))\n",
    )
    toy.environ["MLFLOW_REGISTRY_URI"] = toy.uri
    done = reproduce(toy)
    assert done.outputs["grade"] == "bytes", done.log
    (said,) = [line for line in done.log.splitlines() if line.startswith("store ")]
    assert "throw-away.db" in said.split()[1] and "throw-away.db" in said.split()[2]


def test_reproduce__a_commit_that_a_shallow_clone_lacks(toy: Toy) -> None:
    train(toy)
    clone_shallow(toy)
    done = reproduce(toy)
    assert (done.code, done.outputs["grade"]) == (0, "bytes"), done.log

    origin = toy.temp / "origin"
    git(origin, "checkout", "--quiet", "--orphan", "rewritten")
    git(origin, "commit", "--quiet", "--message", "Rewritten")
    git(origin, "branch", "--quiet", "--delete", "--force", "main")
    git(origin, "reflog", "expire", "--expire=now", "--all")
    git(origin, "gc", "--quiet", "--prune=now")
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert "is gone from" in done.error and "force-pushed" in done.error
    assert layers_of(done)["commit"][2] == "–"

    shutil.rmtree(origin)  # a remote that does not answer shows nothing
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive"), done.log
    assert "could not be fetched" in done.error


def clone_shallow(toy: Toy) -> None:
    """Have the toy's folder be a clone of depth 1 in which a newer commit is checked out."""
    origin = toy.temp / "origin"
    kept = toy.git("rev-parse", "HEAD").strip()
    subprocess.run(["git", "clone", "--quiet", str(toy.folder), str(origin)], check=True, env=git_environ())
    git(origin, "remote", "remove", "origin")
    git(origin, "commit", "--quiet", "--allow-empty", "--message", "Newer")
    shutil.rmtree(toy.folder / ".git")
    shallow = toy.temp / "shallow"
    address = origin.as_uri()
    subprocess.run(["git", "clone", "--quiet", "--depth=1", address, str(shallow)], check=True, env=git_environ())
    (shallow / ".git").rename(toy.folder / ".git")
    assert subprocess.run(["git", "cat-file", "-e", kept], cwd=toy.folder, capture_output=True, check=False).returncode


# Three breaks, and what each is taken for


def test_diagnosis__unseeded_randomness(toy: Toy) -> None:
    train(toy, UNSEEDED)
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"], done.outputs["grade"]) == (1, "fail", "none"), done.log
    assert (done.outputs["layer"], done.outputs["cause"]) == ("files of the model", "unseeded randomness")
    assert done.report["reasons"][0] == "Likely cause: unseeded randomness."
    assert "the two rebuilds differ from each other" in done.reasons
    assert "`weights.json` differs" in done.reasons
    assert "SLIPWAY_SEED" in done.report["advice"]
    done = reproduce(toy, diagnose="false")
    assert (done.outputs["verdict"], done.outputs["cause"]) == ("fail", "unknown"), done.log
    assert done.log.count("Training: python train.py") == 1


def test_diagnosis__threads_that_race(toy: Toy) -> None:
    train(
        toy,
        UNSEEDED.replace("random.random()", "random.random() if 'OMP_NUM_THREADS' not in os.environ else 1.0").replace(
            "import random", "import os, random"
        ),
    )
    done = reproduce(toy)
    assert (done.outputs["grade"], done.outputs["cause"]) == ("none", "thread count"), done.log
    assert "With one thread they are the same" in done.reasons


def test_diagnosis__a_dependency_that_is_not_pinned(toy: Toy) -> None:
    wheels = toy.temp / "wheels"
    make_wheel(wheels, "toydep", "1.0", "WEIGHT = 1.0\n")
    toy.environ |= {"UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1", "UV_CACHE_DIR": str(toy.temp / "uv")}
    toy.write("requirements.txt", "toydep\n")
    train(toy, UNSEEDED.replace("random.random()", "toydep.WEIGHT").replace("import random", "import toydep"))
    make_wheel(wheels, "toydep", "2.0", "WEIGHT = 2.0\n")
    done = reproduce(toy)
    assert (done.outputs["verdict"], done.outputs["grade"]) == ("fail", "none"), done.log
    assert (done.outputs["layer"], done.outputs["cause"]) == ("packages", "unpinned dependency")
    assert layers_of(done)["packages"] == ("toydep==1.0", "toydep==2.0", "no")
    assert "toydep==2.0 in place of toydep==1.0" in done.reasons
    assert "--generate-hashes" in done.report["advice"]

    for wheel in wheels.iterdir():
        wheel.unlink()
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert "not on the package index any more" in done.error and "toydep" in done.error


def test_diagnosis__changed_data(toy: Toy) -> None:
    outside = toy.temp / "outside.csv"
    shutil.copy(toy.folder / "data" / "train.csv", outside)
    toy.policy(
        {"data": {"train": {"path": str(outside)}, "holdout": {"path": "data/holdout.parquet"}}},
        training={"requirements": "requirements.txt"},
        reproducibility={"grade": "bytes"},
    )
    train(toy)
    done = reproduce(toy)
    assert done.outputs["grade"] == "bytes", "not versioned, and still the same"
    outside.write_text(outside.read_text() + "1.0,0\n")
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert (done.outputs["layer"], done.outputs["cause"]) == ("data", "changed data")
    assert "`train`" in done.error and "has changed" in done.error and "mutable_data: fail" in done.error
    assert "Training: " not in done.log, "compute was spent on other data"
    assert (layers_of(done)["commit"][2], layers_of(done)["data train"][2]) == ("yes", "no")
    outside.unlink()
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert "`train`" in done.error and "not there any more" in done.error and "not versioned" in done.error


def test_diagnosis__how_the_model_is_saved(toy: Toy) -> None:
    train(
        toy,
        (toy.folder / "train.py").read_text()
        + """
import time, zipfile
time.sleep(2)  # the clock of zip files ticks so
with zipfile.ZipFile("build/model/extra.npz", "w") as archive:
    archive.writestr("numbers", "1 2 3")
""",
    )
    done = reproduce(toy)
    assert (done.outputs["verdict"], done.outputs["grade"], done.outputs["cause"]) == ("fail", "structure", "saving")


def make_wheel(folder: Path, name: str, version: str, module: str) -> None:
    """A wheel of one module."""
    folder.mkdir(exist_ok=True)
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", module)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


# What is not there any more, and what does not work


def test_reproduce__a_command_that_fails_or_takes_too_long(toy: Toy) -> None:
    flag = toy.temp / "works"
    flag.write_text("")
    toy.policy(training={"requirements": "requirements.txt", "timeout_minutes": 0.05})
    train(toy, f"exec(open({str(flag)!r}).read())\n" + (toy.folder / "train.py").read_text())
    flag.write_text("import time; time.sleep(60)")
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive"), done.log
    assert "did not end within" in done.error and "The recorded training took" in done.error
    flag.unlink()
    done = reproduce(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert "The recorded training command, run again, ended with exit code 1" in done.error
    assert "FileNotFoundError" in done.error


def test_reproduce__interrupted(toy: Toy) -> None:
    flag = toy.temp / "fast"
    flag.touch()
    text = f"import os, pathlib, time\nif not pathlib.Path({str(flag)!r}).exists():\n"
    text += f"    pathlib.Path({str(toy.temp / 'pid')!r}).write_text(f'{{os.getpid()}}\\n')\n    time.sleep(60)\n"
    train(toy, text + (toy.folder / "train.py").read_text())
    flag.unlink()
    before = world(toy)
    toy.environ |= {"INPUT_MODEL_VERSION": "1"}
    process = toy.start("reproduce_model.py", "reproduce-model")
    wait_for(toy.temp / "pid", 60)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 130, log
    assert world(toy) == before
    assert not list((toy.temp / "tmp").glob("slipway-*"))
