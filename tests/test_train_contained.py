"""train-model and reproduce-model with the command in a container: real Podman, a real registry, MLflow on SQLite.

The base image has Python alone, and locks name a wheel of a few lines: an image of it is built in a moment.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packaging_kit import Containers, containers
from slipway.containers import engines
from slipway.policy.training import Container
from slipway.registry.carrying import carry
from slipway.registry.mlflow import Registry, default_store
from slipway.runner.errors import InputError, RemoteError
from slipway.training import command, contained, repository, stores
from slipway.training.contained import Contained
from test_runner_environments import make_wheel
from test_training_toy import MODEL, QUIET, ROOT, Toy, make_toy, save_toy, wait_for

__all__ = ["containers"]
pytestmark = [QUIET, pytest.mark.xdist_group("containers")]

SEEN = """
import json, os, pathlib, platform, socket, sys

def can_write(path):
    try:
        pathlib.Path(path).write_text("evil")
        return True
    except OSError:
        return False

def can_reach(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except OSError:
        return False

lines = pathlib.Path("/proc/net/dev").read_text().splitlines()[2:]
seen = {
    "variables": dict(os.environ), "python": platform.python_version(), "prefix": sys.prefix, "cwd": os.getcwd(),
    "devices": sorted(line.split(":")[0].strip() for line in lines), "user": os.getuid(), "files": os.listdir("/tmp"),
    "temp": can_write(os.environ["TMPDIR"] + "/x"), "git": can_write(".git/hooks/post-checkout"),
    "host": can_reach(*json.loads(os.environ.get("HOST", '["127.0.0.1", 9]'))),
}
os.makedirs("build", exist_ok=True)
pathlib.Path("build/seen.json").write_text(json.dumps(seen) + "\\n")
"""


@pytest.fixture
def toy(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environments_cache: Path,
    containers: Containers,
    monkeypatch: pytest.MonkeyPatch,
) -> Toy:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    for name, value in containers.environ.items():
        monkeypatch.setenv(name, value)
    made = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    made.environ |= containers.environ
    return made


def wanted(toy: Toy, image: str, training: dict[str, Any] | None = None, **container: Any) -> None:
    """Have the toy's policy train in a container."""
    said = {"command": "python3 train.py", "container": {"image": image, **container}, **(training or {})}
    toy.policy(training=said, reproducibility={"grade": "bytes"})


def seen(toy: Toy) -> dict[str, Any]:
    return dict(json.loads((toy.folder / "build/seen.json").read_text()))


def recorded(toy: Toy, version: str, name: str = "provenance.json") -> dict[str, Any]:
    registry = toy.registry()
    file = registry.run_file(
        registry.by_version(MODEL, version).run_id, f"slipway/{name}", toy.temp / f"kept-{version}"
    )
    assert file is not None
    return dict(json.loads(file.read_text()))


def identity(containers: Containers, image: str) -> str:
    return f"sha256:{containers.run('podman', 'image', 'inspect', '--format', '{{.Id}}', image).strip()}"


def none_is_left(containers: Containers) -> bool:
    return containers.run("podman", "ps", "--all", "--quiet") == ""


# The stage


def test_train__in_a_container_with_no_more_than_the_command_needs(toy: Toy, containers: Containers) -> None:
    host, port = containers.host.split(":")
    toy.environ |= {"GITHUB_TOKEN": "hidden", "OTHER_SECRET": "hidden", "MLFLOW_TRACKING_TOKEN": "handed"}
    toy.environ |= {"GITHUB_TOKEN_": "x", "NAMED": "handed", "HOST": json.dumps([host, int(port)])}
    toy.write("train.py", SEEN + (toy.folder / "train.py").read_text())
    wanted(toy, containers.base, {"seed": 7}, variables=["NAMED", "HOST", "GITHUB_TOKEN", "ABSENT"])
    done = toy.train()
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert "fitted" in done.log, "its output is the step's"
    found = seen(toy)
    assert (found["user"], found["cwd"]) == (os.getuid(), str(toy.folder))
    assert (found["temp"], found["git"], found["host"]) == (True, False, True)
    assert str(toy.temp.name) not in found["files"], "the rest of the machine is not there"
    variables = found["variables"]
    assert (variables["MLFLOW_TRACKING_TOKEN"], variables["NAMED"], variables["SLIPWAY_SEED"]) == (
        "handed",
        "handed",
        "7",
    )
    assert variables["MLFLOW_TRACKING_URI"] == toy.uri
    assert variables.keys().isdisjoint({"GITHUB_TOKEN", "OTHER_SECRET", "INPUT_TRACKING_URI", "GITHUB_OUTPUT"})
    assert "names ABSENT, which" in done.log and "names GITHUB_TOKEN, which" in done.log
    assert none_is_left(containers)
    assert {path.owner() for path in (toy.folder / "build").rglob("*")} == {toy.folder.owner()}

    made = recorded(toy, "1")
    assert made["base"]["kind"] == "container"
    assert made["base"]["image"] == containers.base
    assert made["base"]["id"] == identity(containers, containers.base)
    assert made["environment"]["python"] == found["python"] != ""
    assert made["machine"]["platform"].endswith("glibc2.36")
    assert 2**22 < made["peak_memory"] < 2**28, "the command's, not the engine's"
    tags = toy.registry().by_version(MODEL, "1").tags
    assert tags["slipway.base"] == f"container: {containers.base}"
    statement = recorded(toy, "1", "provenance.intoto.json")
    (told,) = [
        each
        for each in statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        if each["annotations"]["role"] == "container"
    ]
    assert told["digest"] == {"sha256": containers.base.partition("@sha256:")[2]}
    assert told["annotations"]["id"] == made["base"]["id"]
    assert ("container", made["base"]["id"]) in {(each["role"], each["id"]) for each in done.report["subjects"]}


def test_train__built_from_the_lock_where_it_is_absent_and_rebuilt_in_the_same(
    toy: Toy, containers: Containers, tmp_path: Path
) -> None:
    wheels = toy.temp / "wheels"
    toy.environ |= {"UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1", "UV_CACHE_DIR": str(toy.temp / "uv")}
    program = "#!python\nimport runpy\nrunpy.run_path('train.py', run_name='__main__')\n"
    files = {"toydep.py": "WEIGHT = 1.0\n", "toydep-1.0.data/scripts/toytrain": program}
    toy.write("requirements.txt", make_wheel(wheels, "toydep", files))
    toy.write(
        "train.py",
        f"import toydep\nprint('weight', toydep.WEIGHT, toydep.__file__)\n{SEEN}"
        + (toy.folder / "train.py").read_text(),
    )
    wanted(toy, containers.base, {"command": "toytrain", "requirements": "requirements.txt", "seed": 7}, network="deny")
    done = toy.train(reuse_from=str(toy.temp / "earlier"))
    assert done.code == 0, done.log
    assert "Building the container of requirements.txt above" in done.log
    assert "weight 1.0 /opt/slipway/environment/lib/python3.11/site-packages/toydep.py" in done.log
    assert (seen(toy)["prefix"], seen(toy)["devices"]) == ("/opt/slipway/environment", ["lo"])
    store = seen(toy)["variables"]["MLFLOW_TRACKING_URI"]
    assert store != toy.uri and not Path(store.removeprefix("sqlite:///")).exists(), "one of its own, which is gone"
    made = recorded(toy, "1")
    assert made["environment"]["packages"] == ["toydep==1.0"], "those of the lock and no others"
    assert made["environment"]["hash_locked"]
    assert made["base"]["id"] not in (
        "",
        identity(containers, containers.base),
    )

    toy.registry().set_alias(MODEL, "production", "1")
    before = containers.run("podman", "images", "--quiet")
    done = toy.run(ROOT / "actions" / "reproduce-model")
    assert (done.code, done.outputs["grade"]) == (0, "bytes"), done.log
    (layers,) = [each["rows"] for each in done.report["tables"] if each["title"] == "Layer by layer"]
    assert [row for row in layers if row[0] == "container"] == [["container", made["base"]["id"], "as recorded", "yes"]]
    assert "Building the container" in done.log, "nobody had used it before"
    assert containers.run("podman", "images", "--quiet") == before and none_is_left(containers)

    done = toy.train(reuse_from=str(toy.temp / "earlier"))
    assert (done.code, done.outputs["model-version"]) == (0, "1"), "nothing has changed"
    assert "Building the container" not in done.log, "it is there"
    wanted(
        toy,
        (other := another_image(containers, tmp_path)),
        {"command": "toytrain", "requirements": "requirements.txt", "seed": 7},
        network="deny",
    )
    done = toy.train(reuse_from=str(toy.temp / "earlier"))
    assert (done.code, done.outputs["model-version"]) == (0, "2"), "another image is another training"

    containers.run("skopeo", "delete", "--tls-verify=false", f"docker://{other}")
    containers.run("podman", "rmi", "--force", other)
    done = toy.run(ROOT / "actions" / "reproduce-model", model_version="2")
    assert (done.code, done.outputs["verdict"]) == (1, "fail"), done.log
    assert "is gone from its registry" in done.error


def another_image(containers: Containers, folder: Path) -> str:
    """An image of the base's layers with another digest, in a repository of its own."""
    (folder / "Containerfile").write_text(f"FROM {containers.base}\nENV LANG=C.UTF-8\n")
    containers.run("buildah", "bud", "--quiet", "--pull-never", "--tag", "localhost/other", str(folder))
    name, digest = f"{containers.host}/other/base", folder / "digest"
    push = ["buildah", "push", "--quiet", "--tls-verify=false", "--digestfile", str(digest)]
    containers.run(*push, "localhost/other", f"docker://{name}:1")
    containers.run("buildah", "rmi", "localhost/other")
    return f"{name}@{digest.read_text().strip()}"


def test_train__cancelled(toy: Toy, containers: Containers) -> None:
    """The container goes with the stage, also where the command does not listen."""
    toy.write(
        "train.py",
        """
        import pathlib, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path("build").mkdir()
        pathlib.Path("build/started").write_text("yes\\n")
        time.sleep(600)
        """,
    )
    wanted(toy, containers.base)
    process = toy.start("train_model.py", "train-model")
    wait_for(toy.folder / "build/started", 120)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 130, log
    assert none_is_left(containers)


# A container, without the stage around it


@pytest.fixture
def place(toy: Toy, containers: Containers, monkeypatch: pytest.MonkeyPatch) -> Contained:
    monkeypatch.chdir(toy.folder)
    return contained.made(Container(image=containers.base), containers.base, None)


def run(place: Contained, code: str, folder: Path, **how: Any) -> command.Ended:
    arguments = how.pop("arguments", ["python3", "-c", textwrap.dedent(code)])
    return place.run(arguments, how.pop("told", {}), [], timeout=how.pop("timeout", 60), log=folder / "log")


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", r"was ended by SIGKILL \(usually: out of memory\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "was ended by SIGTERM"),
    ],
)
def test_run__how_the_command_ended(place: Contained, tmp_path: Path, code: str, ended: str) -> None:
    found = run(place, code, tmp_path)
    assert re.match(ended, found.in_words(60))
    assert not found.succeeded


def test_run__over_its_time(place: Contained, containers: Containers, tmp_path: Path) -> None:
    found = run(place, "import time; time.sleep(600)", tmp_path, timeout=3)
    assert (found.code, found.succeeded) == (None, False)
    assert none_is_left(containers)


def test_run__nobody_is_there_to_end_it(place: Contained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose stage was killed ends by itself, some time after its time limit."""
    monkeypatch.setattr(contained, "LATER", -58.0)
    found = run(place, "import time; time.sleep(600)", tmp_path)
    assert found.code == -signal.SIGKILL


def test_run__memory_is_that_of_the_largest_process(place: Contained, tmp_path: Path) -> None:
    code = """
        import subprocess, sys
        subprocess.run([sys.executable, "-c", "x = bytearray(200_000_000)"], check=True)
    """
    found = run(place, code, tmp_path)
    assert found.code == 0
    assert 200_000_000 < found.peak_memory < 300_000_000


def test_run__a_child_that_is_left_behind_ends_with_the_command(place: Contained, tmp_path: Path) -> None:
    code = """
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        print("done")
    """
    assert run(place, code, tmp_path).code == 0
    assert "done" in (tmp_path / "log").read_text()


def test_run__a_program_that_the_image_does_not_have(place: Contained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`dvc` cannot be run in the container: it is not on the PATH"):
        run(place, "", tmp_path, arguments=["dvc", "repro"])


@pytest.mark.parametrize(
    "said",
    ["junk", "[" * 100_000, '"missing"', "{}", '{"code": "no", "peak_memory": 1}', '{"code": 0, "peak_memory": 1}'],
)
def test_answer__that_cannot_be_counts_for_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / "ended.json").write_text(said)
    ended = command.Ended(128 + signal.SIGKILL, 1.0, 5)
    found = contained._as_told(tmp_path / "ended.json", ended, "python3", tmp_path / "log")
    assert (found.code, found.peak_memory) == (-signal.SIGKILL, 0)


def test_run__what_the_command_says_in_place_of_the_first_process(place: Contained, tmp_path: Path) -> None:
    code = """
        import os, pathlib, signal
        answer = pathlib.Path(pathlib.Path("/proc/1/cmdline").read_bytes().split(b"\\0")[3].decode())
        assert answer.name == "ended.json"
        if os.fork():
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            answer.with_name("forged").write_text('{"code": 0, "peak_memory": 1}')
            answer.with_name("forged").replace(answer)
    """
    assert run(place, code, tmp_path).code == -signal.SIGKILL


def test_run__an_image_that_gets_the_name_meanwhile_is_not_run(
    toy: Toy, containers: Containers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(toy.folder)
    wheels = toy.temp / "wheels"
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    lock = toy.write("requirements.txt", make_wheel(wheels, "toydep", {"toydep.py": "WEIGHT = 1.0\n"}))
    made = contained.made(Container(image=containers.base), containers.base, lock)
    containers.run("podman", "tag", containers.base, made.tag)
    assert made.base().id == made.image != identity(containers, containers.base)
    found = run(made, "", tmp_path, arguments=["/opt/slipway/environment/bin/python", "-c", "import toydep"])
    assert found.code == 0, (tmp_path / "log").read_text()


def test_model__that_is_a_link_is_not_read(place: Contained, toy: Toy, tmp_path: Path) -> None:
    folder = toy.folder / "build/model"
    folder.mkdir(parents=True)
    place.require_own(folder)
    (folder / "weights.json").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"weights\.json is a link"):
        place.require_own(folder)
    for to in (tmp_path, toy.folder / ".git"):
        (toy.folder / "build/other").unlink(missing_ok=True)
        (toy.folder / "build/other").symlink_to(to)
        with pytest.raises(InputError, match="leads out of the repository"):
            place.require_own(toy.folder / "build/other")


def test_made__not_where_the_clone_keeps_a_token(
    toy: Toy, containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy.folder)
    toy.git("config", "http.https://github.com/.extraheader", "AUTHORIZATION: basic hidden")
    with pytest.raises(InputError, match="keeps credentials in its settings"):
        contained.made(Container(image=containers.base), containers.base, None)


def test_run__an_engine_that_refuses(place: Contained, containers: Containers, tmp_path: Path) -> None:
    there = replace(place, rules=Container(image=place.named, devices=("/dev/full",)))
    assert run(there, "open('/dev/full')", tmp_path).code == 0
    absent = replace(place, rules=Container(image=place.named, devices=("/dev/no-such-device",)))
    with pytest.raises(RemoteError, match="could not be started") as failure:
        run(absent, "", tmp_path)
    assert "no-such-device" in failure.value.why
    assert none_is_left(containers)


def test_run__data_elsewhere_can_be_read_and_not_written(place: Contained, toy: Toy, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "part-1.csv").write_text("1\n")
    (toy.folder / "build").mkdir(exist_ok=True)
    (toy.folder / "build/linked").symlink_to(outside)
    told = {"SLIPWAY_DATA_GLOB": f"{outside}/*.csv", "SLIPWAY_DATA_LINK": str(toy.folder / "build/linked")}
    code = f"""
        import os, pathlib
        assert pathlib.Path({str(outside)!r}, "part-1.csv").read_text() == "1\\n"
        assert pathlib.Path(os.environ["SLIPWAY_DATA_LINK"], "part-1.csv").read_text() == "1\\n"
        try:
            pathlib.Path({str(outside)!r}, "part-1.csv").write_text("2")
        except OSError as error:
            assert error.errno == 30, error
        else:
            raise SystemExit("it was written")
    """
    found = run(place, code, tmp_path, told=told)
    assert found.code == 0, (tmp_path / "log").read_text()


def test_run__in_a_work_tree_of_the_clone(
    place: Contained, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """evaluate-model trains the base branch's model in one, and its git directory is elsewhere."""
    toy.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    monkeypatch.chdir(tmp_path / "tree")
    code = """
        import pathlib
        folder = pathlib.Path(pathlib.Path(".git").read_text().strip().removeprefix("gitdir: "))
        assert (folder / "HEAD").is_file()
        pathlib.Path("written").write_text("yes")
    """
    found = run(place, code, tmp_path)
    assert found.code == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "tree/written").read_text() == "yes"


def test_made__what_cannot_be_had(toy: Toy, containers: Containers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.folder)
    rules = Container(image=containers.base)
    lock = toy.write("requirements.txt", "toydep==1.0\n")
    with pytest.raises(InputError, match="has no hashes, and a container is built from it"):
        contained.made(rules, containers.base, lock)
    with pytest.raises(RemoteError, match="could not be pulled"):
        contained.made(rules, f"{containers.host}/base@sha256:{'0' * 64}", None)
    monkeypatch.setenv("PATH", str(toy.temp / "bin"))
    with pytest.raises(InputError, match="No builder of images is on this machine"):
        contained.made(rules, containers.base, None)


def test_protected__what_later_steps_run_cannot_be_written(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow checks Slipway out into the workspace, and on a person's machine our environments lie there."""
    from slipway.runner import environments

    monkeypatch.chdir(toy.folder)
    ours = toy.folder / ".slipway-source"
    monkeypatch.setattr(environments, "REPOSITORY", ours)
    monkeypatch.setenv("SLIPWAY_CACHE", str(toy.folder / ".slipway"))
    for each in (ours, toy.folder / ".slipway/environments"):
        each.mkdir(parents=True)
    found = contained.protected(repository.top(), [toy.folder])
    assert found == [toy.folder / ".git", ours, toy.folder / ".slipway/environments"]
    assert contained.outermost([toy.folder / "a", toy.folder, tmp_path / "b", tmp_path / "b"]) == [
        toy.folder,
        tmp_path / "b",
    ]


# What is logged without a network


def test_carry__all_that_a_run_logged(toy: Toy, tmp_path: Path) -> None:
    team = toy.registry()
    (tmp_path / "own").mkdir()
    uri = f"sqlite:///{tmp_path}/own/mlflow.db"
    with default_store(uri):
        own = Registry(uri)
    inner = own.start_run("toy", "inner", {"mlflow.user": "inside"})
    outer = team.start_run("toy", "outer", {"kept": "yes"})
    own.log(inner, tags={"slipway.job": "none"}, parameters={"depth": "3", "shared": "inner"})
    team.log(outer, tags={}, parameters={"shared": "outer"})
    for step in range(3):
        own.client.log_metric(inner, "loss", 1 / (step + 1), timestamp=step, step=step)
    (tmp_path / "plot.txt").write_text("plot")
    own.log_file(inner, tmp_path / "plot.txt", "plots")
    own.log_model_folder(inner, save_toy(tmp_path / "model", {"x1": 1.0}), "mine")
    carry(own, inner, team, outer, tmp_path / "own", tmp_path)
    data = team.client.get_run(outer).data
    assert data.params == {"depth": "3", "shared": "outer"}
    assert (data.tags["slipway.job"], data.tags["kept"]) == ("none", "yes")
    assert "mlflow.user" not in data.tags
    history = [(each.step, each.value) for each in team.client.get_metric_history(outer, "loss")]
    assert history == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    file = team.run_file(outer, "plots/plot.txt", tmp_path / "read")
    assert file is not None and file.read_text() == "plot"
    (model,) = team.logged_models(outer)
    assert model.name == "mine"
    assert json.loads((team.download_logged(model, tmp_path / "fetched") / "weights.json").read_text())["weights"] == {
        "x1": 1.0
    }


@pytest.mark.parametrize("way", ["a link among its files", "an address of the run", "an address of a model"])
def test_carry__nothing_that_lies_elsewhere(toy: Toy, tmp_path: Path, way: str) -> None:
    """The command could write the store as it liked; it is read with the job's rights."""
    secret = tmp_path / "secret"
    (secret / "model").mkdir(parents=True)
    (secret / "model/MLmodel").write_text("flavors: {python_function: {}}")
    team, folder = toy.registry(), tmp_path / "own"
    folder.mkdir()
    uri = f"sqlite:///{folder}/mlflow.db"
    with default_store(uri):
        own = Registry(uri)
    inner, outer = own.start_run("toy", "inner", {}), team.start_run("toy", "outer", {})
    own.log_model_folder(inner, save_toy(tmp_path / "model", {"x1": 1.0}))
    if way == "a link among its files":
        own.log_file(inner, tmp_path / "model/weights.json", "files")
        (file,) = folder.rglob("files/weights.json")
        file.unlink()
        file.symlink_to(secret / "model/MLmodel")
    else:
        table, column = ("runs", "artifact_uri") if "run" in way else ("logged_models", "artifact_location")
        with sqlite3.connect(folder / "mlflow.db") as database:
            change = f"update {table} set {column} = ?"  # noqa: S608 - names of ours
            database.execute(change, (str(secret / "model"),))
    with pytest.raises(InputError, match=r"no plain file|lies elsewhere"):
        carry(own, inner, team, outer, folder, tmp_path)
    assert team.logged_models(outer) == []
    assert team.client.list_artifacts(outer) == []


def test_store__what_ended_the_command_is_said_though_nothing_can_be_carried(
    toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    team = toy.registry()
    outer = team.start_run("toy", "outer", {})

    def fail() -> None:
        with stores.store_for(team, outer, "toy", tmp_path, offline=True) as store:
            (store.folders[0] / "link").symlink_to("/etc")
            raise InputError("The program cannot be run: it is not on the PATH.")

    with pytest.raises(InputError, match="it is not on the PATH"):
        fail()
    assert "no plain file" in capfd.readouterr().err


# As whom


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (0, ["--user", "0:0", "--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"]),
        (1001, ["--user", "1001:121", "--userns", "keep-id"]),
    ],
)
def test_podman__files_belong_to_the_jobs_user(user: int, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "getgid", lambda: 0 if user == 0 else 121)
    assert engines.Podman().as_whom() == expected
