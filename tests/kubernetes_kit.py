"""A Kubernetes API for the tests of the target `kserve`, and what plays KServe's controller on it.

`ApiServer` keeps custom resources as Kubernetes documents it: resource versions, generations, merge patches, a status
of its own, and the schemas of tests/kubernetes. It runs no controller; neither does the real API server
that can take its place.

`Controller` does what KServe's and Knative's controllers do with an InferenceService in the mode of Knative: a revision
for each change of the template, routes to the latest that is ready and to the last that had all requests, and a
status that says so: https://github.com/kserve/kserve/tree/master/docs/samples/v1beta1/rollout
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import requests
import yaml

from store_doubles import Asked, HttpDouble, Said

Json = dict[str, Any]
CRDS = [yaml.safe_load(file.read_text()) for file in sorted(Path(__file__).with_name("kubernetes").glob("*.yaml"))]
SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
REVISIONS = "/apis/serving.knative.dev/v1/namespaces/models/revisions"
TOKEN = "a-token-of-the-cluster"


def strict(schema: Json) -> Json:
    """The schema as JSON Schema that refuses fields it does not name."""
    made = {
        key: value for key, value in schema.items() if not key.startswith("x-") and key not in ("format", "default")
    }
    if "properties" in schema:
        made["properties"] = {name: strict(each) for name, each in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = strict(schema[key])
    return made


def schema_of(crd: Json) -> Json:
    made = strict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    made["properties"]["metadata"] = {"type": "object"}
    return made


SCHEMAS = {crd["spec"]["names"]["plural"]: jsonschema.Draft202012Validator(schema_of(crd)) for crd in CRDS}
KINDS = {crd["spec"]["names"]["plural"]: crd["spec"]["names"]["kind"] for crd in CRDS}


def merged(before: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    found = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


@dataclass
class ApiServer:
    """`answer` is what a server on the loopback says. plurals: the kinds that are installed."""

    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    plurals: tuple[str, ...] = tuple(SCHEMAS)
    token: str = TOKEN
    forbidden: bool = False
    count: int = 0
    lock: Any = field(default_factory=threading.RLock)

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized", "Unauthorized")
        parts = asked.path.strip("/").split("/")
        group, _, _, namespace, plural = parts[1:6]
        if plural not in self.plurals:
            return Said(404, b"404 page not found\n", {"Content-Type": "text/plain"})
        name, part = [*parts[6:], "", ""][:2]
        if self.forbidden and not asked.headers.get("user-agent", "").startswith("python-requests"):
            message = f'{plural}.{group} "{name}" is forbidden: User "ci" cannot {asked.method.lower()} resource'
            return status(403, "Forbidden", message)
        assert (group, namespace) in {("serving.kserve.io", "models"), ("serving.knative.dev", "models")}
        with self.lock:
            return self.handle(asked, plural, name, part)

    def handle(self, asked: Asked, plural: str, name: str, part: str) -> Said:
        found = self.objects.get((plural, name))
        body = json.loads(asked.body) if asked.body else {}
        if asked.method == "GET" and not name:
            listed = [copy.deepcopy(each) for (kind, _), each in self.objects.items() if kind == plural]
            return Said(200, json.dumps({"items": listed}).encode())
        if asked.method == "POST":
            if self.objects.get((plural, body["metadata"]["name"])):
                return status(409, "AlreadyExists", f'{plural} "{name}" already exists')
            return self.keep(plural, None, {key: value for key, value in body.items() if key != "status"}, 201)
        if found is None:
            return status(404, "NotFound", f'{plural} "{name}" not found', kind=plural, name=name)
        if asked.method == "DELETE":
            del self.objects[plural, name]
            return Said(200, json.dumps({"kind": "Status", "status": "Success"}).encode())
        if asked.method == "GET":
            return Said(200, json.dumps(found).encode())
        expected = body.get("metadata", {}).get("resourceVersion")
        if expected and expected != found["metadata"]["resourceVersion"]:
            return status(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{name}": it has been modified')
        if asked.method == "PATCH":
            assert asked.headers["content-type"] == "application/merge-patch+json", asked.headers
            body = merged(found, body)
        if part == "status":
            return self.keep(plural, found, {**found, "status": body.get("status", {})}, 200)
        rest = {key: value for key, value in body.items() if key != "status"}
        return self.keep(plural, found, {**rest, **({"status": found["status"]} if "status" in found else {})}, 200)

    def keep(self, plural: str, before: Json | None, after: Json, code: int) -> Said:
        try:
            SCHEMAS[plural].validate(after)
        except jsonschema.ValidationError as error:
            name = after["metadata"]["name"]
            message = f'{KINDS[plural]} "{name}" is invalid: {error.json_path}: {error.message}'
            return status(422, "Invalid", message)
        after = copy.deepcopy(after)
        self.count += 1
        same = before is not None and before["spec"] == after["spec"]
        generation = before["metadata"]["generation"] + (not same) if before else 1
        after["metadata"] |= {"resourceVersion": str(self.count), "generation": generation}
        self.objects[plural, after["metadata"]["name"]] = after
        return Said(code, json.dumps(after).encode())


def status(code: int, reason: str, message: str, **details: str) -> Said:
    said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    said |= {"message": message, "reason": reason, "code": code, "details": details}  # type: ignore[dict-item]
    return Said(code, json.dumps(said).encode(), {"Content-Type": "application/json"})


@dataclass
class Controller:
    """What plays KServe and Knative. broken: why an image never becomes ready. late: nothing is ready yet."""

    url: str
    verify: Any = True
    broken: dict[str, str] = field(default_factory=dict)
    late: bool = False
    mode: str = "Serverless"
    error: list[BaseException] = field(default_factory=list)
    _templates: dict[str, list[tuple[str, Json]]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)
    _seen: dict[str, Any] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"
        self._session.verify, self._session.trust_env = self.verify, False

    def __enter__(self) -> Controller:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._session.close()
        if self.error:
            raise self.error[0]

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                for service in self.ask("GET", SERVICES)["items"]:
                    self.reconcile(service)
                time.sleep(0.01)
        except Exception as error:
            self.error.append(error)

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        sent = None if body is None else json.dumps(body)
        headers = headers or {"Content-Type": "application/json"}
        answer = self._session.request(method, f"{self.url}{path}", data=sent, headers=headers, timeout=10)
        if answer.status_code in (404, 409):
            return {}
        assert answer.ok, answer.text
        return dict(answer.json())

    def reconcile(self, service: Json) -> None:
        """One round of both controllers for a service."""
        name, spec = service["metadata"]["name"], service["spec"]["predictor"]
        sight = (service["metadata"]["resourceVersion"], self.late, dict(self.broken), len(self._ready))
        if self._seen.get(name) == sight:
            return
        before = copy.deepcopy(service.get("status") or {})
        state = copy.deepcopy((before.get("components") or {}).get("predictor") or {})
        if not state:
            self._templates.pop(name, None)  # another service of the same name
        created = self.revise(name, spec)
        ready = [each for each in created if self.settle(*each)]
        latest = ready[-1][0] if ready else ""
        routes = self.routes(name, spec, state.get("latestRolledoutRevision", ""), latest)
        state |= self.rolled(state, created[-1][0], latest, routes)
        state |= {
            "latestCreatedRevision": created[-1][0],
            "traffic": routes,
            "url": f"http://{name}.models.example.com",
        }
        up = bool(latest) and latest == created[-1][0]
        message = "" if up else f"Revision {created[-1][0]!r} is not ready"
        condition = {"type": "PredictorReady", "status": "True" if up else "Unknown", "message": message}
        after = {
            "conditions": [condition],
            "components": {"predictor": {key: value for key, value in state.items() if value not in ("", [])}},
            "deploymentMode": self.mode,
            **({"url": f"http://{name}.models.example.com"} if latest else {}),
        }
        if after == before:
            self._seen[name] = sight
        else:
            self.ask("PUT", f"{SERVICES}/{name}/status", {**service, "status": after})

    def revise(self, name: str, spec: Json) -> list[tuple[str, Json]]:
        """The revisions, with one more where the template is another."""
        template = {key: value for key, value in spec.items() if key != "canaryTrafficPercent"}
        known = self._templates.setdefault(name, [])
        if not known or known[-1][1] != template:
            self._numbers[name] = number = self._numbers.get(name, 0) + 1
            made = f"{name}-predictor-{number:05}"
            body = {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Revision",
                "metadata": {"name": made, "namespace": "models", "annotations": spec.get("annotations", {})},
                "spec": {"containers": spec["containers"]},
            }
            self.ask("POST", REVISIONS, body)
            known.append((made, template))
        return known

    def settle(self, name: str, template: Json) -> bool:
        """Note whether a revision is ready."""
        if name in self._ready:
            return True
        image = next(each["image"] for each in template["containers"] if each["name"] == "kserve-container")
        found = self.ask("GET", f"{REVISIONS}/{name}")
        if not found:
            return False
        said = next(iter(found.get("status", {}).get("conditions", [])), {"status": "Unknown"})["status"]
        wanted = "Unknown" if self.late else ("False" if image in self.broken else "True")
        if said not in ("True", wanted):
            condition = {"type": "Ready", "status": wanted}
            if wanted == "False":
                condition |= {"reason": "ExitCode1", "message": self.broken[image]}
            status = {
                "conditions": [condition],
                "containerStatuses": [{"name": "kserve-container", "imageDigest": image}],
            }
            self.ask("PUT", f"{REVISIONS}/{name}/status", {**found, "status": status})
        if wanted == "True":
            self._ready.add(name)
        return wanted == "True"

    def routes(self, name: str, spec: Json, rolled: str, latest: str) -> list[Json]:
        if not latest:
            return []
        percent = spec.get("canaryTrafficPercent")
        host = f"{name}-predictor.models.example.com"
        if percent is None or not rolled:
            percent = 100
        tagged = {"tag": "latest", "url": f"http://latest-{host}"}
        routes: list[Json] = [{"latestRevision": True, "revisionName": latest, "percent": percent, **tagged}]
        if percent < 100:
            tagged = {"tag": "prev", "url": f"http://prev-{host}"}
            routes.append({"latestRevision": False, "revisionName": rolled, "percent": 100 - percent, **tagged})
        return routes

    def rolled(self, state: Json, created: str, latest: str, routes: list[Json]) -> Json:
        """The last revision that had all requests, and the one before; back by one where the latest gives them up."""
        rolled, previous = state.get("latestRolledoutRevision", ""), state.get("previousRolledoutRevision", "")
        percent = routes[0]["percent"] if routes else 0
        if latest and rolled != latest and percent == 100:
            rolled, previous = latest, rolled
        elif latest and rolled == latest == created and percent < 100 and previous:
            rolled = previous
        return {
            "latestReadyRevision": latest,
            "latestRolledoutRevision": rolled,
            "previousRolledoutRevision": previous,
        }


@dataclass
class Ingress:
    """The cluster's gateway: it leads to the revision whose host is asked for."""

    controller: Controller
    refuses: Said | None = None

    def answer(self, asked: Asked) -> Said:
        if self.refuses:
            return self.refuses
        assert asked.path == "/invocations" and asked.method == "POST"
        for service in self.controller.ask("GET", SERVICES)["items"]:
            for route in service["status"]["components"]["predictor"]["traffic"]:
                if route["url"] == f"http://{asked.headers['host']}":
                    revision = self.controller.ask("GET", f"{REVISIONS}/{route['revisionName']}")
                    version = int(revision["metadata"]["annotations"]["slipway.version"])
                    rows = json.loads(asked.body)["inputs"]
                    return Said(200, json.dumps({"predictions": [row * version for row in rows]}).encode())
        return Said(404)


@contextlib.contextmanager
def api(server: ApiServer) -> Iterator[str]:
    with HttpDouble(server.answer) as double:
        yield double.url


def kubeconfig(folder: Path, url: str, token: str = TOKEN, **cluster: object) -> Path:
    """A file as kubectl reads it."""
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "models",
        "contexts": [{"name": "models", "context": {"cluster": "here", "user": "ci"}}],
        "clusters": [{"name": "here", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "ci", "user": {"token": token}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(said))
    return file
