"""A step of a job whose stage runs in this process: the runner's files, and what the step leaves in them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runner_double import Annotation, Printed
from slipway.report import Report
from slipway.runner import outputs, stage


@dataclass(frozen=True)
class Ran:
    """What a step left."""

    code: int
    log: str
    said: dict[str, str]
    summary: str

    @property
    def report(self) -> Report:
        return Report.read(Path(self.said["report"]))

    @property
    def annotations(self) -> list[Annotation]:
        return Printed().read(self.log).annotations

    def messages(self, level: str) -> str:
        return "\n".join(each.message for each in self.annotations if each.level == level)

    @property
    def error(self) -> str:
        (error,) = (each.message for each in self.annotations if each.level == "error")
        return error


def variables(folder: Path, number: int, event: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, str]:
    """The variables of a job's run of this number: its files, which are made, its event and the inputs."""
    files = {name: folder / f"{name.lower()}-{number}" for name in ("OUTPUT", "STEP_SUMMARY")}
    for file in files.values():
        file.touch()
    told = folder / f"event-{number}"
    told.write_text(json.dumps(event), encoding="utf-8")
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": str(100 + number),
        "GITHUB_EVENT_PATH": str(told),
        "RUNNER_TEMP": str(folder / "temp"),
        **{f"GITHUB_{name}": str(file) for name, file in files.items()},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
    }


def left(given: Mapping[str, str], code: int, log: str) -> Ran:
    """What a step with these variables left."""
    summary = Path(given["GITHUB_STEP_SUMMARY"]).read_text(encoding="utf-8")
    return Ran(code, log, outputs.read(Path(given["GITHUB_OUTPUT"])), summary)


def in_this_process(
    module: ModuleType,
    given: Mapping[str, str],
    patching: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    folder: Path | None = None,
) -> tuple[int, str]:
    """Run a stage with these variables of the runner and no others, in `folder` where one is given: code and log."""
    with patching.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GITHUB_", "INPUT_", "RUNNER_", "SLIPWAY_"))]:
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        if folder:
            patch.chdir(folder)
        code = stage.run(module.main, module.Inputs, argv=[])
    said = capfd.readouterr()
    return code, said.out + said.err
