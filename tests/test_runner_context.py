"""What the runner says about the run, the credentials that it passes on, and the folders that are ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import pull_request, push, schedule
from slipway.runner import context
from slipway.runner.context import Run
from slipway.runner.errors import InputError


def from_event(tmp_path: Path, payload: Any, **environ: str) -> Run:
    file = tmp_path / "event.json"
    file.write_text(payload if isinstance(payload, str) else json.dumps(payload), encoding="utf-8")
    return Run.from_environ({"GITHUB_EVENT_PATH": str(file), "GITHUB_SHA": "c" * 40, **environ})


def test_run__of_a_pull_request(tmp_path: Path) -> None:
    run = from_event(tmp_path, pull_request(12, base="1" * 40, head="2" * 40), GITHUB_EVENT_NAME="pull_request")
    assert run.pull_request["number"] == 12
    assert (run.base_sha, run.head_sha, run.event_name) == ("1" * 40, "2" * 40, "pull_request")


@pytest.mark.parametrize("payload", [push(after="c" * 40), schedule(), {}, {"pull_request": None}, [], "[1]", "null"])
def test_run__of_anything_else_has_no_base(tmp_path: Path, payload: Any) -> None:
    run = from_event(tmp_path, payload)
    assert (run.pull_request, run.base_sha, run.head_sha) == ({}, "", "c" * 40)


@pytest.mark.parametrize("broken", [{"base": None, "head": None}, {"base": {"sha": None}, "head": "x"}, {"base": []}])
def test_run__an_event_without_commits_names_none(tmp_path: Path, broken: Any) -> None:
    run = from_event(tmp_path, {"pull_request": broken})
    assert (run.base_sha, run.head_sha) == ("", "c" * 40)


def test_run__a_head_without_a_commit_names_none(tmp_path: Path) -> None:
    assert from_event(tmp_path, {"pull_request": {"head": {"sha": None}}}).head_sha == ""


def test_run__an_event_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"event\.json cannot be read"):
        from_event(tmp_path, "{")


def test_run__an_event_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        Run.from_environ({"GITHUB_EVENT_PATH": str(tmp_path / "event.json")})


def test_run__a_missing_event_file_is_no_event(tmp_path: Path) -> None:
    assert Run.from_environ({"GITHUB_EVENT_PATH": str(tmp_path / "absent.json")}).event == {}


def test_run__outside_of_a_runner_is_empty() -> None:
    run = Run.from_environ({})
    assert run == Run()
    assert (run.url, run.head_sha) == ("", "")


def test_run__reads_the_default_variables() -> None:
    run = Run.from_environ(
        {
            "GITHUB_REPOSITORY": "octo/models",
            "GITHUB_RUN_ID": "17",
            "GITHUB_RUN_ATTEMPT": "2",
            "GITHUB_SERVER_URL": "https://ghes.invalid",
            "GITHUB_API_URL": "https://ghes.invalid/api/v3",
            "GITHUB_ACTOR": "mona",
        }
    )
    assert (run.run_id, run.attempt, run.api_url) == (17, 2, "https://ghes.invalid/api/v3")
    assert run.url == "https://ghes.invalid/octo/models/actions/runs/17"


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "²"])
def test_run__a_number_that_is_none_is_0(text: str) -> None:
    assert Run.from_environ({"GITHUB_RUN_ID": text}).run_id == 0


def test_export_credentials__sets_and_masks_every_line(on_runner: None, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"SLIPWAY_CREDENTIALS": "\n A=one \r\nB_2=x=y=\n", "KEPT": "1"}
    context.export_credentials(environ)
    assert environ == {"A": "one", "B_2": "x=y=", "KEPT": "1"}
    assert capsys.readouterr().out == "::add-mask::one\n::add-mask::x=y=\n"


@pytest.mark.parametrize("line", ["hunter2", "export A=hunter2", "A B=hunter2", "=hunter2"])
def test_export_credentials__names_the_line_but_does_not_show_it(line: str) -> None:
    with pytest.raises(InputError, match="Line 2 of the secret") as caught:
        context.export_credentials({"SLIPWAY_CREDENTIALS": f"A=1\n{line}"})
    assert "hunter2" not in str(caught.value)


def test_home__is_told_or_temporary_or_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told, temporary = tmp_path / "told", tmp_path / "temp"
    assert context.home({"SLIPWAY_HOME": str(told), "RUNNER_TEMP": str(temporary)}) == told
    assert context.home({"RUNNER_TEMP": str(temporary)}) == temporary / "slipway"
    assert context.home({}) == tmp_path / ".slipway"
    assert context.home({"SLIPWAY_HOME": "relative"}) == tmp_path / "relative"


def test_cache__outlives_a_job_only_where_told(tmp_path: Path) -> None:
    temporary = {"RUNNER_TEMP": str(tmp_path)}
    assert context.cache(temporary) == context.home(temporary)
    assert context.cache({**temporary, "SLIPWAY_CACHE": str(tmp_path / "kept")}) == tmp_path / "kept"


def test_report_file__lies_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    expected = tmp_path / "reports" / "flight delays-1.0_x" / "train-model.json"
    assert context.report_file("flight delays-1.0_x", "train-model") == expected
    names = ("a/b", "a_b", "a:b", "a" * 200, "a" * 201)
    assert len({context.report_file(name, "train-model") for name in names}) == len(names)


@pytest.mark.parametrize(
    "model", ["..", "../../x", "/etc", "a/../../b", ".ssh", "a\x00b", "x" * 4000, "é" * 300, "", " ", "a\nb"]
)
def test_report_file__no_name_leads_out_of_it(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    file = context.report_file(model, "comment")
    assert file.parent.parent == tmp_path / "reports"
    assert file.resolve() == file
    file.parent.mkdir(parents=True)
    file.touch()
