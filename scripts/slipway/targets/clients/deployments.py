"""Serves versions by a deployment plugin of MLflow. Runs in the environment of the requirements that the policy names.

https://mlflow.org/docs/latest/api_reference/python_api/mlflow.deployments.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from mlflow import MlflowClient
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from slipway.runner import programs
from slipway.runner.errors import GateError, InputError, RemoteError, SlipwayError
from slipway.targets.protocol import Health, NotReadyError

SERVED = "slipway.served."
"""How the tag of the registered model begins that says which version the deployment of a name is."""

UNKNOWN = "unknown"
"""What is noted while the deployment is changed: whoever finds it after a killed run brings it about once more."""

STATUS, DELETING = "EndpointStatus", "Deleting"
STATUSES: dict[str, Health] = {
    "Creating": "starting",
    "Failed": "failed",
    "OutOfService": "failed",
    DELETING: "failed",
}
"""Of SageMaker, where an endpoint does not answer.

While it is `Updating`, `SystemUpdating` or `RollingBack` it does, and also with the mix of versions that
`UpdateRollbackFailed` leaves: what is noted then is `unknown`.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html
"""

REFUSED = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")


class Place:
    """The deployments of one name, and whoever asks for them."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.settings, self.model = given["settings"], given["model"]
        self.name, self.uri = self.settings["name"], self.settings["uri"]
        self.seconds = float(given["ready_seconds"])
        self.versions = {given.get("version", ""), *given.get("shares", ())} - {""}
        with self.talking("open the target"):
            self.client, self.registry = get_deploy_client(self.uri), MlflowClient()

    def staged(self, version: str) -> str:
        """The name of a version's own deployment."""
        return f"{self.name}-{version}"

    def found(self) -> dict[str, str]:
        """All deployments at the target by name, with SageMaker's status of each; empty where a plugin tells none.

        SageMaker's plugin tells the newest ten, by a name of its own, so ours are asked for one by one.
        """
        with self.talking("list the deployments"):
            listed = self.client.list_deployments(**self.endpoint)
            found = {str(each.get("name") or each["EndpointName"]): str(each.get(STATUS) or "") for each in listed}
            if any("name" not in each for each in listed):
                for name in {self.name, *map(self.staged, self.versions)} - found.keys():
                    if (there := self.described(name)) is not None:
                        found[name] = str(there.get(STATUS) or "")
            return found

    def described(self, name: str) -> Mapping[str, Any] | None:
        """What the plugin tells of a deployment; None where SageMaker has none of the name."""
        try:
            said = self.client.get_deployment(name, **self.endpoint)
        except MlflowException as error:
            if "Could not find" in str(error):
                return None
            raise
        return said if isinstance(said, Mapping) else {}

    @property
    def endpoint(self) -> dict[str, str]:
        """For plugins that have endpoints."""
        return {"endpoint": self.settings["endpoint"]} if self.settings["endpoint"] else {}

    @property
    def tag(self) -> str:
        """Where the registry says which version is served here: MLflow's interface has no place for it."""
        return f"{SERVED}{self.name}"

    def live(self, names: Collection[str]) -> str:
        """The version that the deployment of the name is; empty where there is none.

        What the plugin itself tells counts, where it names a registered version, and else what was noted.
        """
        if self.name not in names:
            return ""
        with self.talking("read the deployment"):
            told = str(self.client.get_deployment(self.name, **self.endpoint))
            noted = self.registry.get_registered_model(self.model).tags.get(self.tag, "")
        found = re.search(rf"models:/{re.escape(self.model)}/([\w.+-]+)", told)
        return found[1] if found else noted or UNKNOWN

    def note(self, version: str) -> None:
        """Note which version is served."""
        self.registry.set_registered_model_tag(self.model, self.tag, version)

    def made_of(self, version: str) -> dict[str, Any]:
        """What a plugin needs to make a deployment of a version."""
        return {
            "model_uri": f"models:/{self.model}/{version}",
            "flavor": self.settings["flavor"],
            "config": dict(self.settings["config"]),
            **self.endpoint,
        }

    def make(self, name: str, version: str) -> None:
        """Make a deployment of a version; of the one that has the requests it is noted which one it is."""
        if name == self.name:
            self.note(UNKNOWN)
        self.client.create_deployment(name, **self.made_of(version))
        if name == self.name:
            self.note(version)

    def clear(self, name: str) -> None:
        """Delete a deployment that has failed, and wait until it is gone: no other takes its name before."""
        if self.found().get(name) != DELETING:
            self.delete(name)
        for found in self.looks():
            if name not in found:
                return
        raise RemoteError(
            f"The deployment {name} at {self.uri} was not deleted within {self.seconds:g} s.",
            fix="Look at it in the system's own console, and run the job again.",
        )

    def wait_ready(self, name: str, version: str) -> None:
        """Wait until a deployment answers. NotReadyError where it has failed, is gone, or is late."""
        status = ""
        for found in self.looks():
            if name not in found:
                raise NotReadyError(f"Version {version} is gone from {self.uri}.", fix="Run the job again.")
            status = found[name]
            if health(status) == "ready":
                return
            if health(status) == "failed":
                break
        with self.talking("read the deployment"):
            why = str((self.described(name) or {}).get("FailureReason") or "SageMaker says nothing about it.")
        raise NotReadyError(
            f"Version {version} is not in service: the deployment {name} at {self.uri} is {status}.",
            why=why[:1_000],
            fix="Look at the endpoint's log, and at the instances and roles of `config`.",
        )

    def looks(self) -> Iterator[dict[str, str]]:
        """What is there, again and again until the time is over."""
        until = time.monotonic() + self.seconds
        while True:
            yield self.found()
            if time.monotonic() > until:
                return
            time.sleep(min(10.0, max(0.05, self.seconds / 100)))

    def delete(self, name: str) -> None:
        """Delete a deployment."""
        with self.talking("delete the deployment"):
            self.client.delete_deployment(name, **self.endpoint)

    @contextmanager
    def talking(self, doing: str) -> Iterator[None]:
        """Turn what the plugin raises into our errors: any kind of them, since plugins are anybody's."""
        try:
            yield
        except SlipwayError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:1_000]}"
            fix = "Check the target's address, its plugin in the requirements, and the credentials in the job's `env:`."
            raise RemoteError(f"The deployment plugin of {self.uri} could not {doing}.", why=why, fix=fix) from error


def state(given: dict[str, Any]) -> dict[str, Any]:
    """What is served, and what is kept ready."""
    return said(Place(given))


def start(given: dict[str, Any]) -> dict[str, Any]:
    """Make a deployment of the version's own, anew where it has failed, and wait until it answers."""
    place, version = Place(given), given["version"]
    found = place.found()
    name = place.name if place.live(found) == version else place.staged(version)
    if name in found and health(found[name]) == "failed":
        place.clear(name)
        del found[name]
    if name not in found:
        try:
            with place.talking("make the deployment"):
                place.make(name, version)
        except RemoteError as failure:
            with suppress(RemoteError):  # what it came to is no deployment of the version
                if name in place.found():
                    place.delete(name)
            raise NotReadyError(f"Version {version} was not deployed.", why=failure.why, fix=failure.fix) from failure
    place.wait_ready(name, version)
    return said(place)


def answer(given: dict[str, Any]) -> dict[str, Any]:
    """Ask the version's own deployment, or the served one where it is that."""
    place, version, request = Place(given), given["version"], given["request"]
    names = place.found()
    name = place.staged(version) if place.staged(version) in names else place.name
    if name == place.name and place.live(names) != version:
        raise InputError(f"Version {version} has no deployment at {place.uri}.", fix="Start it first.")
    with place.talking("ask the version"):
        try:
            return {"predictions": plain(place.client.predict(name, inputs_of(request), **place.endpoint))}
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            raise GateError(f"Version {version} refused a request.", why=str(error)[:2_000]) from error


def inputs_of(request: dict[str, Any]) -> Any:
    """A request of `/invocations` as plugins take it: a frame of rows, or what stands under `inputs`."""
    if "dataframe_split" in request:
        import pandas as pd

        split = request["dataframe_split"]
        return pd.DataFrame(split["data"], columns=split["columns"])
    return request["inputs"]


def plain(answer: Any) -> Any:
    """Predictions as JSON has them: plugins give a frame, an array, or a message with `predictions`."""
    if hasattr(answer, "get_predictions"):
        answer = answer.get_predictions(predictions_format="ndarray")
    if isinstance(answer, dict) and "predictions" in answer:
        answer = answer["predictions"]
    if hasattr(answer, "to_dict"):
        return answer.to_dict("records" if hasattr(answer, "columns") else "list")
    return answer.tolist() if hasattr(answer, "tolist") else answer


def set_traffic(given: dict[str, Any]) -> dict[str, Any]:
    """Let the deployment of the name be a version. Which one is noted last, so that a killed run is taken up again."""
    place = Place(given)
    found = place.found()
    wanted = [version for version, share in given["shares"].items() if share]
    live = place.live(found)
    if not wanted:
        if live:
            place.delete(place.name)
        return said(place)
    (version,) = wanted
    if live != version:
        if place.staged(version) not in found:
            raise InputError(f"Version {version} has no deployment at {place.uri}.", fix="Start it first.")
        if live and health(found[place.name]) == "failed":  # SageMaker updates only what is in service
            place.clear(place.name)
            live = ""
        with place.talking("change the deployment"):
            if live:
                place.note(UNKNOWN)
                place.client.update_deployment(place.name, **place.made_of(version))
                place.note(version)
            else:
                place.make(place.name, version)
    return said(place)


def stop(given: dict[str, Any]) -> dict[str, Any]:
    """Delete the version's own deployment."""
    place, version = Place(given), given["version"]
    names = place.found()
    if place.staged(version) in names:
        place.delete(place.staged(version))
    elif place.live(names) == version:
        raise InputError(f"Version {version} has requests, so it is not stopped.", fix="Set the traffic first.")
    return said(place)


def health(status: str) -> Health:
    """Whether what has this status answers; without one MLflow's interface has nothing that would say it."""
    return STATUSES.get(status, "ready")


def said(place: Place) -> dict[str, Any]:
    """The answer to every action."""
    found = place.found()
    live, own = place.live(found), place.staged("")
    served = {name.removeprefix(own): (0.0, name) for name in sorted(found) if name.startswith(own)}
    served |= {live: (1.0, place.name)} if live else {}
    return {
        "served": [
            {"version": version, "share": share, "health": health(found[name])}
            for version, (share, name) in served.items()
        ]
    }


ACTIONS = {"state": state, "start": start, "set_traffic": set_traffic, "answer": answer, "stop": stop}

if __name__ == "__main__":
    programs.serve(ACTIONS)
