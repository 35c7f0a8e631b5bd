"""The target `vertex`: its client and google-auth itself over HTTP, to a double of Vertex AI's REST API.

Vertex AI cannot be run here. The double holds every body to the names and types that Google publishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.auth.transport import requests as transport
from pydantic import ValidationError

import remote_kit
from remote_kit import MODEL, image, servable, shares
from slipway.policy.deployment import TargetRule
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError
from slipway.targets.clients import vertex
from slipway.targets.protocol import NotReadyError, Target
from store_doubles import HttpDouble, Said, free_port
from vertex_kit import Vertex, federated

PLACE: dict[str, Any] = {"project": "octo-models", "location": "europe-west4", "endpoint": "100"}
MAIN, TRIAL = (f"projects/octo-models/locations/europe-west4/endpoints/{each}" for each in ("100", "200"))


def target_of(ready_seconds: float = 20, **said: Any) -> Target:
    return remote_kit.target_of("vertex", ready_seconds, **PLACE, **said)


@dataclass
class Cloud:
    vertex: Vertex
    double: HttpDouble
    target: Target

    @property
    def endpoint(self) -> dict[str, Any]:
        return self.vertex.endpoints[MAIN]

    def asked(self, text: str) -> int:
        return sum(text in each.path for each in self.double.log)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_job: None) -> Iterator[Cloud]:
    """A job that has logged in by its own token."""
    cloud = Vertex()
    with HttpDouble(cloud.answer) as double:
        (tmp_path / "subject").write_text("the-job's-own-token")
        file = tmp_path / "credentials.json"
        file.write_text(federated(double.url, tmp_path / "subject"))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM", f"{double.url}/")
        yield Cloud(cloud, double, target_of(trial_endpoint="200"))


@pytest.fixture
def cloud(job: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Calls run in this process."""
    made: list[Any] = []

    def session(*given: Any) -> Any:
        made.append(transport.AuthorizedSession(*given))
        return made[-1]

    remote_kit.here(monkeypatch, vertex)
    monkeypatch.setattr(vertex, "AuthorizedSession", session)
    yield job
    for each in made:
        each.close()


def test_release__first_version_canary_promotion_and_back(cloud: Cloud) -> None:
    target = cloud.target
    assert target.state() == ()
    assert (target.splits, target.answers) == (True, True)
    assert target.url == f"{cloud.double.url}/v1/{MAIN}:predict"
    target.start(servable("7"))
    assert shares(target) == {"7": 0.0}
    assert not cloud.endpoint.get("trafficSplit")
    assert target.answer("7", {"inputs": [1, 2]}) == [7, 14]
    target.set_traffic({"7": 1})
    assert shares(target) == {"7": 1.0}
    assert cloud.vertex.endpoints[TRIAL]["deployedModels"] == []
    target.start(servable("8"))
    assert target.answer("8", {"inputs": [1]}) == [8]
    assert shares(target) == {"7": 1.0, "8": 0.0}
    target.set_traffic({"7": 0.95, "8": 0.05})
    assert sorted(cloud.endpoint["trafficSplit"].values()) == [5, 95]
    assert shares(target) == {"7": 0.95, "8": 0.05}
    with pytest.raises(InputError, match="Version 8 has requests"):
        target.stop("8")
    target.set_traffic({"8": 1})
    target.set_traffic({"7": 1})  # the version before was kept
    assert shares(target) == {"7": 1.0, "8": 0.0}
    for _ in range(2):
        target.stop("8")
    assert shares(target) == {"7": 1.0}
    (served,) = target.state()
    assert (served.health, served.identity) == ("ready", image("7").partition("@")[2])
    assert target.observe("8", "7") is None
    target.set_traffic({})
    target.stop("7")
    assert target.state() == ()


def test_start__what_vertex_is_told(cloud: Cloud) -> None:
    account = "serving@octo-models.iam.gserviceaccount.com"
    more: dict[str, Any] = {"machine_type": "n2-standard-4", "min_replicas": 2, "max_replicas": 5}
    target_of(90, service_account=account, **more).start(servable("7"))
    (model,) = cloud.vertex.models.values()
    assert model["containerSpec"] == {
        "imageUri": image("7"),
        "ports": [{"containerPort": 8080}],
        "predictRoute": "/invocations",
        "healthRoute": "/ping",
        "deploymentTimeout": "90s",
    }
    assert model["displayName"] == "flights version 7"
    (deployed,) = cloud.endpoint["deployedModels"]
    assert deployed["dedicatedResources"] == {
        "machineSpec": {"machineType": "n2-standard-4"},
        "minReplicaCount": 2,
        "maxReplicaCount": 5,
    }
    assert deployed["serviceAccount"] == account


def test_calls__can_be_repeated(cloud: Cloud) -> None:
    for _ in range(2):
        cloud.target.start(servable("7"))
        cloud.target.set_traffic({"7": 1})
    assert (cloud.asked(":deployModel"), cloud.asked(":upload"), len(cloud.vertex.models)) == (1, 1, 1)
    assert sum(each.method == "PATCH" for each in cloud.double.log) == 1
    cloud.target.stop("none")
    cloud.target.start(servable("8"))
    cloud.target.stop("8")
    cloud.target.start(servable("8"))  # the uploaded model is still there
    assert cloud.asked(":upload") == 2


def test_start__a_version_that_never_comes_up(cloud: Cloud) -> None:
    cloud.target.start(servable("7"))
    cloud.target.set_traffic({"7": 1})
    cloud.vertex.broken[image("8")] = "Model server exited unexpectedly: no module named lightgbm"
    with pytest.raises(NotReadyError, match="Version 8 was not deployed") as caught:
        cloud.target.start(servable("8"))
    assert "no module named lightgbm" in caught.value.why
    assert shares(cloud.target) == {"7": 1.0}


def test_start__a_version_that_is_late(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation goes on; the next run finds what came of it and deploys nothing twice."""
    monkeypatch.setattr(vertex, "SLACK", 0)
    target, key = target_of(0.3), vertex.id_of(MODEL, "7", image("7"))
    target.start(servable("7"))
    target.stop("7")  # its model stays
    cloud.vertex.slow = True
    with pytest.raises(NotReadyError, match="Version 7 was not deployed within 0"):
        target.start(servable("7"))
    with pytest.raises(NotReadyError, match="Version 7 was not deployed within 0") as caught:
        target.start(servable("7"))
    assert "There is a DeployedModel of this id." in caught.value.why
    cloud.vertex.slow = False
    for name in [name for name in cloud.vertex.operations if not cloud.vertex.operations[name].get("done")]:
        for _ in range(2):
            cloud.vertex.operation(name)
    target.start(servable("7"))
    assert [each["id"] for each in cloud.endpoint["deployedModels"]] == [key]


def test_start__a_model_that_a_killed_run_uploads_still(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vertex, "SLACK", 0)
    target, cloud.vertex.slow = target_of(0.3), True
    whys = []
    for _ in range(2):
        with pytest.raises(RemoteError, match="was not given the model within 0") as caught:
            target.start(servable("7"))
        whys.append(caught.value.why)
    assert whys[1] == "The model exists."
    cloud.vertex.slow = False
    (name,) = cloud.vertex.operations
    for _ in range(2):
        cloud.vertex.operation(name)
    target_of().start(servable("7"))
    assert shares(target) == {"7": 0.0}


def test_answer__never_empties_an_endpoint_that_others_use(cloud: Cloud) -> None:
    prices = remote_kit.target_of("vertex", model="prices", **{**PLACE, "endpoint": "200"})
    prices.start(servable("3"))
    prices.set_traffic({"3": 1})
    cloud.target.start(servable("7"))
    with pytest.raises(InputError, match=r"has model slipway-.*, which is no version of `flights`") as caught:
        cloud.target.answer("7", {"inputs": [1]})
    assert "Name an endpoint" in caught.value.fix
    cloud.target.set_traffic({"7": 1})
    cloud.target.stop("8")
    assert shares(prices) == {"3": 1.0}


def test_start__the_same_version_with_another_image(cloud: Cloud) -> None:
    cloud.target.start(servable("7"))
    cloud.target.set_traffic({"7": 1})
    cloud.target.start(servable("7", named=image("70")))
    assert shares(cloud.target) == {"7": 1.0}
    cloud.target.set_traffic({"7": 1})
    assert cloud.endpoint["trafficSplit"] == {vertex.id_of(MODEL, "7", image("70")): 100}
    assert [each.identity for each in cloud.target.state()] == [image("70").partition("@")[2]]


def test_set_traffic__whole_percents_of_what_is_there(cloud: Cloud) -> None:
    cloud.target.start(servable("7"))
    with pytest.raises(InputError, match="Vertex AI cannot give version"):
        cloud.target.set_traffic({"7": 0.995, "8": 0.005})
    with pytest.raises(InputError, match="does not have version 8") as caught:
        cloud.target.set_traffic({"7": 0.9, "8": 0.1})
    assert "It has 7." in caught.value.why


def test_set_traffic__somebody_else_was_there(cloud: Cloud) -> None:
    for version in ("7", "8"):
        cloud.target.start(servable(version))
    cloud.target.set_traffic({"7": 1})
    eight = vertex.id_of(MODEL, "8", image("8"))
    cloud.target.state()
    cloud.vertex.split(cloud.endpoint, {eight: 100})
    with pytest.raises(ConflictError, match="Somebody else changed"):
        cloud.target.set_traffic({"7": 0.9, "8": 0.1})
    assert cloud.endpoint["trafficSplit"] == {eight: 100}


def test_set_traffic__in_the_last_moment(cloud: Cloud) -> None:
    """Between the reading and the writing of one call: the etag tells."""
    cloud.target.start(servable("7"))
    answer = cloud.vertex.patch

    def late(name: str, body: dict[str, Any]) -> Said:
        cloud.vertex.touch(cloud.endpoint)
        return answer(name, body)

    cloud.vertex.patch = late  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="Somebody else changed"):
        cloud.target.set_traffic({"7": 1})
    assert not cloud.endpoint.get("trafficSplit")


def test_state__models_of_others(cloud: Cloud) -> None:
    """They are told as what they are: whoever reads it sees that they were never released."""
    cloud.target.start(servable("7"))
    other = remote_kit.target_of("vertex", model="prices", **PLACE)
    assert list(shares(other)) == [f"model slipway-{vertex.digest(MODEL, '7', image('7'))[:24]}"]
    cloud.vertex.models.clear()
    (served,) = cloud.target.state()
    assert (served.version[:14], served.identity) == ("model slipway-", "")


def test_answer__in_the_words_of_the_version(cloud: Cloud) -> None:
    cloud.target.start(servable("7"))
    with pytest.raises(InputError, match="Version 8 is not at"):
        cloud.target.answer("8", {"inputs": [1]})
    cloud.target.answer("7", {"inputs": [1]})
    cloud.vertex.refuses = Said(400, b'{"error_code": "BAD_REQUEST", "message": "missing inputs"}')
    with pytest.raises(GateError, match="refused a request") as caught:
        cloud.target.answer("7", {"inputs": [1]})
    assert "missing inputs" in caught.value.why
    for refuses in (Said(404, b"gone"), Said(200, b"<html>"), Said(200, b"{}")):
        cloud.vertex.refuses = refuses
        with pytest.raises(RemoteError, match="did not answer"):
            cloud.target.answer("7", {"inputs": [1]})


def test_answer__needs_a_trial_endpoint(cloud: Cloud) -> None:
    target = target_of()
    assert not target.answers
    with pytest.raises(InputError, match="answers no requests"):
        target.answer("7", {"inputs": [1]})


def test_access__credentials(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cloud.target.state()
    assert cloud.vertex.grants and b"subject_token=" in cloud.vertex.grants[0].body
    cloud.vertex.forbidden = True
    with pytest.raises(RemoteError, match="Vertex AI refused") as caught:
        cloud.target.state()
    assert "PERMISSION_DENIED" in caught.value.why and "Vertex AI User" in caught.value.fix
    cloud.vertex.token = ""
    with pytest.raises(RemoteError, match="takes the job's credentials no longer"):
        cloud.target.state()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="no credentials for Google Cloud"):
        cloud.target.state()


def test_access__no_endpoint_and_no_answer(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="There is no endpoint") as caught:
        remote_kit.target_of("vertex", **{**PLACE, "endpoint": "300"}).state()
    assert "gcloud ai endpoints create" in caught.value.fix
    monkeypatch.setattr(vertex, "AGAIN", 0)
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM", f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(RemoteError, match="did not answer"):
        cloud.target.state()


def test_program__as_the_stages_start_it(job: Cloud) -> None:
    job.target.start(servable("7"))
    job.target.set_traffic({"7": 1})
    assert shares(job.target) == {"7": 1.0}
    job.vertex.broken[image("8")] = "crashed"
    with pytest.raises(NotReadyError, match="Version 8 was not deployed"):
        job.target.start(servable("8"))


@pytest.mark.parametrize(
    "said",
    [
        {"endpoint": ""},
        {"endpoint": "projects/1/endpoints/2"},
        {"location": "europe"},
        {"location": "evil.example/x"},
        {"project": "a/b"},
        {"trial_endpoint": "100"},
        {"min_replicas": 3, "max_replicas": 2},
        {"min_replicas": 0},
        {"min_replicas": True},
        {"service_account": "me"},
    ],
)
def test_policy__bad_values(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TargetRule.model_validate({"vertex": {**PLACE, **said}})
