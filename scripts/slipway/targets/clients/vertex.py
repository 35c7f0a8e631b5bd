"""Serves versions by an endpoint of Vertex AI, through its REST API. Runs in requirements/vertex.txt.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from typing import Any

import google.auth
import requests
from google.auth import exceptions
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from slipway.runner import programs
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError
from slipway.targets import percents
from slipway.targets.protocol import NotReadyError

Json = dict[str, Any]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PORT, READY_ROUTE, PREDICT_ROUTE = 8080, "/ping", "/invocations"
AGAIN = 3
"""Tries after the first, where Vertex AI is busy."""

SLACK = 60
"""Seconds beyond those of the policy, in which Vertex AI itself says that a version is late."""

SECONDS = (10, 60)
"""How long to wait for a connection, and for each answer."""

RIGHTS = "The job's account needs the role Vertex AI User, and Vertex AI's agent must be able to read the image."
ACCESS = "Log in before this step (google-github-actions/auth), and check that the runner reaches the API."
NAMED = re.compile(r"(.*) version ([A-Za-z0-9_.+-]+)")
"""What the models are called that Slipway uploads."""

FOREIGN = "model "
"""How a deployed model is shown that is none of this model's versions, before its id."""


class Endpoint:
    """One endpoint, and whoever asks for it."""

    def __init__(self, given: dict[str, Any], endpoint: str = "") -> None:
        self.settings, self.model, self.seconds = given["settings"], given["model"], float(given["ready_seconds"])
        place = f"projects/{self.settings['project']}/locations/{self.settings['location']}"
        self.place, self.name = place, f"{place}/endpoints/{endpoint or self.settings['endpoint']}"
        usual = f"https://{self.settings['location']}-aiplatform.googleapis.com/"
        # The variable by which gcloud is told of another address, such as one inside of a private network.
        self.base = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM", usual).rstrip("/") + "/v1"
        try:
            credentials, _ = google.auth.default(scopes=[SCOPE])
        except (exceptions.GoogleAuthError, OSError, ValueError) as error:
            raise InputError("There are no credentials for Google Cloud.", why=str(error)[:500], fix=ACCESS) from error
        self.session = AuthorizedSession(credentials)
        again = Retry(total=AGAIN, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=again))

    def ask(self, method: str, path: str, body: Json | None = None, known: tuple[int, ...] = ()) -> Json:
        """An answer's JSON; with `known`, also an error's. RemoteError where Vertex AI refuses or does not answer."""
        try:
            answer = self.session.request(method, f"{self.base}/{path}", json=body, timeout=SECONDS)
            said = answer.json() if answer.content else {}
        except (exceptions.RefreshError, exceptions.OAuthError) as error:
            why = str(error.args[0])[:500] if error.args else ""
            raise RemoteError("Google Cloud takes the job's credentials no longer.", why=why, fix=ACCESS) from error
        except (exceptions.GoogleAuthError, requests.RequestException, ValueError) as error:
            why = f"{type(error).__name__}: {str(error)[:500]}"
            raise RemoteError(f"Vertex AI did not answer at {self.base}.", why=why, fix=ACCESS) from error
        if answer.ok or answer.status_code in known:
            return dict(said)
        told = said.get("error", {}) if isinstance(said, dict) else {}
        why = f"{answer.status_code} {told.get('status', '')}: {told.get('message', answer.text[:500])}"
        fix = RIGHTS if answer.status_code in (401, 403) else "Check project, location and endpoint in the policy."
        raise RemoteError(f"Vertex AI refused a request about {self.name}.", why=why, fix=fix)

    def read(self) -> Json:
        """The endpoint as it is, each deployed model with its version and image."""
        found = self.ask("GET", self.name, known=(404,))
        if "error" in found:
            raise InputError(
                f"There is no endpoint {self.name}.", fix="Create it: `gcloud ai endpoints create --display-name=…`."
            )
        for each in found.get("deployedModels", []):
            version = f"@{each['modelVersionId']}" if each.get("modelVersionId") else ""
            model = self.ask("GET", f"{each['model']}{version}", known=(404,))
            each["version"] = self.version_of(model) or f"{FOREIGN}{each['model'].rpartition('/')[2]}"
            each["image"] = (model.get("containerSpec") or {}).get("imageUri", "")
        return found

    def version_of(self, model: Json) -> str:
        """The version that an uploaded model is; empty where it is none of this model's."""
        named = NAMED.fullmatch(str(model.get("displayName", "")))
        return named[2] if named and named[1] == self.model else ""

    def finish(self, operation: Json, doing: str, *, not_ready: str = "") -> Json:
        """What an operation came to. RemoteError where it failed or is late; for `not_ready` NotReadyError."""
        until = time.monotonic() + self.seconds + SLACK
        while not operation.get("done"):
            if time.monotonic() > until:
                raise self._failed(f"was not {doing} within {self.seconds:g} s", operation["name"], not_ready)
            time.sleep(pause(self.seconds))
            operation = self.ask("GET", operation["name"])
        if error := operation.get("error"):
            raise self._failed(f"was not {doing}", str(error.get("message", error)), not_ready)
        return dict(operation.get("response") or {})

    def _failed(self, how: str, why: str, not_ready: str) -> NotReadyError | RemoteError:
        if not_ready:
            fix = "Look at the container's log: `gcloud logging read resource.type=aiplatform.googleapis.com/Endpoint`."
            return NotReadyError(f"Version {not_ready} {how}.", why=f"{why[:2_000]} It has no requests.", fix=fix)
        return RemoteError(f"{self.name} {how}.", why=why[:2_000], fix="Run the job again.")

    def upload(self, given: dict[str, Any]) -> str:
        """The resource name of the version's model; uploaded where it is not there."""
        named = digest(self.model, given["version"], given["image"])
        name = f"{self.place}/models/slipway-{named[:24]}"
        if "error" not in self.ask("GET", name, known=(404,)):
            return name
        container = {
            "imageUri": given["image"],
            "ports": [{"containerPort": PORT}],
            "predictRoute": PREDICT_ROUTE,
            "healthRoute": READY_ROUTE,
            "deploymentTimeout": f"{int(self.seconds)}s",
        }
        model = {
            "displayName": f"{self.model} version {given['version']}",
            "description": f"Made by Slipway; files {given['model_digest']}",
            "containerSpec": container,
        }
        asked = {"modelId": name.rpartition("/")[2], "model": model}
        if account := self.settings["service_account"]:
            asked["serviceAccount"] = account
        operation = self.ask("POST", f"{self.place}/models:upload", asked, known=(409,))
        if "error" not in operation:
            self.finish(operation, "given the model")
            return name
        # The run before this one was killed while it waited.
        until = time.monotonic() + self.seconds
        while "error" in self.ask("GET", name, known=(404,)):
            if time.monotonic() > until:
                why = str(operation["error"].get("message", ""))
                raise self._failed(f"was not given the model within {self.seconds:g} s", why, "")
            time.sleep(pause(self.seconds))
        return name

    def deploy(self, key: str, model: str, version: str, split: Json | None = None) -> None:
        """Deploy an uploaded model; without a split it gets no requests."""
        replicas = {"minReplicaCount": self.settings["min_replicas"], "maxReplicaCount": self.settings["max_replicas"]}
        deployed: Json = {
            "id": key,
            "model": model,
            "displayName": f"{self.model} version {version}",
            "dedicatedResources": {"machineSpec": {"machineType": self.settings["machine_type"]}, **replicas},
        }
        if account := self.settings["service_account"]:
            deployed["serviceAccount"] = account
        asked = {"deployedModel": deployed, **({"trafficSplit": split} if split else {})}
        operation = self.ask("POST", f"{self.name}:deployModel", asked, known=(409,))
        if "error" not in operation:
            self.finish(operation, "deployed", not_ready=version)
            return
        # The run before this one was killed while it waited.
        until = time.monotonic() + self.seconds
        while all(each["id"] != key for each in self.read().get("deployedModels", [])):
            if time.monotonic() > until:
                why = str(operation["error"].get("message", ""))
                raise self._failed(f"was not deployed within {self.seconds:g} s", why, version)
            time.sleep(pause(self.seconds))

    def undeploy(self, key: str) -> None:
        """Take a deployed model away."""
        self.finish(self.ask("POST", f"{self.name}:undeployModel", {"deployedModelId": key}), "rid of the model")


def digest(*parts: str) -> str:
    """One name for one thing, so that a repeated call finds it."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def id_of(model: str, version: str, image: str) -> str:
    """The id of the version's deployment: ten digits, as Vertex AI wants it."""
    return str(10**9 + int(digest(model, version, image)[:12], 16) % (9 * 10**9))


def state(given: dict[str, Any]) -> dict[str, Any]:
    """Every version that is there."""
    endpoint = Endpoint(given)
    return said(endpoint, endpoint.read())


def start(given: dict[str, Any]) -> dict[str, Any]:
    """Deploy a version without requests."""
    endpoint, version = Endpoint(given), given["version"]
    key = id_of(endpoint.model, version, given["image"])
    if all(each["id"] != key for each in endpoint.read().get("deployedModels", [])):
        endpoint.deploy(key, endpoint.upload(given), version)
    return said(endpoint, endpoint.read())


def answer(given: dict[str, Any]) -> dict[str, Any]:
    """Ask the version at the trial endpoint, in the words of `/invocations`; it is deployed there where it is not."""
    endpoint, version = Endpoint(given), given["version"]
    ours = [each for each in by_age(endpoint.read()) if each["version"] == version]
    if not ours:
        raise InputError(f"Version {version} is not at {endpoint.name}.", fix="Start it first.")
    trial, newest = Endpoint(given, given["settings"]["trial_endpoint"]), ours[-1]
    found = trial.read()
    if others := foreign(found):
        raise InputError(
            f"The trial endpoint {trial.name} has {', '.join(others)}, which is no version of `{trial.model}`.",
            why="What is there is taken away before a version is tried.",
            fix="Name an endpoint in the policy that nothing else uses, or undeploy it there.",
        )
    if [each["id"] for each in found.get("deployedModels", [])] != [newest["id"]]:
        clear(trial, found)
        trial.deploy(newest["id"], newest["model"], version, {"0": 100})
    try:
        url = f"{trial.base}/{trial.name}:rawPredict"
        answered = trial.session.post(url, json=given["request"], timeout=SECONDS)
        if answered.status_code in (400, 500):
            raise GateError(f"Version {version} refused a request ({answered.status_code}).", why=answered.text[:2_000])
        answered.raise_for_status()
        return {"predictions": answered.json()["predictions"]}
    except (exceptions.GoogleAuthError, requests.RequestException, ValueError, LookupError, TypeError) as error:
        why = f"{type(error).__name__}: {str(error)[:500]}"
        raise RemoteError(f"The model server did not answer at {trial.name}.", why=why, fix=RIGHTS) from error


def foreign(endpoint: Json) -> list[str]:
    """The deployed models that are no versions of this model."""
    return [each["version"] for each in by_age(endpoint) if each["version"].startswith(FOREIGN)]


def clear(trial: Endpoint, found: Json) -> None:
    """Take away what earlier trials left; nothing where the endpoint is another's, too."""
    if foreign(found):
        return
    if found.get("trafficSplit"):
        body = {"trafficSplit": {}, "etag": found.get("etag", "")}
        trial.ask("PATCH", f"{trial.name}?updateMask=trafficSplit", body)
    for each in found.get("deployedModels", []):
        trial.undeploy(each["id"])


def set_traffic(given: dict[str, Any]) -> dict[str, Any]:
    """Set the shares at once."""
    wanted = percents.of_shares(given["shares"], "Vertex AI")
    endpoint = Endpoint(given)
    found = endpoint.read()
    if given["seen"] and given["seen"] != sight(found):
        raise changed(endpoint.name)
    newest = {each["version"]: each["id"] for each in by_age(found)}
    if missing := wanted.keys() - newest.keys():
        raise InputError(
            f"{endpoint.name} does not have version {', '.join(sorted(missing))}.",
            why=f"It has {', '.join(newest) or 'none'}.",
            fix="Start the version first.",
        )
    split = {newest[version]: percent for version, percent in wanted.items()}
    if split != {key: each for key, each in found.get("trafficSplit", {}).items() if each}:
        body = {"trafficSplit": split, "etag": found.get("etag", "")}
        answered = endpoint.ask("PATCH", f"{endpoint.name}?updateMask=trafficSplit", body, known=(409, 412))
        if "error" in answered:
            raise changed(endpoint.name)
    if other := given["settings"]["trial_endpoint"]:
        trial = Endpoint(given, other)
        clear(trial, trial.read())
    return said(endpoint, endpoint.read())


def stop(given: dict[str, Any]) -> dict[str, Any]:
    """Undeploy a version; the uploaded model stays, so that it can come back."""
    endpoint, version = Endpoint(given), given["version"]
    found = endpoint.read()
    split = found.get("trafficSplit", {})
    ours = [each["id"] for each in found.get("deployedModels", []) if each["version"] == version]
    if any(split.get(each) for each in ours):
        raise InputError(f"Version {version} has requests, so it is not stopped.", fix="Set the traffic first.")
    for each in ours:
        endpoint.undeploy(each)
    if other := given["settings"]["trial_endpoint"]:
        trial = Endpoint(given, other)
        tried = trial.read()
        if any(each["version"] == version for each in tried.get("deployedModels", [])):
            clear(trial, tried)
    return said(endpoint, endpoint.read())


def by_age(endpoint: Json) -> list[Json]:
    """The deployed models, oldest first."""
    return sorted(endpoint.get("deployedModels", []), key=lambda each: str(each.get("createTime", "")))


def sight(endpoint: Json) -> str:
    """What somebody else would have changed."""
    ids = sorted(each["id"] for each in endpoint.get("deployedModels", []))
    return digest(json.dumps([ids, {key: each for key, each in endpoint.get("trafficSplit", {}).items() if each}]))


def said(endpoint: Endpoint, found: Json) -> dict[str, Any]:
    """The answer to every action."""
    split = found.get("trafficSplit", {})
    served: dict[str, Json] = {}
    for each in by_age(found):
        before = served.get(each["version"], {"share": 0.0})
        served[each["version"]] = {
            "version": each["version"],
            "share": before["share"] + split.get(each["id"], 0) / 100,
            # Vertex AI lists a deployment once its container has answered.
            "health": "ready",
            "identity": each["image"].partition("@")[2],
        }
    url = f"{endpoint.base}/{found.get('name', endpoint.name)}:predict"
    return {"served": list(served.values()), "seen": sight(found), "url": url}


def pause(seconds: float) -> float:
    """Between two looks."""
    return min(10.0, max(0.05, seconds / 60))


def changed(shown: str) -> ConflictError:
    """Somebody else was there."""
    return ConflictError(
        f"Somebody else changed {shown} meanwhile.", fix="Run the job again: it starts from what is there now."
    )


ACTIONS = {"state": state, "start": start, "set_traffic": set_traffic, "answer": answer, "stop": stop}

if __name__ == "__main__":
    programs.serve(ACTIONS)
