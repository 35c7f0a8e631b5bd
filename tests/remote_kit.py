"""Targets beyond this machine: their clients' functions called in this process, and versions to serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slipway.policy.deployment import TargetRule
from slipway.runner import environments, programs
from slipway.targets import finding
from slipway.targets.protocol import Servable, Target

MODEL = "flights"


def image(version: str) -> str:
    return f"ghcr.io/octo/flights@sha256:{int(version):064x}"


def servable(version: str, *, named: str | None = None, fetch: Callable[[], Path] | None = None) -> Servable:
    def unasked(*_: object) -> Path:
        raise AssertionError("an image is served: no files are needed")

    digest = f"sha256:{int(version):064d}"
    return Servable(MODEL, version, digest, image(version) if named is None else named, fetch or unasked, unasked)


def target_of(kind: str, ready_seconds: float = 20, model: str = MODEL, **said: Any) -> Target:
    rules = TargetRule.model_validate({kind: said})
    return finding.find(rules, model=model, ready_seconds=ready_seconds)


def here(monkeypatch: pytest.MonkeyPatch, client: ModuleType) -> None:
    """Calls reach the client's functions, with JSON in and out, without a process for each."""

    def call(_: Path, program: Path, action: str, given: dict[str, Any], **__: Any) -> dict[str, Any]:
        assert client.__file__ == str(program)
        return dict(json.loads(json.dumps(client.ACTIONS[action](json.loads(json.dumps(given))))))

    monkeypatch.setattr(programs, "call", call)
    monkeypatch.setattr(environments, "for_group", lambda _: Path("python"))
    monkeypatch.setattr(client, "pause", lambda _: 0.02, raising=False)


def shares(target: Target) -> dict[str, float]:
    return {each.version: each.share for each in target.state()}
