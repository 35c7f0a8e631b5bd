"""The target `kserve`: its own client over HTTP to a Kubernetes API, on which the test plays KServe's controller.

The API is a double that keeps what Kubernetes documents of custom resources, or Kubernetes' own API server (README.md).
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from lightkube import Client
from pydantic import ValidationError

import kubernetes_kit
import remote_kit
from kubernetes_kit import REVISIONS, SERVICES, ApiServer, Controller, Ingress, kubeconfig
from remote_kit import MODEL, image, servable
from slipway.policy.deployment import TargetRule
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError
from slipway.targets import percents
from slipway.targets.clients import inference_service, kserve
from slipway.targets.protocol import NotReadyError, Servable, Target
from store_doubles import HttpDouble, Said, free_port

REAL = os.environ.get("SLIPWAY_CRD_SERVER", "")
"""The program of Kubernetes' own API server for custom resources; empty for the double."""


@dataclass
class Cluster:
    """A cluster, and the target on it."""

    target: Target
    controller: Controller
    ingress: Ingress
    server: ApiServer | None
    url: str

    @property
    def shares(self) -> dict[str, float]:
        return remote_kit.shares(self.target)

    @property
    def health(self) -> dict[str, str]:
        return {each.version: each.health for each in self.target.state()}

    @property
    def service(self) -> dict[str, Any]:
        return self.controller.ask("GET", f"{SERVICES}/flights")

    def patch(self, predictor: dict[str, Any]) -> None:
        """What a person does with kubectl."""
        assert self.controller.ask("PATCH", f"{SERVICES}/flights", {"spec": {"predictor": predictor}})


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path] | None]:
    """Kubernetes' API server over etcd, with the two kinds; None where the double is used."""
    if not REAL:
        yield None
        return
    folder = tmp_path_factory.mktemp("kubernetes")
    store, peer, port = (f"http://127.0.0.1:{free_port()}" for _ in range(3))
    etcd: dict[str, object] = {"data-dir": folder / "etcd", "log-level": "error", "initial-cluster": f"default={peer}"}
    etcd |= {"listen-client-urls": store, "advertise-client-urls": store}
    etcd |= {"listen-peer-urls": peer, "initial-advertise-peer-urls": peer}
    url, authority = port.replace("http", "https"), folder / "certificates" / "apiserver.crt"
    # It looks for the services of webhooks in the cluster, where there are none.
    insecure: dict[str, Any] = {"insecure-skip-tls-verify": True}
    itself = kubeconfig(folder, url, **insecure)
    serve: dict[str, object] = {
        "etcd-servers": store,
        "bind-address": "127.0.0.1",
        "secure-port": port.rpartition(":")[2],
    }
    serve |= {"cert-dir": authority.parent, "kubeconfig": itself, "enable-priority-and-fairness": "false"}
    with ExitStack() as stack:
        for program, options in (("etcd", etcd), (REAL, serve)):
            log = stack.enter_context((folder / f"{Path(program).name}.log").open("w"))
            command = [program, *(f"--{name}={value}" for name, value in options.items())]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        session = stack.enter_context(requests.Session())
        wait_for(authority.exists, 60)
        session.verify, session.trust_env = str(authority), False
        wait_for(lambda: answers(session, f"{url}/healthz"), 60)
        for crd in kubernetes_kit.CRDS:
            session.post(f"{url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=crd, timeout=10)
        wait_for(lambda: answers(session, f"{url}{SERVICES}") and answers(session, f"{url}{REVISIONS}"), 60)
        yield url, authority


def answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=10).ok
    except requests.RequestException:
        return False


def wait_for(done: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api_server: tuple[str, Path] | None, in_this_process: None
) -> Iterator[Cluster]:
    server = None if api_server else ApiServer()
    with ExitStack() as stack:
        url, verify = (api_server[0], str(api_server[1])) if api_server else ("", True)
        if server:
            url = stack.enter_context(kubernetes_kit.api(server))
        controller = Controller(url, verify)
        if api_server:
            for kind in (SERVICES, REVISIONS):
                controller.ask("DELETE", kind)
        stack.enter_context(controller)
        ingress = Ingress(controller)
        gateway = stack.enter_context(HttpDouble(ingress.answer))
        # Without TLS no authority is needed; reading the system's would be most of a test's time.
        more: dict[str, Any] = {"insecure-skip-tls-verify": True}
        if api_server:
            more = {"certificate-authority": str(verify)}
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url, **more)))
        yield Cluster(target_of(ingress=gateway.url), controller, ingress, server, url)


def target_of(ready_seconds: float = 20, **said: Any) -> Target:
    place = {"namespace": "models", "service": "flights"}
    return remote_kit.target_of("kserve", ready_seconds, **place, **said)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, data_job: None) -> Iterator[None]:
    """The client's functions, with JSON in and out, without a process for each call."""
    made: list[Any] = []

    def client(**said: Any) -> Any:
        made.append(Client(**said))
        return made[-1]

    remote_kit.here(monkeypatch, kserve)
    monkeypatch.setattr(kserve, "Client", client)
    yield
    for each in made:
        each._client._client.close()


def test_release__first_version_canary_promotion_and_back(cluster: Cluster) -> None:
    """The whole story of two versions; the numbers are what KServe's status says."""
    target = cluster.target
    assert target.state() == ()
    assert (target.splits, target.answers, target.url) == (True, True, "")
    target.start(servable("7"))
    assert cluster.shares == {"7": 0.0}  # KServe routes to it, and nobody was told to
    assert target.answer("7", {"inputs": [1, 2]}) == [7, 14]
    target.set_traffic({"7": 1})
    assert cluster.shares == {"7": 1.0}
    assert target.url == "http://flights.models.example.com"
    target.start(servable("8"))
    assert cluster.shares == {"7": 1.0, "8": 0.0}
    assert target.answer("8", {"inputs": [1]}) == [8]
    assert target.answer("7", {"inputs": [1]}) == [7]
    target.set_traffic({"8": 0.05, "7": 0.95})
    assert cluster.shares == {"7": 0.95, "8": 0.05}
    target.set_traffic({"8": 1.0})
    assert cluster.shares == {"7": 0.0, "8": 1.0}
    target.set_traffic({"7": 1.0})  # a rollback of a promotion
    assert cluster.shares == {"7": 1.0, "8": 0.0}
    target.set_traffic({"8": 1.0})  # and a rollback of that
    assert cluster.shares == {"7": 0.0, "8": 1.0}
    target.stop("7")
    assert cluster.shares == {"8": 1.0}
    with pytest.raises(InputError, match="does not have version 7"):
        target.set_traffic({"7": 1.0})
    target.start(servable("9"))
    assert cluster.shares == {"8": 1.0, "9": 0.0}
    found = {each.version: each for each in target.state()}
    assert found["9"].identity == image("9").partition("@")[2]
    assert target.observe("9", "8") is None


def test_start__says_what_kserve_needs(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    said = cluster.service
    assert said["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Serverless",
        "serving.kserve.io/enable-tag-routing": "true",
    }
    predictor = said["spec"]["predictor"]
    (container,) = predictor.pop("containers")
    assert predictor == {
        "annotations": {
            "slipway.model": "flights",
            "slipway.version": "7",
            "slipway.model_digest": f"sha256:{7:064d}",
        },
        "canaryTrafficPercent": 0,
    }
    assert container == {
        "name": "kserve-container",
        "image": image("7"),
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": 8080}},
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def test_start__keeps_what_others_set(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    cluster.target.set_traffic({"7": 1})
    container = cluster.service["spec"]["predictor"]["containers"][0]
    mine = {
        "resources": {"limits": {"cpu": "2"}},
        "ports": [{"name": "h2c", "containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": 8080}, "initialDelaySeconds": 90, "periodSeconds": 30},
    }
    beside = {"name": "exporter", "image": "example.com/exporter:1"}
    security = {**container["securityContext"], "runAsUser": 1000, "capabilities": {"drop": ["NET_RAW"]}}
    # A container beside it may come first: which one is the model's, its name says.
    containers = [beside, {**container, **mine, "securityContext": security}]
    cluster.patch({"minReplicas": 3, "containers": containers})
    wait_for(lambda: len(cluster.controller.ask("GET", REVISIONS)["items"]) == 2 and cluster.shares == {"7": 1.0})
    cluster.target.start(servable("8"))
    after = cluster.service["spec"]["predictor"]
    assert after["minReplicas"] == 3
    assert after["containers"][0] == beside
    served = after["containers"][1]
    assert {name: served[name] for name in mine} == mine
    assert served["securityContext"] == security
    assert served["image"] == image("8")
    assert cluster.shares == {"7": 1.0, "8": 0.0}
    found = {each.version: each.identity for each in cluster.target.state()}
    assert found["8"] == image("8").partition("@")[2], "the model's container, not the one beside it"
    cluster.target.stop("8")
    again = cluster.service["spec"]["predictor"]["containers"]
    assert ([each["image"] for each in again], again[1]["readinessProbe"]) == (
        [beside["image"], image("7")],
        mine["readinessProbe"],
    )


def test_calls__can_be_repeated(cluster: Cluster) -> None:
    target = cluster.target
    for version, shares in (("7", {"7": 1.0}), ("8", {"7": 0.5, "8": 0.5})):
        for _ in range(2):
            target.start(servable(version))
        for _ in range(2):
            target.set_traffic(shares)
    made = cluster.controller.ask("GET", REVISIONS)["items"]
    assert len(made) == 2
    target.start(servable("8"))  # also what has requests
    assert cluster.shares == {"7": 0.5, "8": 0.5}
    target.set_traffic({"7": 1})
    for _ in range(2):
        target.stop("8")
    target.stop("none")
    assert cluster.shares == {"7": 1.0}


def test_start__a_version_that_never_comes_up(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    cluster.target.set_traffic({"7": 1})
    cluster.controller.broken[image("8")] = "Container failed with: no module named lightgbm"
    with pytest.raises(NotReadyError) as caught:
        target_of(0.9).start(servable("8"))
    assert caught.value.what == "Version 8 failed."
    assert "flights-predictor-00002: ExitCode1: Container failed with: no module named lightgbm" in caught.value.why
    assert (cluster.shares, cluster.health) == ({"7": 1.0, "8": 0.0}, {"7": "ready", "8": "failed"})
    with pytest.raises(NotReadyError, match="Version 8 is not ready"):
        cluster.target.set_traffic({"8": 0.1, "7": 0.9})
    cluster.target.start(servable("9"))  # it takes the place
    assert cluster.shares == {"7": 1.0, "9": 0.0}
    cluster.target.stop("9")
    assert cluster.shares == {"7": 1.0}


def test_start__a_version_that_is_late(cluster: Cluster) -> None:
    cluster.controller.late = True
    with pytest.raises(NotReadyError) as caught:
        target_of(0.5).start(servable("7"))
    assert caught.value.what == "Version 7 was not ready within 0.5 s."
    assert "PredictorReady: Revision 'flights-predictor-00001' is not ready" in caught.value.why
    assert (cluster.shares, cluster.health) == ({"7": 0.0}, {"7": "starting"})
    cluster.controller.late = False
    cluster.target.start(servable("7"))
    assert cluster.health == {"7": "ready"}


def test_start__a_failure_that_passes(cluster: Cluster) -> None:
    """A crash before the database was there, a pull that the registry refused once."""
    cluster.controller.broken[image("7")] = "Unable to pull"
    mended = threading.Timer(0.5, cluster.controller.broken.clear)
    mended.start()
    cluster.target.start(servable("7"))
    mended.join()
    assert cluster.health == {"7": "ready"}


def test_stop__a_first_version_that_was_never_released(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    cluster.target.stop("6")
    assert cluster.shares == {"7": 0.0}
    cluster.target.stop("7")
    assert cluster.target.state() == ()
    assert cluster.service == {}


def test_start__replaces_a_first_version_that_was_never_released(cluster: Cluster) -> None:
    """Else KServe would take it for the version before, and give it all requests."""
    cluster.target.start(servable("7"))
    cluster.target.start(servable("8"))
    assert cluster.shares == {"8": 0.0}
    cluster.target.set_traffic({"8": 1})
    assert cluster.shares == {"8": 1.0}


def test_set_traffic__nothing_is_to_be_served(cluster: Cluster) -> None:
    """A first release that is taken back after it had requests."""
    cluster.target.start(servable("7"))
    cluster.target.set_traffic({"7": 1})
    for _ in range(2):
        cluster.target.set_traffic({})
        assert cluster.target.state() == ()
    cluster.target.stop("7")


def test_stop__a_first_version_that_never_came_up(cluster: Cluster) -> None:
    cluster.controller.broken[image("7")] = "crashed"
    with pytest.raises(NotReadyError):
        target_of(0.6).start(servable("7"))
    cluster.target.stop("7")
    assert cluster.target.state() == ()


def test_stop__puts_the_version_before_in_the_place_of_the_canary(cluster: Cluster) -> None:
    """So that no pod of the canary is left, and no address leads to it."""
    for version in ("7", "8"):
        cluster.target.start(servable(version))
        cluster.target.set_traffic({"7": 1} if version == "7" else {"7": 0.9, "8": 0.1})
    with pytest.raises(InputError, match="Version 8 has requests"):
        cluster.target.stop("8")
    cluster.target.set_traffic({"7": 1})
    cluster.target.stop("8")
    spec = cluster.service["spec"]["predictor"]
    assert (inference_service.image_of(spec), "canaryTrafficPercent" in spec) == (image("7"), False)
    assert spec["annotations"]["slipway.version"] == "7"
    assert cluster.shares == {"7": 1.0}
    with pytest.raises(InputError, match="Version 8 has no address"):
        cluster.target.answer("8", {"inputs": [1]})
    cluster.target.start(servable("8"))
    cluster.target.set_traffic({"7": 0.75, "8": 0.25})
    assert cluster.shares == {"7": 0.75, "8": 0.25}


def test_stop__goes_on_where_a_run_was_killed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version before is asked for again, and not up yet, or up and not released as the latest."""
    for version in ("7", "8"):
        cluster.target.start(servable(version))
        cluster.target.set_traffic({"7": 1})
    for killed in ("wait_ready", "wait"):
        with monkeypatch.context() as patch:
            patch.setattr(kserve.Cluster, killed, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            cluster.controller.late = killed == "wait_ready"
            with pytest.raises(KeyboardInterrupt):
                cluster.target.stop("8")
        assert cluster.shares["7"] == 1.0
    cluster.target.stop("8")
    assert cluster.shares == {"7": 1.0}
    assert "canaryTrafficPercent" not in cluster.service["spec"]["predictor"]


def test_stop__what_a_failed_version_has_replaced(cluster: Cluster) -> None:
    """8 was taken back and not stopped; 9 came in its place and never got up."""
    for version in ("7", "8"):
        cluster.target.start(servable(version))
        cluster.target.set_traffic({"7": 1})
    cluster.controller.broken[image("9")] = "crashed"
    with pytest.raises(NotReadyError):
        target_of(0.6).start(servable("9"))
    assert cluster.shares == {"7": 1.0, "8": 0.0, "9": 0.0}
    cluster.target.stop("8")
    assert cluster.shares == {"7": 1.0, "9": 0.0}
    cluster.target.stop("9")
    assert cluster.shares == {"7": 1.0}


def test_start__the_same_version_with_another_image(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    cluster.target.set_traffic({"7": 1})
    cluster.target.start(servable("7", named=image("70")))
    assert cluster.shares == {"7": 1.0}
    cluster.target.set_traffic({"7": 1})
    (served,) = cluster.target.state()
    assert served.identity == image("70").partition("@")[2]


def test_start__no_room_for_a_third(cluster: Cluster) -> None:
    for version in ("7", "8"):
        cluster.target.start(servable(version))
        cluster.target.set_traffic({"7": 1} if version == "7" else {"7": 0.9, "8": 0.1})
    with pytest.raises(InputError, match="two versions with requests, 8 and 7"):
        cluster.target.start(servable("9"))
    assert cluster.shares == {"7": 0.9, "8": 0.1}


def test_set_traffic__whole_percents_alone(cluster: Cluster) -> None:
    for version in ("7", "8"):
        cluster.target.start(servable(version))
        cluster.target.set_traffic({version: 1})
    for shares in ({"8": 0.005, "7": 0.995}, {"8": 0.125, "7": 0.875}, {"8": 0.996, "7": 0.004}):
        with pytest.raises(InputError, match="KServe cannot give version"):
            cluster.target.set_traffic(shares)
    for shares in ({"8": 0.5}, {"8": 0.6, "7": 0.5}, {"8": 1.5, "7": -0.5}):
        with pytest.raises(InputError, match="are no split of the requests"):
            cluster.target.set_traffic(shares)
    with pytest.raises(InputError, match="does not have version 6"):
        cluster.target.set_traffic({"8": 0.5, "6": 0.5})
    assert cluster.shares == {"7": 0.0, "8": 1.0}


@pytest.mark.parametrize("percent", range(101))
def test_of_shares__every_whole_percent(percent: int) -> None:
    """Also those whose product with 100 is no whole number in binary: 0.07, 0.29, 0.57."""
    found = percents.of_shares({"8": percent / 100, "7": 1 - percent / 100}, "it")
    assert found == {name: each for name, each in (("8", percent), ("7", 100 - percent)) if each}


def test_set_traffic__somebody_else_was_there(cluster: Cluster) -> None:
    for version in ("7", "8"):
        cluster.target.start(servable(version))
        cluster.target.set_traffic({version: 1})
    cluster.target.state()
    cluster.patch({"canaryTrafficPercent": 50})
    wait_for(lambda: target_of().state()[0].share == 0.5)
    with pytest.raises(ConflictError, match="Somebody else changed"):
        cluster.target.set_traffic({"8": 0.9, "7": 0.1})
    assert {each.share for each in target_of().state()} == {0.5}
    cluster.target.state()
    cluster.target.set_traffic({"8": 0.9, "7": 0.1})
    assert cluster.shares == {"8": 0.9, "7": 0.1}


def test_patch__what_kserve_notes_is_no_conflict(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    given = {"settings": settings(), "model": MODEL, "seen": "", "ready_seconds": 5}
    ours = kserve.Cluster(given)
    service = ours.read()
    assert service
    noted = {**cluster.service, "status": {**cluster.service["status"], "observedGeneration": 41}}
    assert cluster.controller.ask("PUT", f"{SERVICES}/flights/status", noted)
    ours.patch(service, {"canaryTrafficPercent": None})
    with pytest.raises(ConflictError):
        ours.patch(service, {"canaryTrafficPercent": 3})
    assert "canaryTrafficPercent" not in cluster.service["spec"]["predictor"]
    with pytest.raises(ConflictError):
        ours.create(inference_service.predictor({}, model=MODEL, version="9", model_digest="", image=image("9")))


def settings() -> dict[str, Any]:
    return {"namespace": "models", "service": "flights", "context": None, "ingress": None}


def test_answer__in_the_words_of_the_version(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    cluster.ingress.refuses = Said(400, b'{"error_code": "BAD_REQUEST", "message": "missing inputs"}')
    with pytest.raises(GateError, match="refused a request") as caught:
        cluster.target.answer("7", {"inputs": [1]})
    assert "missing inputs" in caught.value.why
    away = [Said(503, b"no healthy upstream"), Said(405, b"a redirect made a GET of it"), Said(308, b"to https")]
    for refuses in (*away, Said(200, b"<html>"), Said(200, b'{"outputs": []}')):
        cluster.ingress.refuses = refuses
        with pytest.raises(RemoteError, match="did not answer") as unasked:
            cluster.target.answer("7", {"inputs": [1]})
        assert "ingress" in unasked.value.fix
    with pytest.raises(RemoteError, match="did not answer"):
        target_of(ingress=f"http://127.0.0.1:{free_port()}").answer("7", {"inputs": [1]})


def test_answer__of_the_version_before(cluster: Cluster) -> None:
    """It is released again: it has no requests, and no address until it is the latest once more."""
    for version in ("7", "8"):
        cluster.target.start(servable(version))
        cluster.target.set_traffic({version: 1})
    assert cluster.shares == {"7": 0.0, "8": 1.0}
    assert cluster.target.answer("7", {"inputs": [2]}) == [14]
    assert cluster.shares == {"7": 0.0, "8": 1.0}
    cluster.target.set_traffic({"7": 0.01, "8": 0.99})
    assert cluster.shares == {"7": 0.01, "8": 0.99}


def test_state__what_nobody_noted(cluster: Cluster) -> None:
    """A revision that somebody made by hand is no version of ours; it is told as what it is."""
    cluster.target.start(servable("7"))
    cluster.target.set_traffic({"7": 1})
    cluster.patch(
        {"annotations": {"slipway.version": None}, "containers": [{"name": "kserve-container", "image": "x"}]}
    )
    wait_for(lambda: cluster.shares.get("revision flights-predictor-00002") == 1.0)
    assert cluster.shares == {"7": 0.0, "revision flights-predictor-00002": 1.0}


def test_state__the_service_of_another_model(cluster: Cluster) -> None:
    cluster.target.start(servable("7"))
    other = remote_kit.target_of("kserve", 5, "prices", **settings())
    with pytest.raises(InputError, match="is of the model `flights`"):
        other.state()
    cluster.patch({"annotations": {"slipway.model": None}})
    with pytest.raises(InputError, match="is not made by Slipway"):
        cluster.target.start(servable("8"))


def test_state__a_mode_without_revisions(cluster: Cluster) -> None:
    cluster.controller.mode = "Standard"
    with pytest.raises(InputError, match="runs in the mode Standard, which has no revisions"):
        cluster.target.start(servable("7"))


def test_start__without_an_image() -> None:
    with pytest.raises(InputError, match="has no image") as caught:
        target_of().start(Servable(MODEL, "7", "sha256:0", "", Path, lambda _: Path()))
    assert "package-model" in caught.value.fix


needs_the_double = pytest.mark.skipif(bool(REAL), reason="the real API server has no tokens, rights or missing kinds")


@needs_the_double
def test_access__refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cluster.server
    cluster.server.forbidden = True
    with pytest.raises(RemoteError, match="Kubernetes refused") as caught:
        cluster.target.state()
    assert 'User "ci" cannot get' in caught.value.why
    assert "revisions.serving.knative.dev" in caught.value.fix
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, cluster.url, token="expired-token")))
    with pytest.raises(RemoteError, match="Kubernetes refused") as caught:
        cluster.target.state()
    assert "401" in caught.value.why and "expired-token" not in str(caught.value)


@needs_the_double
def test_access__kserve_is_not_installed(
    in_this_process: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with kubernetes_kit.api(ApiServer(plurals=())) as url:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url)))
        with pytest.raises(RemoteError) as caught:
            target_of().state()
    assert "KServe is installed" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "not found"),
        ("a: [", "ParserError"),
        ("- 1", "AttributeError"),
        ("contexts: []\nclusters: []\n", "No current context"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: b}}]\n"
            "clusters: [{name: b, cluster: {server: 'https://127.0.0.1'}}]\n",
            "names no user",
        ),
    ],
)
def test_access__no_usable_kubeconfig(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_this_process: None, text: str | None, why: str
) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(InputError, match="no usable access") as caught:
        target_of().state()
    assert why.lower() in caught.value.why.lower()


def test_access__a_context_that_is_not_there(cluster: Cluster) -> None:
    with pytest.raises(InputError, match="no usable access") as caught:
        target_of(context="prod").state()
    assert "Context 'prod' not found" in caught.value.why


def test_access__several_files(monkeypatch: pytest.MonkeyPatch, in_this_process: None) -> None:
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(("a", "b")))
    with pytest.raises(InputError, match="several files"):
        target_of().state()


def test_access__nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_this_process: None) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, f"http://127.0.0.1:{free_port()}")))
    with pytest.raises(RemoteError, match="did not answer"):
        target_of().state()


@needs_the_double
def test_program__as_the_stages_start_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_job: None) -> None:
    """In its own environment, with a request on its input; what it raises arrives here by its name."""
    server = ApiServer()
    with kubernetes_kit.api(server) as url, Controller(url) as controller:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, url)))
        controller.broken[image("7")] = "crashed"
        with pytest.raises(NotReadyError, match="Version 7 failed"):
            target_of(1).start(servable("7"))
        controller.broken.clear()
        target = target_of()
        target.start(servable("7"))
        target.set_traffic({"7": 1})
        (served,) = target.state()
        assert (served.version, served.share, target.url) == ("7", 1.0, "http://flights.models.example.com")


@pytest.mark.parametrize(
    "said",
    [
        {"namespace": "models"},
        {"namespace": "Models", "service": "flights"},
        {"namespace": "models", "service": "flights/x"},
        {"namespace": "models", "service": "f" * 64},
        {"namespace": "models", "service": "flights", "ingress": "gateway:80"},
        {"namespace": "models", "service": "flights", "ingress": "http://user@gateway"},
        {"namespace": "models", "service": "flights", "token": "x"},
    ],
)
def test_policy__bad_values(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TargetRule.model_validate({"kserve": said})
