"""Vertex AI's REST API on the loopback, as far as the target `vertex` uses it.

Every body is held to `SCHEMAS`: names and types as in Google's discovery document of `aiplatform` v1. An operation is
done when it has been asked for twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema

from store_doubles import Asked, Said

Json = dict[str, Any]

TEXT, WHOLE, SPLIT = {"type": "string"}, {"type": "integer"}, {"additionalProperties": {"type": "integer"}}
FIELDS: dict[str, dict[str, Any]] = {
    "UploadModelRequest": {"model": "Model", "modelId": TEXT, "parentModel": TEXT, "serviceAccount": TEXT},
    "Model": {
        **dict.fromkeys(("name", "displayName", "description", "etag", "versionId"), TEXT),
        "containerSpec": "ModelContainerSpec",
        "labels": {"additionalProperties": TEXT},
    },
    "ModelContainerSpec": {
        **dict.fromkeys(("imageUri", "predictRoute", "healthRoute", "deploymentTimeout"), TEXT),
        "ports": {"items": "Port"},
    },
    "Port": {"containerPort": WHOLE},
    "Endpoint": {
        **dict.fromkeys(("name", "displayName", "etag"), TEXT),
        "deployedModels": {"items": "DeployedModel"},
        "trafficSplit": SPLIT,
    },
    "DeployModelRequest": {"deployedModel": "DeployedModel", "trafficSplit": SPLIT},
    "UndeployModelRequest": {"deployedModelId": TEXT, "trafficSplit": SPLIT},
    "DeployedModel": {
        **dict.fromkeys(("id", "model", "modelVersionId", "displayName", "createTime", "serviceAccount"), TEXT),
        "dedicatedResources": "DedicatedResources",
    },
    "DedicatedResources": {"machineSpec": "MachineSpec", "minReplicaCount": WHOLE, "maxReplicaCount": WHOLE},
    "MachineSpec": {"machineType": TEXT, "acceleratorType": TEXT, "acceleratorCount": WHOLE},
    "GoogleLongrunningOperation": {
        "name": TEXT,
        "done": {"type": "boolean"},
        "error": "GoogleRpcStatus",
        "response": {"additionalProperties": {}},
        "metadata": {"additionalProperties": {}},
    },
    "GoogleRpcStatus": {"code": WHOLE, "message": TEXT},
    "UploadModelResponse": {"model": TEXT, "modelVersionId": TEXT},
    "DeployModelResponse": {"deployedModel": "DeployedModel"},
}
"""By the schema's name without `GoogleCloudAiplatformV1`; a text is another schema's name."""


def _schema(said: Any) -> Json:
    if isinstance(said, str):
        return {"$ref": f"#/$defs/{said}"}
    if "items" in said:
        return {"type": "array", "items": _schema(said["items"])}
    if "additionalProperties" in said:
        return {"type": "object", **said}
    return dict(said)


SCHEMAS = {
    name: {
        "type": "object",
        "properties": {key: _schema(each) for key, each in fields.items()},
        "additionalProperties": False,
    }
    for name, fields in FIELDS.items()
}
VALIDATORS = {name: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMAS}) for name in SCHEMAS}


def held(name: str, body: Json) -> Json:
    """The body, which is a message of that name. AssertionError where it is not."""
    wrong = list(VALIDATORS[name].iter_errors(body))
    assert not wrong, f"{name}: {wrong[0].json_path}: {wrong[0].message}"
    return body


def error(code: int, status: str, message: str) -> Said:
    return Said(code, json.dumps({"error": {"code": code, "status": status, "message": message}}).encode())


@dataclass
class Vertex:
    """A project in one region. broken: images whose container never becomes healthy, and what is said of them."""

    token: str = "ya29.a-token"
    endpoints: dict[str, Json] = field(default_factory=dict)
    models: dict[str, Json] = field(default_factory=dict)
    operations: dict[str, Json] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    forbidden: bool = False
    slow: bool = False
    refuses: Said | None = None
    count: int = 0
    place: str = "projects/octo-models/locations/europe-west4"
    grants: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        for each in ("100", "200"):
            name = f"{self.place}/endpoints/{each}"
            self.endpoints[name] = {"name": name, "displayName": each, "etag": "0"}

    def answer(self, asked: Asked) -> Said:
        if asked.path == "/token":
            self.grants.append(asked)
            if not self.token:
                return Said(400, b'{"error": "invalid_grant", "error_description": "Account has been deleted"}')
            said = {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}
            said |= {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
            return Said(200, json.dumps(said).encode())
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if self.forbidden:
            return error(403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.get' denied")
        assert asked.path.startswith("/v1/"), asked.path
        name, _, verb = asked.path.removeprefix("/v1/").partition(":")
        body = json.loads(asked.body) if asked.body else {}
        if verb:
            return getattr(self, verb)(name, body)  # type: ignore[no-any-return]
        if asked.method == "PATCH":
            assert asked.query == {"updateMask": "trafficSplit"}
            return self.patch(name, held("Endpoint", body))
        assert asked.method == "GET"
        if "/operations/" in name:
            return self.operation(name)
        name = name.removesuffix("@1")  # a model's version
        found = {**self.endpoints, **self.models}.get(name)
        if found is None:
            return error(404, "NOT_FOUND", f"The resource {name} is not found.")
        kind = "Endpoint" if name in self.endpoints else "Model"
        return Said(200, json.dumps(held(kind, found)).encode())

    def patch(self, name: str, body: Json) -> Said:
        endpoint = self.endpoints[name]
        if body.get("etag") and body["etag"] != endpoint["etag"]:
            return error(409, "ABORTED", "Etag mismatch")
        return self.split(endpoint, body.get("trafficSplit", {})) or Said(200, json.dumps(endpoint).encode())

    def split(self, endpoint: Json, split: Json) -> Said | None:
        known = {each["id"] for each in endpoint.get("deployedModels", [])}
        if split and (sum(split.values()) != 100 or not split.keys() <= known):
            return error(400, "INVALID_ARGUMENT", f"Traffic split {split} is not of {sorted(known)}, or not 100.")
        endpoint["trafficSplit"] = split
        self.touch(endpoint)
        return None

    def touch(self, endpoint: Json) -> None:
        self.count += 1
        endpoint["etag"] = str(self.count)

    def begin(self, scope: str, change: Any) -> Said:
        """An operation that comes to what `change` gives: a response, or an error."""
        self.count += 1
        name = f"{scope}/operations/{self.count}"
        self.operations[name] = {"name": name, "metadata": {}}
        self.waiting[name] = 2
        self.pending[name] = change
        return Said(200, json.dumps(held("GoogleLongrunningOperation", self.operations[name])).encode())

    def operation(self, name: str) -> Said:
        self.waiting[name] -= not self.slow
        if not self.waiting[name]:
            self.operations[name] |= {"done": True, **self.pending[name]()}
        return Said(200, json.dumps(held("GoogleLongrunningOperation", self.operations[name])).encode())

    def upload(self, name: str, body: Json) -> Said:
        held("UploadModelRequest", body)
        assert name == f"{self.place}/models"
        made = f"{self.place}/models/{body['modelId']}"
        if made in self.coming("models"):
            return error(409, "ALREADY_EXISTS", "The model exists.")

        self.coming("models").append(made)

        def change() -> Json:
            self.models[made] = {**body["model"], "name": made, "versionId": "1", "etag": "m"}
            return {"response": held("UploadModelResponse", {"model": made, "modelVersionId": "1"})}

        return self.begin(f"{made}", change)

    def deployModel(self, name: str, body: Json) -> Said:  # noqa: N802
        held("DeployModelRequest", body)
        endpoint, deployed = self.endpoints[name], dict(body["deployedModel"])
        assert deployed["id"].isdecimal() and len(deployed["id"]) <= 10
        if deployed["model"] not in self.models:
            return error(404, "NOT_FOUND", "The model is not found.")
        if any(each["id"] == deployed["id"] for each in self.coming(name)):
            return error(409, "ALREADY_EXISTS", "There is a DeployedModel of this id.")
        image = self.models[deployed["model"]]["containerSpec"]["imageUri"]
        moment = datetime(2026, 11, 26, tzinfo=UTC) + timedelta(seconds=self.count)
        deployed |= {"modelVersionId": "1", "createTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
        self.coming(name).append(deployed)

        def change() -> Json:
            if image in self.broken:
                self.coming(name).remove(deployed)
                return {"error": {"code": 9, "message": self.broken[image]}}
            endpoint.setdefault("deployedModels", []).append(deployed)
            split = {deployed["id"] if key == "0" else key: each for key, each in body.get("trafficSplit", {}).items()}
            assert not split or self.split(endpoint, split) is None
            self.touch(endpoint)
            return {"response": held("DeployModelResponse", {"deployedModel": deployed})}

        return self.begin(name, change)

    def coming(self, name: str) -> list[Any]:
        """What is deployed at an endpoint, or uploaded as `models`, or about to be."""
        return self.pending.setdefault(f"{name} coming", [])  # type: ignore[no-any-return]

    def undeployModel(self, name: str, body: Json) -> Said:  # noqa: N802
        held("UndeployModelRequest", body)
        endpoint, key = self.endpoints[name], body["deployedModelId"]
        if endpoint.get("trafficSplit", {}).get(key):
            return error(400, "FAILED_PRECONDITION", "The DeployedModel has traffic.")

        def change() -> Json:
            endpoint["deployedModels"] = [each for each in endpoint["deployedModels"] if each["id"] != key]
            self.coming(name)[:] = [each for each in self.coming(name) if each["id"] != key]
            self.touch(endpoint)
            return {"response": {}}

        return self.begin(name, change)

    def rawPredict(self, name: str, body: Json) -> Said:  # noqa: N802
        """The body goes to the container as it is."""
        if self.refuses:
            return self.refuses
        endpoint = self.endpoints[name]
        (key,) = (key for key, percent in endpoint.get("trafficSplit", {}).items() if percent)
        (deployed,) = (each for each in endpoint["deployedModels"] if each["id"] == key)
        version = int(self.models[deployed["model"]]["displayName"].rpartition(" ")[2])
        return Said(200, json.dumps({"predictions": [each * version for each in body["inputs"]]}).encode())


def federated(url: str, subject: Path) -> str:
    """The text of a credentials file, as google-github-actions/auth writes one: the job's own token for Google's."""
    said = {"type": "external_account", "audience": "//models", "token_url": f"{url}/token"}
    said |= {"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
    return json.dumps({**said, "credential_source": {"file": str(subject)}})
