"""The target `mlflow`: MLflow's own plugin machinery, with a plugin that is installed for the test.

MLflow finds it by its entry point. It loads what the registry has at the address that it is given, answers from real
models, and lets MLflow's own exceptions out.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.deployments import interface
from mlflow.deployments.plugin_manager import DeploymentPlugins
from pydantic import ValidationError
from sklearn.linear_model import LinearRegression

import remote_kit
from remote_kit import MODEL, servable, shares
from slipway.policy.deployment import TargetRule
from slipway.runner import environments
from slipway.runner.errors import GateError, InputError, RemoteError
from slipway.targets.clients import deployments
from slipway.targets.protocol import NotReadyError, Target

pytestmark = pytest.mark.xdist_group("deployments")  # one registry for all

PLUGIN = """
import json
from pathlib import Path

import mlflow.pyfunc
from mlflow.deployments import BaseDeploymentClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE


class Client(BaseDeploymentClient):
    def __init__(self, uri):
        super().__init__(uri)
        self.file = Path(uri.partition(":")[2])

    def read(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def keep(self, name, uri):
        self.file.write_text(json.dumps({**self.read(), name: uri}))

    def create_deployment(self, name, model_uri, flavor=None, config=None, endpoint=None):
        if name in self.read():
            raise MlflowException(f"{name} exists")
        mlflow.pyfunc.load_model(model_uri)
        if config.get("fails") == model_uri:
            self.keep(name, model_uri)
            raise RuntimeError("no capacity in this region")
        self.keep(name, model_uri)
        return {"name": name, "flavor": flavor}

    def update_deployment(self, name, model_uri=None, flavor=None, config=None, endpoint=None):
        assert name in self.read()
        self.keep(name, model_uri)
        return {"flavor": flavor}

    def delete_deployment(self, name, config=None, endpoint=None):
        self.file.write_text(json.dumps({key: value for key, value in self.read().items() if key != name}))

    def list_deployments(self, endpoint=None):
        return [{"name": name} for name in self.read()]

    def get_deployment(self, name, endpoint=None):
        told = {"model_uri": self.read()[name]} if self.file.suffix == ".tells" else {}
        return {"name": name, **told}

    def predict(self, deployment_name=None, inputs=None, endpoint=None):
        if "x" not in inputs:
            raise MlflowException("missing inputs ['x']", error_code=INVALID_PARAMETER_VALUE)
        return mlflow.pyfunc.load_model(self.read()[deployment_name]).predict(inputs)


def run_local(target, name, model_uri, flavor=None, config=None):
    raise NotImplementedError


def target_help():
    return "A target of the tests."
"""


@dataclass
class Registry:
    folder: Path

    def target(self, file: str = "kept.tells", **said: Any) -> Target:
        place = {"uri": f"slipway-test:{self.folder / file}", "name": "flights", "requirements": "deploy.txt"}
        return remote_kit.target_of("mlflow", **{**place, **said})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with three versions of the model, which multiply by 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with warnings.catch_warnings(action="ignore"):
        client = mlflow.MlflowClient(uri, uri)
        client.create_registered_model(MODEL)
        for factor in (1, 2, 3):
            saved = folder / f"model-{factor}"
            fitted = LinearRegression().fit(pd.DataFrame({"x": [0.0, 1.0]}), [0.0, factor])
            mlflow.sklearn.save_model(fitted, str(saved), pip_requirements=[])
            client.create_model_version(MODEL, str(saved))
    return uri


@pytest.fixture
def registry(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_job: None) -> Registry:
    packages = tmp_path / "packages"
    information = packages / "slipway_test_plugin-1.dist-info"
    information.mkdir(parents=True)
    (packages / "slipway_test_plugin.py").write_text(PLUGIN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: slipway-test-plugin\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[mlflow.deployments]\nslipway-test = slipway_test_plugin\n")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(interface, "plugin_store", DeploymentPlugins())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)  # mlflow.set_tracking_uri would outlast the test
    remote_kit.here(monkeypatch, deployments)
    monkeypatch.setattr(environments, "for_lock", lambda _: Path("python"))
    return Registry(tmp_path)


def asked(*values: int) -> dict[str, Any]:
    return {"dataframe_split": {"columns": ["x"], "data": [[value] for value in values]}}


def version(number: str) -> Any:
    return servable(number, named="", fetch=Path)


@pytest.mark.parametrize("file", ["kept.tells", "kept.silent"])
def test_release__two_versions_and_back(registry: Registry, file: str) -> None:
    """Also with a plugin that does not say what it has deployed: then the registry's note counts."""
    target = registry.target(file)
    assert target.state() == ()
    assert (target.splits, target.answers) == (False, True)
    target.start(version("1"))
    assert shares(target) == {"1": 0.0}
    target.set_traffic({"1": 1})
    for _ in range(2):
        target.start(version("2"))
    assert shares(target) == {"1": 1.0, "2": 0.0}
    assert target.answer("2", asked(1, 5)) == pytest.approx([2, 10])
    assert target.answer("1", asked(1, 5)) == pytest.approx([1, 5])
    for _ in range(2):
        target.set_traffic({"2": 1})
    assert shares(target) == {"1": 0.0, "2": 1.0}
    target.stop("2")  # its own deployment, beside the served one
    assert target.answer("2", asked(3)) == pytest.approx([6])
    with pytest.raises(InputError, match="Version 2 has requests"):
        target.stop("2")
    target.set_traffic({"1": 1})
    assert shares(target) == {"1": 1.0}
    target.set_traffic({})
    assert shares(target) == {"1": 0.0}
    target.stop("1")
    assert target.state() == ()


@pytest.mark.parametrize("moment", [1, 2])
def test_set_traffic__killed_in_the_middle_is_done_once_more(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Whichever of the two versions is then asked for: which one is served nobody knows."""
    target = registry.target("kept.silent")
    for number in ("1", "2"):
        target.start(version(number))
    target.set_traffic({"1": 1})
    note, noted = deployments.Place.note, []

    def killed(place: deployments.Place, told: str) -> None:
        noted.append(told)
        if len(noted) == moment:
            raise KeyboardInterrupt
        note(place, told)

    with monkeypatch.context() as patch:
        patch.setattr(deployments.Place, "note", killed)
        with pytest.raises(KeyboardInterrupt):
            target.set_traffic({"2": 1})
    assert shares(target) == ({"1": 1.0, "2": 0.0} if moment == 1 else {"1": 0.0, "2": 0.0, "unknown": 1.0})
    target.set_traffic({"1": 1})
    assert shares(target) == {"1": 1.0, "2": 0.0}
    kept = json.loads((registry.folder / "kept.silent").read_text())
    assert kept["flights"] == f"models:/{MODEL}/1"


class Amazon:
    """What MLflow's own plugin for SageMaker asks of boto3: two pages' worth of endpoints, newest first."""

    def __init__(self) -> None:
        self.endpoints: dict[str, str] = {f"other-{number}": "" for number in range(12)}
        self.statuses: dict[str, list[str]] = {}
        """What is said of an endpoint, look by look; the last one stays. `gone` is its end."""

        self.away = False

    def status(self, name: str) -> str:
        said = self.statuses.get(name, ["InService"])
        now = said.pop(0) if len(said) > 1 else said[0]
        if now == "gone":
            del self.endpoints[name], self.statuses[name]
        return now

    def client(self, name: str, *, region_name: str) -> Amazon:
        assert (name, region_name) == ("sagemaker", "eu-west-1")
        return self

    def list_endpoints(self) -> dict[str, Any]:
        newest = list(self.endpoints)[:10]
        return {"Endpoints": [{"EndpointName": name, "EndpointStatus": self.status(name)} for name in newest]}

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        called = "when calling the DescribeEndpoint operation"
        if self.away:
            raise RuntimeError(f"An error occurred (ThrottlingException) {called}: Rate exceeded")
        if EndpointName not in self.endpoints:
            raise RuntimeError(f'An error occurred (ValidationException) {called}: Could not find endpoint "x".')
        told = {"EndpointName": EndpointName, "EndpointStatus": self.status(EndpointName)}
        if told["EndpointStatus"] == "gone":
            raise RuntimeError(f'An error occurred (ValidationException) {called}: Could not find endpoint "x".')
        return {**told, "FailureReason": "The image has no server."} if told["EndpointStatus"] == "Failed" else told


@pytest.fixture
def amazon(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Amazon:
    """MLflow's plugin itself, on a double of boto3; what builds images and endpoints is left out."""
    amazon = Amazon()
    with warnings.catch_warnings(action="ignore"):
        from mlflow import sagemaker

    def deploy(app_name: str, model_uri: str, mode: str, **_: Any) -> tuple[str, str]:
        assert (mode == "create") == (app_name not in amazon.endpoints)
        assert mode == "create" or amazon.status(app_name) == "InService", "SageMaker updates no other"
        amazon.endpoints[app_name] = model_uri
        return app_name, "python_function"

    monkeypatch.setitem(sys.modules, "boto3", amazon)
    monkeypatch.setattr(sagemaker, "_deploy", deploy)

    def delete(name: str, **_: Any) -> None:
        assert amazon.status(name) != "Deleting", "SageMaker refuses it"
        amazon.endpoints.pop(name)
        amazon.statuses.pop(name, None)

    monkeypatch.setattr(sagemaker, "_delete", delete)
    interface.plugin_store.register("sagemaker", "mlflow.sagemaker")  # as MLflow does itself
    return amazon


def at_amazon(registry: Registry, **said: Any) -> Target:
    config = {"instance_type": "ml.m5.large", "instance_count": 1}
    return registry.target(uri="sagemaker:/eu-west-1", config=config, **said)


def healths(target: Target) -> dict[str, str]:
    return {each.version: each.health for each in target.state()}


def test_sagemaker__names_and_pages_of_its_plugin(registry: Registry, amazon: Amazon) -> None:
    target = at_amazon(registry)
    assert target.state() == ()
    for _ in range(2):
        target.start(version("1"))
        target.set_traffic({"1": 1})
    target.start(version("2"))
    target.set_traffic({"2": 1})
    assert amazon.endpoints["flights"] == f"models:/{MODEL}/2"
    assert shares(target) == {"2": 1.0}
    amazon.away = True
    with pytest.raises(RemoteError, match="could not list the deployments") as caught:
        target.state()
    assert "Rate exceeded" in caught.value.why
    amazon.away = False
    target.stop("1")
    assert sorted(amazon.endpoints)[:2] == ["flights", "flights-2"]


def test_sagemaker__every_status_that_there_is(registry: Registry, amazon: Amazon) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html; a newer one answers."""
    answering = {"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"}
    known = answering | {"OutOfService", "Creating", "Deleting", "Failed"}
    assert known - deployments.STATUSES.keys() == answering
    assert deployments.STATUSES.keys() - known == set()
    target = at_amazon(registry)
    target.start(version("1"))
    target.set_traffic({"1": 1})
    for status in sorted(known):
        amazon.statuses["flights"] = [status]
        said = {"Creating": "starting"}.get(status, "ready" if status in answering else "failed")
        assert healths(target) == {"1": said}, status


def test_sagemaker__a_start_waits_until_the_endpoint_answers(registry: Registry, amazon: Amazon) -> None:
    """A killed run has made it."""
    target = at_amazon(registry)
    amazon.endpoints["flights-1"] = f"models:/{MODEL}/1"
    amazon.statuses["flights-1"] = ["Creating", "Creating", "Creating", "InService"]
    target.start(version("1"))
    assert amazon.statuses["flights-1"] == ["InService"]
    amazon.statuses["flights-1"] = ["InService", "InService", "Failed"]  # as soon as it is looked at more closely
    target.start(version("1"))


def test_sagemaker__an_endpoint_that_comes_to_nothing(registry: Registry, amazon: Amazon) -> None:
    target = at_amazon(registry)
    amazon.statuses["flights-1"] = ["Failed"]
    with pytest.raises(NotReadyError, match="flights-1 at sagemaker:/eu-west-1 is Failed") as caught:
        target.start(version("1"))
    assert caught.value.why == "The image has no server."
    amazon.statuses["flights-1"] = ["Creating"]
    with pytest.raises(NotReadyError, match="is Creating"):
        target.start(version("1"))


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "Deleting"])
@pytest.mark.parametrize("name", ["flights", "flights-2"])
def test_sagemaker__what_has_failed_is_made_anew(registry: Registry, amazon: Amazon, status: str, name: str) -> None:
    """Both the deployment that has the requests and a version's own one: neither comes back by itself."""
    amazon.endpoints.clear()
    target = at_amazon(registry)
    for number in ("1", "2"):
        target.start(version(number))
    target.set_traffic({"1": 1})
    number = "1" if name == "flights" else "2"
    amazon.statuses[name] = [status] if status != "Deleting" else [status] * 5 + ["gone"]
    assert deployments.health(amazon.statuses[name][0]) == "failed"
    target.start(version(number))
    assert amazon.endpoints[name] == f"models:/{MODEL}/{number}"
    assert {each.version: (each.share, each.health) for each in target.state()}[number] == (
        1.0 if name == "flights" else 0.0,
        "ready",
    )


def test_sagemaker__traffic_goes_where_what_is_served_has_failed(registry: Registry, amazon: Amazon) -> None:
    target = at_amazon(registry)
    for number in ("1", "2"):
        target.start(version(number))
    target.set_traffic({"1": 1})
    amazon.statuses["flights"] = ["Failed"]
    target.set_traffic({"2": 1})
    assert amazon.endpoints["flights"] == f"models:/{MODEL}/2"
    assert healths(target)["2"] == "ready"


def test_calls__refused(registry: Registry) -> None:
    target = registry.target(config={"fails": f"models:/{MODEL}/3"})
    with pytest.raises(NotReadyError, match="Version 3 was not deployed") as caught:
        target.start(version("3"))
    assert "no capacity in this region" in caught.value.why
    assert target.state() == (), "what was begun is no deployment"
    target.start(version("1"))
    for wrong in ({"1": 0.5}, {"1": 1.5, "2": -0.5}):
        with pytest.raises(InputError, match="no split of the requests"):
            target.set_traffic(wrong)
    with pytest.raises(GateError, match="refused a request") as refused:
        target.answer("1", {"dataframe_split": {"columns": ["y"], "data": [[1]]}})
    assert "missing inputs ['x']" in refused.value.why
    for call in (lambda: target.answer("2", asked(1)), lambda: target.set_traffic({"2": 1})):
        with pytest.raises(InputError, match="Version 2 has no deployment"):
            call()
    with pytest.raises(InputError, match="one version at a time"):
        target.set_traffic({"1": 0.5, "2": 0.5})
    with pytest.raises(RemoteError, match="could not open the target") as unknown:
        registry.target(uri="nowhere:/x").state()
    assert "plugin" in unknown.value.fix


@pytest.mark.parametrize(
    "said",
    [
        {"uri": "sagemaker://user:secret@host"},
        {"uri": "S"},
        {"name": "a_b"},
        {"requirements": ""},
        {"config": {"a": []}},
    ],
)
def test_policy__bad_values(said: dict[str, Any]) -> None:
    whole = {"uri": "sagemaker:/eu-west-1", "name": "flights", "requirements": "deploy.txt"}
    TargetRule.model_validate({"mlflow": whole})
    with pytest.raises(ValidationError):
        TargetRule.model_validate({"mlflow": {**whole, **said}})
