"""The target of containers: real Podman, images from a real registry, the real gateway, real HTTP."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packaging_kit import Containers, containers
from slipway.policy.deployment import TargetRule
from slipway.runner.errors import GateError, InputError, RemoteError
from slipway.targets import containers as adapter
from slipway.targets import finding
from slipway.targets.embedded import EmbeddedTarget
from slipway.targets.protocol import NotReadyError, Servable
from targets_kit import MODEL, Stand, standing

__all__ = ["containers"]
pytestmark = pytest.mark.xdist_group("containers")

SERVER = '''
"""Answers as packaging/serve.py does, and says what it sees; as its only argument says, it does otherwise."""
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

READY = "/v2/models/{}/versions/{}/ready".format(os.environ["SLIPWAY_MODEL_NAME"], os.environ["SLIPWAY_MODEL_VERSION"])
VERSION = os.environ["SLIPWAY_MODEL_VERSION"]

def writable():
    try:
        open("/written", "w").close()
        return True
    except OSError:
        return False

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *parts):
        pass

    def answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer(200 if self.path in (READY, "/ping") else 404, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if asked.get("refuse"):
            return self.answer(400, {"error": "the rows do not fit"})
        if asked.get("die"):
            os._exit(3)
        status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
        said = {"environ": dict(os.environ), "user": os.getuid(), "writable": writable(), "caps": status["CapEff"],
                "privileges": status["NoNewPrivs"], "devices": sorted(os.listdir("/sys/class/net"))}
        self.answer(200, {"predictions": [VERSION], "said": said})

if VERSION == "broken":
    sys.exit("libgomp.so.1: cannot open shared object file")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
'''


@pytest.fixture(scope="module")
def images(containers: Containers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Images of three versions, by digest, in the registry and not in the store."""
    context = tmp_path_factory.mktemp("context")
    (context / "server.py").write_text(SERVER)
    found = {}
    for version in ("7", "8", "broken"):
        (context / "Containerfile").write_text(
            f"FROM {containers.base}\nCOPY server.py /server.py\nUSER 65532:65532\n"
            f"ENV SLIPWAY_MODEL_NAME={MODEL} SLIPWAY_MODEL_VERSION={version}\n"
            'ENTRYPOINT ["python3", "-u", "/server.py"]\n'
        )
        containers.run(
            "buildah", "bud", "--quiet", "--isolation", "chroot", "--tag", f"localhost/{version}", str(context)
        )
        name = f"{containers.host}/octo/{MODEL}"
        digest = context / "digest"
        containers.run(
            "buildah", "push", "--quiet", "--digestfile", str(digest), f"localhost/{version}", f"{name}:{version}"
        )
        containers.run("buildah", "rmi", "--force", f"localhost/{version}")
        found[version] = f"{name}@{digest.read_text().strip()}"
    return found


@pytest.fixture
def machine(containers: Containers, environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(environments_cache))
    for name, value in containers.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stand(machine: None, tmp_path: Path, containers: Containers) -> Iterator[Stand]:
    with standing(tmp_path) as made:
        yield made
    for name in containers.run("podman", "ps", "--all", "--format", "{{.Names}}").split():
        containers.run("podman", "rm", "--force", name)


def target(stand: Stand, *, ready_seconds: float = 60, **said: Any) -> EmbeddedTarget:
    rule = {"folder": str(stand.folder / "target"), "port": stand.port, "engine": "podman", **said}
    found = finding.find(TargetRule.model_validate({"container": rule}), model=MODEL, ready_seconds=ready_seconds)
    assert isinstance(found, EmbeddedTarget)
    return found


def servable(version: str, image: str) -> Servable:
    return Servable(MODEL, version, f"sha256:{version}", image, Path, lambda folder: folder)


def running(containers: Containers) -> list[str]:
    return containers.run("podman", "ps", "--format", "{{.Image}}").split()


def test_container__comes_answers_shares_traffic_and_goes(
    stand: Stand, containers: Containers, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"GITHUB_TOKEN": "secret-1", "RUNNER_TRACKING_ID": "github_1", "INPUT_REGISTRY_TOKEN": "secret-2"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        target(stand).start(servable("7", images["7"]))
    (seen,) = target(stand).state()
    assert (seen.version, seen.share, seen.health, seen.identity) == ("7", 0.0, "ready", images["7"])
    for monitor in processes("conmon"):
        environ = (monitor / "environ").read_bytes()
        assert not [each for each in secrets.values() if each.encode() in environ], "it outlives the job"
    target(stand).set_traffic({"7": 1.0})
    said = stand.post().body["said"]
    assert (said["user"], said["writable"], said["caps"], said["privileges"]) == (65532, False, "0" * 16, "1")
    assert "eth0" in said["devices"] and len(said["devices"]) == 2, "a network of its own"
    assert not [name for name in said["environ"] if name in secrets or name.startswith(("GITHUB_", "INPUT_"))]
    port = published(stand, "7")
    with pytest.raises(OSError, match="refused"), socket.create_connection((own_address(), port), timeout=5):
        pass
    target(stand).start(servable("8", images["8"]))
    assert target(stand).answer("8", {}) == ["8"]
    with pytest.raises(GateError, match="Version 8 refuses a request") as caught:
        target(stand).answer("8", {"refuse": True})
    assert "the rows do not fit" in caught.value.why
    target(stand).set_traffic({"7": 0.5, "8": 0.5})
    split = Counter(stand.post(X_Slipway_Key=str(number)).body["predictions"][0] for number in range(100))
    assert 25 < split["8"] < 75 and split["7"] + split["8"] == 100
    observed = target(stand).observe("8", "7")
    assert observed and observed.canary.requests == split["8"]
    target(stand).set_traffic({"8": 1.0})
    for _ in range(2):
        target(stand).stop("7")
    assert running(containers) == [images["8"]]
    assert images["7"].partition("@")[2] not in containers.run("podman", "images", "--digests"), "nothing needs it"
    target(stand).set_traffic({})
    target(stand).stop("8")
    assert (running(containers), target(stand).state(), stand.running) == ([], (), [])


def test_container__that_breaks_is_started_again_by_the_engine_and_one_that_was_removed_by_us(
    stand: Stand, containers: Containers, images: dict[str, str]
) -> None:
    target(stand).start(servable("7", images["7"]))
    target(stand).set_traffic({"7": 1.0})
    assert stand.post({"die": True}).code == 502
    until(lambda: stand.post().code == 200)
    (name,) = containers.run("podman", "ps", "--format", "{{.Names}}").split()
    containers.run("podman", "rm", "--force", name)
    assert [(each.share, each.health) for each in target(stand).state()] == [(1.0, "failed")]
    target(stand).start(servable("7", images["7"]))
    assert stand.post().code == 200
    assert containers.run("podman", "ps", "--format", "{{.Names}}").split() == [name]


def test_container__that_never_answers_leaves_nothing(
    stand: Stand, containers: Containers, images: dict[str, str]
) -> None:
    with pytest.raises(NotReadyError) as caught:
        target(stand, ready_seconds=8).start(servable("broken", images["broken"]))
    assert "libgomp.so.1: cannot open shared object file" in caught.value.why
    assert containers.run("podman", "ps", "--all", "--quiet") == ""
    assert (target(stand).state(), stand.running) == ((), [])
    # Another version's image under this version's number never becomes ready.
    with pytest.raises(NotReadyError, match="did not answer within"):
        target(stand, ready_seconds=3).start(servable("9", images["8"]))
    assert containers.run("podman", "ps", "--all", "--quiet") == ""


def test_container__whose_last_words_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter(["", "", "no module named 'tree'"])
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(
        adapter.Containers,
        "_run",
        lambda *_, **__: subprocess.CompletedProcess([], 0, stdout="", stderr=next(told, "")),
    )
    assert adapter.Containers("podman").last_words(tmp_path) == "no module named 'tree'"
    assert adapter.Containers("podman").last_words(tmp_path) == "", "it said nothing"


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        ("", InputError, "has no image"),
        ("{host}/octo/flights:7", InputError, "is not named by its digest"),
        ("--privileged@sha256:" + "0" * 64, InputError, "is not named by its digest"),
        ("{host}/octo/flights@sha256:" + "0" * 64, RemoteError, "`podman pull` failed"),
    ],
)
def test_container__without_its_image_is_an_error(
    stand: Stand, containers: Containers, image: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        target(stand).start(servable("7", image.format(host=containers.host)))
    assert (running(containers), target(stand).state(), stand.running) == ([], (), [])


def test_engine__is_the_one_that_works(machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(tmp_path)
    assert target(stand, engine="auto").servers.name == "podman"
    found = shutil.which("podman")
    assert found
    monkeypatch.setenv("PATH", str(tmp_path))
    for engine in ("auto", "docker"):
        with pytest.raises(InputError, match=r"works? on this machine"):
            target(stand, engine=engine)
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nexec {found} "$@"\n')
    docker.chmod(0o755)
    assert target(stand, engine="auto").servers.name == "docker"


def test_folder__with_the_books_of_a_local_target_is_refused(stand: Stand) -> None:
    stand.start("7")
    for engine in ("podman", "auto"):
        with pytest.raises(InputError, match="by process behind builtin") as caught:
            target(stand, engine=engine).state()
        assert "by podman behind builtin" in caught.value.why


def test_docker__is_given_the_same_command(machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker needs a daemon, which does not run here: its command line is written down by a program in its place."""
    written = tmp_path / "calls"
    program = tmp_path / "docker"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({str(written)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "sys.exit(sys.argv[1:3] == ['image', 'inspect'])\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    image = f"ghcr.io/octo/flights@sha256:{'1' * 64}"
    adapter.Containers("docker").prepare(servable("7", image), tmp_path)(8101)
    calls = [json.loads(line) for line in written.read_text().splitlines()]
    assert calls[1] == ["pull", "--quiet", image]
    (run,) = (call for call in calls if call[0] == "run")
    assert run[-3:] == ["--publish", "127.0.0.1:8101:8080", image]
    assert not {"--http-proxy=false", "--read-only-tmpfs=false"} & set(run), "options that Docker does not have"
    assert {"--read-only", "all", "no-new-privileges", "bridge", "on-failure:5"} <= set(run)


def processes(name: str) -> list[Path]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if (each / "comm").read_text().strip() == name:
                found.append(each)
        except OSError:
            continue
    assert found
    return found


def published(stand: Stand, version: str) -> int:
    said = json.loads((stand.folder / "target" / "state.json").read_text())
    return int(said["versions"][version]["port"])


def own_address() -> str:
    """An address of this machine that is not its loopback."""
    told = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    return next(each for each in told if ":" not in each)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
