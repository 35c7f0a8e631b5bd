"""Serves versions by an InferenceService of KServe, through the Kubernetes API. Runs in requirements/kserve.txt."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import yaml
from lightkube import ApiError, Client, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from slipway.runner import programs
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError, SlipwayError
from slipway.targets import percents
from slipway.targets.clients import inference_service
from slipway.targets.clients.inference_service import Json, Service
from slipway.targets.protocol import NotReadyError

SERVICES = create_namespaced_resource("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")
REVISIONS = create_namespaced_resource("serving.knative.dev", "v1", "Revision", "revisions")
LARGEST = 64 * 2**20
ANSWER_SECONDS = 60
OF_THE_WAY = (307, 308, 401, 403, 404, 405, 429, 502, 503, 504)
"""Statuses of what stands before the model server; 405 where a redirect has made a GET of the request."""

PERSISTS_SECONDS = 30.0
"""A revision that has failed for so long has failed: Knative takes the first crash or failed pull back where the next
try goes well."""

RIGHTS = (
    "The job's account needs `get`, `create`, `patch` and `delete` on `inferenceservices.serving.kserve.io`, `get` "
    "and `patch` on `revisions.serving.knative.dev` in the namespace; docs/targets-remote.md has the Role."
)
WHERE = "Check that it is the right cluster, and that KServe is installed there with Knative."
ACCESS = "Give the job a kubeconfig (KUBECONFIG), or run it in the cluster, and check that the runner reaches the API."


class Cluster:
    """One InferenceService, and whoever asks for it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.settings, self.model, self.seen = given["settings"], given["model"], given["seen"]
        self.namespace, self.name = self.settings["namespace"], self.settings["service"]
        self.shown = f"the InferenceService {self.namespace}/{self.name}"
        self.seconds = float(given["ready_seconds"])
        self.client = Client(config=configuration(self.settings["context"]), field_manager="slipway")

    def read(self) -> Service | None:
        """The service with its revisions; None where there is none. InputError where it is not ours to change."""
        document = self._get(SERVICES, self.name)
        if document is None:
            return None
        bare = Service(document, {})
        if bare.model != self.model:
            whose = f"of the model `{bare.model}`" if bare.model else "not made by Slipway"
            raise InputError(f"{self.shown} is {whose}.", fix="Name another service in the policy, or delete this one.")
        if bare.mode not in inference_service.SPLITTING:
            raise InputError(
                f"{self.shown} runs in the mode {bare.mode}, which has no revisions to split requests between.",
                fix="Install KServe with Knative, and delete the service so that it is made anew.",
            )
        found = {name: self._get(REVISIONS, name) for name in bare.names()}
        return Service(document, {name: each for name, each in found.items() if each is not None})

    def patch(self, service: Service, asked: Json, annotations: Json | None = None) -> None:
        """Ask something else of the predictor. ConflictError where somebody else has since `service` was read."""
        while True:
            metadata = {"resourceVersion": service.document["metadata"]["resourceVersion"]}
            body = {"metadata": {**metadata, **(annotations or {})}, "spec": {"predictor": asked}}
            with self.talking():
                try:
                    self.client.patch(SERVICES, self.name, body, namespace=self.namespace, patch_type=PatchType.MERGE)
                    return
                except ApiError as error:
                    if error.status.code != 409:
                        raise
            now = self.read()
            if now is None or now.asked != service.asked:
                raise changed(self.shown)
            service = now  # only KServe noted something

    def note_stopped(self, revisions: list[str]) -> None:
        """Note of revisions that they are not to come back."""
        body = {"metadata": {"annotations": {inference_service.STOPPED: "true"}}}
        for each in revisions:
            with self.talking():
                self.client.patch(REVISIONS, each, body, namespace=self.namespace, patch_type=PatchType.MERGE)

    def finish_restoring(self, version: str) -> None:
        """Once the version before is up in the place of the latest, let it have all requests as such."""
        service = self.read()
        if service is None:
            raise changed(self.shown)
        self.wait_ready(service.version)
        restored = self.read()
        if restored is None or not restored.is_restored:
            raise changed(self.shown)
        self.patch(restored, {"canaryTrafficPercent": None})
        self.wait(lambda now: now is not None and version not in now.percents(), "rid of the version")

    def delete(self) -> None:
        """Take the whole service away, and wait until it is gone."""
        with self.talking():
            self.client.delete(SERVICES, self.name, namespace=self.namespace)
        self.wait(lambda service: service is None, "taken away")

    def create(self, asked: Json) -> None:
        """Make the service."""
        document = inference_service.created(self.namespace, self.name, asked)
        with self.talking():
            try:
                self.client.create(SERVICES(**document), namespace=self.namespace)
            except ApiError as error:
                if error.status.code == 409:
                    raise changed(self.shown) from error
                raise

    def wait(self, done: Callable[[Service | None], bool], doing: str) -> None:
        """Read until it is so. RemoteError where KServe does not bring it about."""
        until = time.monotonic() + self.seconds
        while not done(service := self.read()):
            if time.monotonic() > until:
                why = service.trouble() if service else ""
                raise RemoteError(f"{self.shown} was not {doing} within {self.seconds:g} s.", why=why, fix=again())
            time.sleep(pause(self.seconds))

    def wait_ready(self, version: str) -> None:
        """Read until the version that is asked for answers. NotReadyError where it has failed, or is late."""
        began, failed = time.monotonic(), None
        while True:
            service = self.read()
            if service is None or service.version != version:
                raise changed(self.shown)
            if service.is_ready:
                return
            now = time.monotonic()
            failed = (failed or now) if service.newest and service.health(service.newest) == "failed" else None
            if failed and now - failed > min(PERSISTS_SECONDS, self.seconds / 3):
                raise not_ready(version, "failed", service.trouble())
            if now - began > self.seconds:
                raise not_ready(version, f"was not ready within {self.seconds:g} s", service.trouble())
            time.sleep(pause(self.seconds))

    def _get(self, kind: Any, name: str) -> Json | None:
        with self.talking():
            try:
                return dict(self.client.get(kind, name, namespace=self.namespace).to_dict())
            except ApiError as error:
                if error.status.code == 404 and error.status.reason == "NotFound":
                    return None
                raise

    @contextmanager
    def talking(self) -> Iterator[None]:
        """Turn what the client raises into our errors."""
        try:
            yield
        except SlipwayError:
            raise
        except ApiError as error:
            why = f"{error.status.code} {error.status.reason or ''}: {error.status.message or ''}"
            fix = RIGHTS if error.status.code in (401, 403) else WHERE
            raise RemoteError(f"Kubernetes refused a request about {self.shown}.", why=why, fix=fix) from error
        except httpx2.HTTPStatusError as error:
            raise RemoteError(f"Kubernetes refused a request about {self.shown}.", why=str(error), fix=WHERE) from error
        except (httpx2.HTTPError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            raise RemoteError(f"The Kubernetes API of {self.shown} did not answer.", why=why, fix=ACCESS) from error
        except (ConfigError, OSError, KeyError) as error:  # a program that gives credentials, or a file of a token
            raise no_access(error) from error


def configuration(context: str | None) -> Any:
    """The cluster and credentials: those of the kubeconfig, as kubectl would take them, or else of the pod."""
    file = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if os.pathsep in file:
        raise InputError(
            "KUBECONFIG names several files.", fix="Merge them: `kubectl config view --flatten` writes one."
        )
    try:
        if os.environ.get("KUBECONFIG") or Path(file).is_file():
            found = KubeConfig.from_file(file).get(context)
        else:
            found = KubeConfig.from_service_account().get(context)
        if found is None or found.user is None:
            raise ConfigError("The context names no user.")
    except (ConfigError, OSError, AttributeError, LookupError, TypeError, ValueError, yaml.YAMLError) as error:
        raise no_access(error) from error
    return found


def no_access(error: Exception) -> InputError:
    """Nothing says which cluster it is, or who asks."""
    why = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    return InputError("There is no usable access to a Kubernetes cluster.", why=why, fix=ACCESS)


def state(given: dict[str, Any]) -> dict[str, Any]:
    """Every version that is there."""
    return said(Cluster(given).read())


def start(given: dict[str, Any]) -> dict[str, Any]:
    """Bring a version without requests, and wait until it answers."""
    cluster, version, image = Cluster(given), given["version"], given["image"]
    wanted = {each: given[each] for each in ("version", "model_digest", "image")}
    service = cluster.read()
    if service and service.waits and service.version != version:
        cluster.delete()  # it would get all requests for want of another
        service = None
    if service is None:
        cluster.create(inference_service.predictor({}, model=cluster.model, **wanted))
    elif not is_there(service, version, image):
        require_room(service, cluster.shown)
        asked = inference_service.predictor(service.predictor, model=cluster.model, **wanted)
        cluster.patch(service, asked, {"annotations": {inference_service.TAG_ROUTING: "true"}})
    elif service.version != version:
        return said(service)
    cluster.wait_ready(version)
    return said(cluster.read())


def is_there(service: Service, version: str, image: str) -> bool:
    """Whether the version is what is asked for already, or has requests as the one before."""
    asked = service.version == version and inference_service.image_of(service.predictor) == image
    return asked or bool(service.version != version and service.address_of(version))


def require_room(service: Service, shown: str) -> None:
    """InputError where two versions share the requests; RemoteError where the new version would be given all."""
    shares = {version: percent for version, percent in service.percents().items() if percent}
    if len(shares) > 1:
        raise InputError(
            f"{shown} has two versions with requests, {' and '.join(shares)}: there is no room for a third.",
            fix="Promote the canary or roll it back first.",
        )
    rolled = str(service.status.get("latestRolledoutRevision", ""))
    if shares and service.version_of(rolled) not in shares:
        raise RemoteError(
            f"KServe has not noted yet which revision of {shown} is rolled out.",
            why="Until then it would give a new version all requests.",
            fix=again(),
        )


def set_traffic(given: dict[str, Any]) -> dict[str, Any]:
    """Set the shares, and wait until the routes are so."""
    wanted = percents.of_shares(given["shares"], "KServe")
    cluster = Cluster(given)
    service = cluster.read()
    if not wanted:  # nothing is to be served: KServe has no service without requests
        if service:
            cluster.delete()
        return said(None)
    if service is None:
        raise InputError(f"{cluster.shown} does not exist.", fix="Start a version first.")
    if cluster.seen and cluster.seen != service.asked:
        raise changed(cluster.shown)
    latest = wanted.get(service.version, 0)
    other = service.version_of(service.rolled_out) if service.rolled_out else ""
    if missing := wanted.keys() - {service.version, other}:
        raise InputError(
            f"{cluster.shown} does not have version {', '.join(sorted(missing))}.",
            why=f"It has {' and '.join(filter(None, (service.version, other)))}.",
            fix="Start the version first.",
        )
    if latest and not service.is_ready:
        raise not_ready(service.version, "is not ready", service.trouble())
    percent = None if latest == 100 else latest
    if service.predictor.get("canaryTrafficPercent") != percent:
        cluster.patch(service, {"canaryTrafficPercent": percent})

    def routed(now: Service | None) -> bool:
        return now is not None and {name: each for name, each in now.percents().items() if each} == wanted

    cluster.wait(routed, "routed as asked")
    return said(cluster.read())


def answer(given: dict[str, Any]) -> dict[str, Any]:
    """Ask one version at its own address, through the ingress that the policy names or where it leads itself."""
    cluster, version = Cluster(given), given["version"]
    service = cluster.read()
    if service and service.is_before(version) and not service.address_of(version):
        # KServe gives the version before no address of its own: it comes up a second time.
        require_room(service, cluster.shown)
        cluster.patch(service, inference_service.again(service.predictor, service.revisions[service.rolled_out]))
        cluster.wait_ready(version)
        service = cluster.read()
    address = service.address_of(version) if service else ""
    if not address:
        raise InputError(f"Version {version} has no address of its own at {cluster.shown}.", fix="Start it first.")
    base, headers = address, {"Content-Type": "application/json"}
    if cluster.settings["ingress"]:
        base, headers["Host"] = cluster.settings["ingress"], urlsplit(address).netloc
    body = json.dumps(given["request"]).encode()
    request = urllib.request.Request(f"{base.rstrip('/')}/invocations", body, headers)  # noqa: S310 - http and https
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answered:  # noqa: S310 - as above
            return {"predictions": json.loads(answered.read(LARGEST))["predictions"]}
    except urllib.error.HTTPError as error:
        told = error.read(4_000).decode(errors="replace")
        if error.code in OF_THE_WAY:
            raise unasked(base, f"It answered {error.code}: {told[:500]}") from error
        raise GateError(f"Version {version} refused a request ({error.code}).", why=told[:2_000]) from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise unasked(base, f"{type(error).__name__}: {error}") from error


def stop(given: dict[str, Any]) -> dict[str, Any]:
    """Take a version away: the latest by putting the one before in its place.

    Knative ends the pods of a revision that has no requests; of the one before the latest it is noted that it is not to
    come back.
    """
    cluster, version = Cluster(given), given["version"]
    service = cluster.read()
    there = service is not None and any(each["version"] == version for each in service.served())
    if service is None or not (there or (service.is_restored and not service.waits)):
        return said(service)
    if service.waits and there:
        cluster.delete()
        return said(None)
    if service.percents().get(version):
        raise InputError(f"Version {version} has requests, so it is not stopped.", fix="Set the traffic first.")
    if service.version == version:
        kept = service.revisions.get(str(service.status.get("latestRolledoutRevision", "")))
        if kept is None:
            cluster.delete()  # nothing was ever rolled out here
            return said(None)
        cluster.patch(service, inference_service.again(service.predictor, kept))
    elif not service.is_restored:
        cluster.note_stopped(service.revisions_of(version))
        return said(cluster.read())
    cluster.finish_restoring(version)
    return said(cluster.read())


def said(service: Service | None) -> dict[str, Any]:
    """The answer to every action."""
    if service is None:
        return {"served": [], "seen": "", "url": ""}
    return {"served": service.served(), "seen": service.asked, "url": service.url}


def pause(seconds: float) -> float:
    """Between two looks; shorter where little time is given."""
    return min(2.0, max(0.05, seconds / 100))


def again() -> str:
    """What helps where a controller is late."""
    return "Look at the controller's log (`kubectl logs` in the namespace kserve), and run the job again."


def changed(shown: str) -> ConflictError:
    """Somebody else was there."""
    return ConflictError(
        f"Somebody else changed {shown} meanwhile.", fix="Run the job again: it starts from what is there now."
    )


def not_ready(version: str, how: str, why: str) -> NotReadyError:
    """It does not come up."""
    return NotReadyError(
        f"Version {version} {how}.", why=f"{why} It has no requests.", fix="Look at its pods: `kubectl describe pod`."
    )


def unasked(base: str, why: str) -> RemoteError:
    """The way to the version does not lead there."""
    return RemoteError(
        f"The model server did not answer at {base}.",
        why=why,
        fix="Set `ingress` in the policy to the cluster's gateway, and check that the runner reaches it.",
    )


ACTIONS = {"state": state, "start": start, "set_traffic": set_traffic, "answer": answer, "stop": stop}

if __name__ == "__main__":
    programs.serve(ACTIONS)
