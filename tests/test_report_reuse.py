"""Earlier passes are found by all that they followed from, whole or not at all, and say that they are earlier ones."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from slipway.report import Report, Verdict, comment, reuse
from slipway.runner.context import Run

RUN = Run(repository="octo/models", run_id=7)
KEY = reuse.key("train-model", {"code": "abc"})


def find(folder: Path | None, key: str, beside: Path) -> Report | None:
    return reuse.find(folder, key, beside, stage="train-model", model="m")


def report(verdict: Verdict = Verdict.PASS, **said: Any) -> Report:
    made = {"stage": "train-model", "model": "m", "headline": "Trained.", "started": datetime(2026, 11, 1, tzinfo=UTC)}
    return Report.model_validate({**made, "verdict": verdict, **said})


def test_key__every_part_counts() -> None:
    keys = [
        KEY,
        reuse.key("evaluate-model", {"code": "abc"}),
        reuse.key("train-model", {"code": "abd"}),
        reuse.key("train-model", {"code": "abc", "data": {}}),
    ]
    assert len(set(keys)) == 4
    assert reuse.key("train-model", {"b": 1, "a": 2}) == reuse.key("train-model", {"a": 2, "b": 1})


def test_key__slipways_own_code_and_lock_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "a.py").write_text("1")
    (tmp_path / "train-model.txt").write_text("mlflow==3")
    monkeypatch.setattr(reuse, "REPOSITORY", tmp_path)
    monkeypatch.setattr(reuse, "LOCKS", tmp_path)
    keys = [reuse.key("train-model", {})]
    (tmp_path / "scripts" / "a.py").write_text("2")
    keys.append(reuse.key("train-model", {}))
    (tmp_path / "train-model.txt").write_text("mlflow==4")
    keys.append(reuse.key("train-model", {}))
    assert len(set(keys)) == 3


def test_find__what_was_kept(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "provenance.json").write_text("{}")
    digest = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    made = report(attachments={"provenance.json": digest})
    reuse.keep(tmp_path / "passed", KEY, made, tmp_path / "first", RUN)
    found = find(tmp_path / "passed", KEY, tmp_path / "second")
    assert found is not None
    assert found.reused_from == "https://github.com/octo/models/actions/runs/7"
    assert found.reasons == ("Not run again: nothing that it depends on has changed since it passed on 2026-11-01.",)
    assert found.started > made.started
    assert (tmp_path / "second" / "provenance.json").read_text() == "{}"
    same = {"reasons", "reused_from", "started"}
    assert found.model_dump(exclude=same) == made.model_dump(exclude=same)
    assert find(tmp_path / "passed", reuse.key("train-model", {}), tmp_path) is None
    assert find(None, KEY, tmp_path) is None


def test_find__a_reused_report_is_not_kept_as_a_new_one(tmp_path: Path) -> None:
    reuse.keep(tmp_path / "passed", KEY, report(), tmp_path, RUN)
    found = find(tmp_path / "passed", KEY, tmp_path)
    assert found is not None
    reuse.keep(tmp_path / "other", KEY, found, tmp_path, Run())
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_keep__only_a_pass(tmp_path: Path, verdict: Verdict) -> None:
    reuse.keep(tmp_path / "passed", KEY, report(verdict), tmp_path, RUN)
    assert not (tmp_path / "passed").exists()
    # Nor is one found that somebody put there.
    report(verdict).write(tmp_path / "passed" / KEY / "report.json")
    assert find(tmp_path / "passed", KEY, tmp_path) is None


@pytest.mark.parametrize("damage", ["no report", "an altered attachment", "a missing attachment"])
def test_find__damaged(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "requirements.txt").write_text("a")
    made = report(attachments={"requirements.txt": f"sha256:{hashlib.sha256(b'a').hexdigest()}"})
    reuse.keep(tmp_path / "passed", KEY, made, tmp_path, RUN)
    kept = tmp_path / "passed" / KEY
    if damage == "no report":
        (kept / "report.json").write_text("{")
    elif damage == "an altered attachment":
        (kept / "requirements.txt").write_text("b")
    else:
        (kept / "requirements.txt").unlink()
    assert find(tmp_path / "passed", KEY, tmp_path / "beside") is None
    assert "is not used" in capsys.readouterr().err
    assert not (tmp_path / "beside").exists()


@pytest.mark.parametrize(
    "said",
    [
        {"stage": "evaluate-model"},
        {"model": "another"},
        {"attachments": {"evaluate-model.json": f"sha256:{hashlib.sha256(b'{}').hexdigest()}"}},
    ],
)
def test_find__what_another_stage_or_model_could_have_planted(tmp_path: Path, said: dict[str, Any]) -> None:
    planted = tmp_path / "passed" / KEY
    report(**said).write(planted / "report.json")
    (planted / "evaluate-model.json").write_text("{}")
    assert find(tmp_path / "passed", KEY, tmp_path / "beside") is None
    assert not (tmp_path / "beside").exists()


def test_keep__many_at_once_and_an_unfinished_one(tmp_path: Path) -> None:
    (tmp_path / "passed" / ".unfinished-x").mkdir(parents=True)
    threads = [
        threading.Thread(target=reuse.keep, args=(tmp_path / "passed", KEY, report(), tmp_path, RUN)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(file.name for file in (tmp_path / "passed").iterdir()) == sorted([KEY, ".unfinished-x"])
    assert find(tmp_path / "passed", KEY, tmp_path) is not None


def test_comment__says_and_links_what_was_not_run_again() -> None:
    reused = report(reused_from="https://github.com/octo/models/actions/runs/7")
    body = comment.body("m", [report(Verdict.FAIL, stage="evaluate-model"), reused])
    assert "**train\\-model** Trained. \\([not run again](https://github.com/octo/models/actions/runs/7)\\)" in body
    local = report(reused_from="an earlier run on this machine")
    assert "\\(not run again\\)" in comment.body("m", [report(Verdict.FAIL, stage="evaluate-model"), local])
