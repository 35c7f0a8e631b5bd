"""What a model's process can reach: tried by models that try."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.policy.evaluation import Evaluation, Isolation
from slipway.prediction import isolation
from slipway.prediction.isolation import Confinement, confinement
from slipway.prediction.process import Job, Predictions, predict_all
from slipway.runner.errors import GateError, RemoteError
from test_training_toy import QUIET, assert_gone, holdout, models_python, save_toy

pytestmark = QUIET

WEIGHTS = {"x1": 1.0}
AVAILABLE = confinement(Isolation())
ON_LINUX = sys.platform == "linux"


def variants() -> list[Any]:
    """With namespaces where this machine has them, and always without."""
    return [
        pytest.param(each, id="namespaces" if each.processes else "no namespaces")
        for each in {AVAILABLE, replace(AVAILABLE, processes=False)}
    ]


@pytest.fixture(scope="module")
def python(environments_cache: Path) -> Path:
    """The interpreter of the toy's environment."""
    return models_python(environments_cache)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Ten rows."""
    path = tmp_path / "features.parquet"
    holdout(10).select("x1", "x2").write_parquet(path)
    return path


def run(
    tmp_path: Path, python: Path, features: Path, misdeed: str, confined: Confinement = AVAILABLE, seconds: float = 60
) -> Predictions:
    """The predictions of a toy model that does `misdeed` before it answers."""
    model = save_toy(tmp_path / "model", WEIGHTS, misdeed=misdeed)
    job = Job("The candidate", model, python, tmp_path / "output")
    (said,) = predict_all([job], features, "binary", timeout=seconds, confinement=confined, rows=10)
    return said


def found(tmp_path: Path, python: Path, features: Path, confined: Confinement, expressions: dict[str, str]) -> Any:
    """What each expression gives in the model's process; the class and number of the error where it raises one."""
    deed = f"""
import socket, subprocess, pathlib, signal, ctypes
def value(code):
    try:
        return eval(code, globals())
    except Exception as error:
        return f"{{type(error).__name__}} {{getattr(error, 'errno', '')}}".strip()
said = {{name: value(code) for name, code in {expressions!r}.items()}}
open("said.json", "w").write(json.dumps(said, default=str))
"""
    run(tmp_path, python, features, deed, confined)
    return json.loads((tmp_path / "output" / "said.json").read_text())


@pytest.fixture
def server() -> Iterator[int]:
    """A port of this machine that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_confinement__this_machine_has_it() -> None:
    """CI's machine must try the real limits: a test of nothing would be green."""
    assert not ON_LINUX or (AVAILABLE.network and AVAILABLE.files)


@pytest.mark.parametrize("confined", variants())
def test_isolation__no_network(
    tmp_path: Path, python: Path, features: Path, server: int, confined: Confinement
) -> None:
    if not confined.network:
        assert "network on" in confined.in_words
        return
    local = tmp_path / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(local))
        daemon.listen()
        said = found(
            tmp_path,
            python,
            features,
            confined,
            {
                "listening": f"socket.create_connection(('127.0.0.1', {server}), 5)",
                "outside": "socket.create_connection(('192.0.2.1', 80), 5)",
                "local": f"socket.socket(socket.AF_UNIX).connect({str(local)!r})",
                "io_uring": "(ctypes.CDLL(None, use_errno=True).syscall(425, 1, None), ctypes.get_errno())",
                "pair": "len(socket.socketpair())",
            },
        )
    assert said["listening"] in ("PermissionError 13", "ConnectionRefusedError 111")
    assert said["outside"] in ("PermissionError 13", "OSError 101")
    assert said["local"] == "PermissionError 13"
    assert said["io_uring"] == [-1, 38]
    assert said["pair"] == 2


def test_isolation__a_namespace_keeps_its_loopback(tmp_path: Path, python: Path, features: Path) -> None:
    if not AVAILABLE.processes:
        return
    server = "socket.create_server(('127.0.0.1', 0))"
    itself = f"(lambda s: socket.create_connection(s.getsockname(), 5) and 'connected')({server})"
    assert found(tmp_path, python, features, AVAILABLE, {"itself": itself}) == {"itself": "connected"}


def test_isolation__the_policy_can_leave_the_network_on(
    tmp_path: Path, python: Path, features: Path, server: int
) -> None:
    confined = confinement(Isolation(network="allow"))
    assert confined.in_words.startswith("network on")
    connect = f"socket.create_connection(('127.0.0.1', {server}), 5) and 'connected'"
    assert found(tmp_path, python, features, confined, {"port": connect}) == {"port": "connected"}


@pytest.mark.parametrize("confined", variants())
def test_isolation__no_file_but_its_own_and_no_secret(
    tmp_path: Path, python: Path, features: Path, confined: Confinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    secret = home / ".aws" / "credentials"
    secret.write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    names = ("GITHUB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "INPUT_GITHUB_TOKEN", "MLFLOW_TRACKING_TOKEN")
    for name in (*names, "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "SLIPWAY_CREDENTIALS", "TMPDIR"):
        monkeypatch.setenv(name, f"{name}-secret")
    # The environment of a process as it was started cannot be changed from within, so a new one stands for the stage.
    stage = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"TOKEN": "stage-secret"})
    try:
        said = found(
            tmp_path,
            python,
            features,
            confined,
            {
                "environ": "dict(os.environ)",
                "home": "os.path.expanduser('~')",
                "temporary": "__import__('tempfile').gettempdir()",
                "credentials": f"open({str(secret)!r}).read()",
                "list": f"os.listdir({str(home)!r})",
                "write": f"open({str(tmp_path / 'planted')!r}, 'w')",
                "replace": f"open({str(tmp_path / 'features.parquet')!r}, 'wb')",
                "worker": f"open({isolation.CONFINED.with_name('worker.py').as_posix()!r}, 'a')",
                "stage": f"open('/proc/{stage.pid}/environ').read()",
                "parent": f"open('/proc/{os.getpid()}/environ').read()",
                "kill": f"os.kill({stage.pid}, 9)",
            },
        )
    finally:
        alive = stage.poll() is None
        stage.kill()
        stage.communicate()
    output = str((tmp_path / "output").resolve())
    assert "secret" not in json.dumps(said["environ"])
    prefixes = ("GITHUB_", "INPUT_", "ACTIONS_", "RUNNER_", "SLIPWAY_", "AWS_")
    assert not [name for name in said["environ"] if name.startswith(prefixes)]
    assert said["home"] == f"{output}/home"
    assert said["temporary"] == f"{output}/tmp"  # noqa: S108
    if confined.files:
        refused = {name: said[name] for name in ("credentials", "list", "write", "replace", "worker")}
        assert set(refused.values()) == {"PermissionError 13"}, refused
        assert said["stage"] in ("PermissionError 13", "FileNotFoundError 2")
        assert said["parent"] in ("PermissionError 13", "FileNotFoundError 2")
        assert alive or not confined.processes


def test_isolation__further_folders_by_the_policy(tmp_path: Path, python: Path, features: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "table.txt").write_text("values")
    confined = confinement(Isolation(readable=(str(extra),)))
    expressions = {"read": f"open({str(extra / 'table.txt')!r}).read()", "write": f"open({str(extra / 'x')!r}, 'w')"}
    said = found(tmp_path, python, features, confined, expressions)
    assert said["read"] == "values"
    assert said["write"] == "PermissionError 13" or not confined.files


@pytest.mark.parametrize("confined", variants())
@pytest.mark.parametrize("leave", ["", "os.setsid()"])
def test_isolation__children_end_with_it(
    tmp_path: Path, python: Path, features: Path, confined: Confinement, leave: str
) -> None:
    """The child writes the time into a file again and again; after the model has ended, it writes no more."""
    deed = f"""
if os.fork() == 0:
    try:
        {leave or "pass"}
    except PermissionError:
        pass
    import time
    while True:
        open("alive.txt", "a").write(".")
        time.sleep(0.01)
"""
    run(tmp_path, python, features, deed, confined)
    written = tmp_path / "output" / "alive.txt"
    if not written.exists():  # it was killed before it wrote a word
        return
    size = written.stat().st_size
    time.sleep(0.2)
    assert written.stat().st_size == size or not (confined.network or not leave)


@pytest.mark.parametrize("confined", variants())
def test_isolation__a_model_that_takes_too_long_is_ended_with_its_children(
    tmp_path: Path, python: Path, features: Path, confined: Confinement
) -> None:
    deed = "os.fork(); import time; open(f'{os.getpid()}.started', 'w').write('x'); time.sleep(600)"
    with pytest.raises(GateError, match=r"The candidate did not predict the holdout within .* minutes"):
        run(tmp_path, python, features, deed, confined, seconds=8)
    if not confined.processes:  # else the numbers are those of the namespace
        for each in (tmp_path / "output").glob("*.started"):
            assert_gone(int(each.stem))


@pytest.mark.parametrize("confined", variants())
@pytest.mark.parametrize(
    ("deed", "error", "said"),
    [
        ("os.kill(os.getpid(), 9)", RemoteError, r"was ended by signal 9"),
        ("os.abort()", RemoteError, r"was ended by signal 6"),
        ("os._exit(7)", RemoteError, "broke"),
        ("os._exit(0)", GateError, "its process ended before it had predicted"),
        ("raise ValueError('no')", GateError, "cannot predict the holdout: ValueError: no"),
    ],
)
def test_isolation__how_a_process_ended_is_told(
    tmp_path: Path, python: Path, features: Path, confined: Confinement, deed: str, error: Any, said: str
) -> None:
    with pytest.raises(error, match=said):
        run(tmp_path, python, features, deed, confined)


def test_isolation__a_flood_of_words_is_not_kept(tmp_path: Path, python: Path, features: Path) -> None:
    deed = "[sys.stderr.write('x' * 1000 + '\\n') for _ in range(20_000)]; print('::error::x'); sys.exit(3)"
    with pytest.raises(GateError, match="cannot predict the holdout: SystemExit: 3") as raised:
        run(tmp_path, python, features, deed)
    assert len(str(raised.value)) < 5_000


LEAVE = """
import atexit
def leave():
    {}
    os._exit(0)
atexit.register(leave)
"""


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("os.remove('predictions-0.parquet'); os.symlink('/etc/passwd', 'predictions-0.parquet')", "no ordinary file"),
        ("open('predictions-0.parquet', 'wb').write(b'PAR1')", ""),
        ("os.remove('predictions-0.parquet')", "No such file"),
        ("open('predictions.json', 'w').write('{')", ""),
        ("open('predictions.json', 'w').write('[' * 100_000)", ""),
        ("open('predictions.json', 'w').write(json.dumps([1]))", ""),
        ("open('predictions.json', 'w').truncate(20_000_000)", "larger than 10,000,000 bytes"),
        (
            "pd.DataFrame({'prediction': ['a'] * 10}).to_parquet('predictions-0.parquet')",
            "It has the columns prediction",
        ),
        ("pd.DataFrame({'prediction': [7] * 10}).to_parquet('predictions-0.parquet')", "no position"),
        ("pd.DataFrame({'prediction': [0.5] * 10}).to_parquet('predictions-0.parquet')", "no position"),
        (
            "f = open('predictions-0.parquet', 'r+b'); f.seek(4); f.write(b'x' * 40); f.close()",
            "",
        ),
        (
            "said = json.load(open('predictions.json')); said['load_seconds'] = 10**400; "
            "json.dump(said, open('predictions.json', 'w'))",
            "too large",
        ),
        ("pd.DataFrame({'other': [0] * 10}).to_parquet('predictions-0.parquet')", "It has the columns other"),
    ],
)
def test_predictions__what_a_model_leaves_in_their_place_is_refused(
    tmp_path: Path, python: Path, features: Path, deed: str, said: str
) -> None:
    with pytest.raises(GateError, match="left no predictions that can be read") as raised:
        # A link's answer of classes, so that positions have a limit.
        run(tmp_path, python, features, LEAVE.format(f"import json, os, pandas as pd; {deed}") + "\nframe['x1'] = 0.5")
    assert said in raised.value.why


def test_confinement__a_policy_that_demands_what_is_not_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_possible", lambda _: (True, False, True))
    assert confinement(Isolation()).in_words.startswith("network on, own files only")
    with pytest.raises(GateError, match="cannot take the network from a model") as raised:
        confinement(Isolation(network="deny"))
    assert "deny_if_possible" in raised.value.fix


def test_confinement__in_words() -> None:
    words = Confinement(network=True, files=True, processes=True).in_words
    assert words == "network off, own files only, own processes only"
    words = Confinement(network=False, files=False, processes=False).in_words
    assert words == "network on, all files of the job's user, processes of the job's user visible"


@pytest.mark.parametrize("said", [{"network": True}, {"network": "off"}, {"readable": ["models"]}, {"files": True}])
def test_policy__isolation_is_strict(said: dict[str, Any]) -> None:
    whole = {"task": "binary", "holdout": "h", "target": "y", "metrics": {"accuracy": {}}, "isolation": said}
    with pytest.raises(ValueError, match="isolation"):
        Evaluation.model_validate(whole)
