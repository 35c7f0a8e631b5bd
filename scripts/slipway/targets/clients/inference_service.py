"""What an InferenceService says and is told: documents in, documents out. No network.

KServe splits the requests between two of Knative's revisions: the latest that is ready, which gets
`canaryTrafficPercent`, and the last that had them all, which gets the rest. Without that number the latest gets all.
A revision is never changed, so which version it is stands in its annotations.
https://github.com/kserve/kserve/tree/master/docs/samples/v1beta1/rollout
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MODEL, VERSION, DIGEST = "slipway.model", "slipway.version", "slipway.model_digest"
"""Annotations of the predictor, which KServe copies to the revision and its pods."""

STOPPED = "slipway.stopped"
"""Annotation of a revision alone: on the service it would make KServe make another revision."""

TAG_ROUTING = "serving.kserve.io/enable-tag-routing"
MODE = "serving.kserve.io/deploymentMode"
SPLITTING = ("", "Knative", "Serverless")
"""Modes with revisions, by their names of now and before; an empty one is a service that KServe has not looked at."""

BEFORE = "previousRolledoutRevision"
CONTAINER, PORT, READY_ROUTE = "kserve-container", 8080, "/ping"


@dataclass(frozen=True)
class Service:
    """An InferenceService as it is, with those of its revisions that exist, by name."""

    document: Json
    revisions: Mapping[str, Json]

    @property
    def predictor(self) -> Json:
        """What is asked of the predictor."""
        return dict(self.document["spec"].get("predictor") or {})

    @property
    def status(self) -> Json:
        """What KServe says of the predictor; empty as long as it says nothing."""
        return dict(((self.document.get("status") or {}).get("components") or {}).get("predictor") or {})

    @property
    def mode(self) -> str:
        """How KServe runs the service; empty where it has not decided."""
        asked = (self.document["metadata"].get("annotations") or {}).get(MODE, "")
        return str((self.document.get("status") or {}).get("deploymentMode") or asked)

    @property
    def model(self) -> str:
        """Whose service it is; empty where it is none of ours."""
        return str((self.predictor.get("annotations") or {}).get(MODEL, ""))

    @property
    def version(self) -> str:
        """The version that the latest revision is, or becomes."""
        return str((self.predictor.get("annotations") or {}).get(VERSION, ""))

    @property
    def asked(self) -> str:
        """Counts what is asked of the service; KServe's own notes do not count."""
        return str(self.document["metadata"].get("generation", ""))

    @property
    def traffic(self) -> list[Json]:
        """Knative's targets: revisionName, percent, latestRevision, url."""
        return list(self.status.get("traffic") or [])

    def names(self) -> set[str]:
        """The revisions that the status speaks of."""
        said = (self.status.get(key) for key in ("latestCreatedRevision", BEFORE))
        rolled = self.status.get("latestRolledoutRevision")
        return {str(each) for each in (*said, rolled, *(each.get("revisionName") for each in self.traffic)) if each}

    def version_of(self, name: str) -> str:
        """The version of a revision; one that nobody noted is called by the revision's name."""
        noted = (self.revisions.get(name, {}).get("metadata", {}).get("annotations") or {}).get(VERSION)
        return str(noted or f"revision {name}")

    def percents(self) -> dict[str, int]:
        """Version to its part of the requests, as the routes are set."""
        found: dict[str, int] = {}
        for each in self.traffic:
            version = self.version_of(str(each.get("revisionName", "")))
            found[version] = found.get(version, 0) + int(each.get("percent") or 0)
        return found

    @property
    def waits(self) -> bool:
        """Whether its only version was never given any requests: KServe routes to it since nothing else is there."""
        routed = {str(each.get("revisionName")) for each in self.traffic}
        alone = not routed or routed == self.names() == {self.newest}
        return self.predictor.get("canaryTrafficPercent") == 0 and alone and not self.status.get(BEFORE)

    @property
    def newest(self) -> str:
        """The revision of what is asked for; empty while Knative has not made it."""
        name = str(self.status.get("latestCreatedRevision", ""))
        made = self.revisions.get(name)
        same = made and self.version_of(name) == self.version and image_of(made) == image_of(self.predictor)
        return name if same else ""

    def health(self, name: str) -> str:
        """`ready`, `failed` or `starting`; `ready` also where Knative has no pod up for want of requests."""
        said = ready_condition(self.revisions.get(name, {})).get("status")
        return {"True": "ready", "False": "failed"}.get(str(said), "starting")

    @property
    def is_ready(self) -> bool:
        """Whether what is asked for has come up and has an address."""
        routed = any(each.get("revisionName") == self.newest for each in self.traffic)
        return bool(self.newest) and self.health(self.newest) == "ready" and routed

    @property
    def rolled_out(self) -> str:
        """The revision that gets what the latest does not; empty where there is none to rely on.

        Once the latest has all requests, KServe goes back to the one before it when that changes.
        """
        status = self.status
        rolled = str(status.get("latestRolledoutRevision", ""))
        ours = rolled == status.get("latestReadyRevision") == status.get("latestCreatedRevision")
        found = str(status.get(BEFORE, "")) if ours else rolled
        return found if found in self.revisions and not self.is_stopped(found) else ""

    def is_before(self, version: str) -> bool:
        """Whether KServe would go back to that version."""
        return bool(self.rolled_out) and self.version_of(self.rolled_out) == version

    def is_stopped(self, name: str) -> bool:
        """Whether a revision was noted as one that is not to come back."""
        return STOPPED in (self.revisions.get(name, {}).get("metadata", {}).get("annotations") or {})

    @property
    def is_restored(self) -> bool:
        """Whether the version that has all requests is to be the latest again, and is not given them as such yet."""
        return self.percents().get(self.version) == 100 and self.predictor.get("canaryTrafficPercent") == 0

    def revisions_of(self, version: str) -> list[str]:
        """The revisions of a version."""
        return [name for name in sorted(self.names() & self.revisions.keys()) if self.version_of(name) == version]

    def served(self) -> list[Json]:
        """Every version that is there."""
        percents = self.percents()
        named = {self.version_of(name): name for name in sorted(self.names()) if name in self.revisions}
        named |= {self.version_of(each["revisionName"]): each["revisionName"] for each in self.traffic}
        known = {version: name for version, name in named.items() if self._counts(name) or percents.get(version)}
        if self.version and self.version not in known:
            known[self.version] = self.newest
        return [
            {
                "version": version,
                "share": 0.0 if self.waits and version == self.version else percents.get(version, 0) / 100,
                "health": self.health(name),
                "identity": digest_of(self.revisions.get(name, {})),
            }
            for version, name in known.items()
        ]

    def _counts(self, name: str) -> bool:
        """Whether KServe can send requests there: what was created and replaced before it was ready is gone."""
        routed = any(each.get("revisionName") == name for each in self.traffic)
        return name in (self.newest, self.rolled_out) or (routed and not self.is_stopped(name))

    def address_of(self, version: str) -> str:
        """The address of one version alone; empty where it has none."""
        found = [each for each in self.traffic if self.version_of(str(each.get("revisionName", ""))) == version]
        tagged = [str(each["url"]) for each in found if each.get("url")]
        if tagged:
            return tagged[0]
        return str(self.status.get("url") or "") if self.percents() == {version: 100} else ""

    @property
    def url(self) -> str:
        """Where clients send their requests."""
        return str((self.document.get("status") or {}).get("url") or "")

    def trouble(self) -> str:
        """Why what is asked for is not ready, as far as Kubernetes says."""
        created = self.revisions.get(str(self.status.get("latestCreatedRevision", "")), {})
        own = ready_condition(created)
        if own.get("status") != "True" and own.get("message"):
            return f"{created['metadata']['name']}: {own.get('reason', '')}: {own['message']}"
        said = (self.document.get("status") or {}).get("conditions") or []
        wrong = [each for each in said if each.get("status") == "False"] or [
            each for each in said if each.get("status") == "Unknown" and each.get("message")
        ]
        return "; ".join(_told(each) for each in wrong[:3]) or "KServe says nothing about it."


def _told(condition: Json) -> str:
    parts = (condition.get("type"), condition.get("reason"), condition.get("message"))
    return ": ".join(str(each) for each in parts if each)


def ready_condition(document: Json) -> Json:
    """The condition `Ready`; empty where it is not said."""
    said: Iterator[Json] = iter((document.get("status") or {}).get("conditions") or [])
    return next((each for each in said if each.get("type") == "Ready"), {})


def image_of(spec: Json) -> str:
    """The model server's image of a predictor or a revision."""
    containers = spec.get("containers") or (spec.get("spec") or {}).get("containers") or []
    return str(of_model(containers).get("image", ""))


def of_model(containers: Sequence[Json]) -> Json:
    """The model server's among containers, or their statuses: by its name, or else the first; empty where none is."""
    named = (each for each in containers if each.get("name") == CONTAINER)
    return next(named, containers[0] if containers else {})


def digest_of(revision: Json) -> str:
    """The digest of the image that a revision runs: as Knative resolved it, or else as it was asked for."""
    status = of_model((revision.get("status") or {}).get("containerStatuses") or [])
    resolved = str(status.get("imageDigest") or image_of(revision))
    return resolved.partition("@")[2]


def predictor(before: Json, *, model: str, version: str, model_digest: str, image: str) -> Json:
    """What to ask of the predictor: the version's image, without any requests. All that others set is kept.

    Of the model server's container only name and image are ours; port, probe and rights are added where it has none.
    """
    containers = list(before.get("containers") or [{}])
    kept = of_model(containers)
    security = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    containers[containers.index(kept)] = {
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": READY_ROUTE, "port": PORT}},
        **kept,
        "name": CONTAINER,
        "image": image,
        "securityContext": {**security, **kept.get("securityContext", {})},
    }
    return {
        "annotations": {MODEL: model, VERSION: version, DIGEST: model_digest},
        "canaryTrafficPercent": 0,
        "containers": containers,
    }


def again(before: Json, revision: Json) -> Json:
    """What to ask of the predictor for the version of an earlier revision."""
    noted = revision["metadata"]["annotations"]
    same = {"model": noted[MODEL], "version": noted[VERSION], "model_digest": noted[DIGEST]}
    return predictor(before, image=image_of(revision), **same)


def created(namespace: str, name: str, asked: Json) -> Json:
    """A new InferenceService."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            # The older of the mode's two names: newer KServe understands both.
            "annotations": {MODE: "Serverless", TAG_ROUTING: "true"},
        },
        "spec": {"predictor": asked},
    }
