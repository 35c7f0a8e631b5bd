"""Step outputs that no value can break out of, and a summary that never exceeds what GitHub takes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner_double import parse_file_command
from slipway.runner import outputs

LINES = st.one_of(
    st.text(),
    st.sampled_from(
        ["verdict<<EOF", "EOF", "verdict=pass", "report<<slipway_", "slipway_" + "0" * 32, "", "\r", "=", "<<"]
    ),
)
VALUES = st.lists(LINES).map("\n".join)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    report: Path
    verdict: str
    model_version: str | None = None
    passed: bool = False
    rows: int = 0


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "output"
    file.touch()
    monkeypatch.setenv("GITHUB_OUTPUT", str(file))
    return file


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "summary"
    file.touch()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    return file


def test_publish__names_and_values_as_later_steps_read_them(target: Path) -> None:
    outputs.publish(Outputs(report=Path("a b/é.json"), verdict="pass", passed=True, rows=3))
    expected = {"report": "a b/é.json", "verdict": "pass", "model-version": "", "passed": "true", "rows": "3"}
    assert parse_file_command(target.read_text(encoding="utf-8")) == expected
    assert outputs.read(target) == expected


def test_publish__appends(target: Path) -> None:
    target.write_text("earlier=1\n", encoding="utf-8")
    outputs.publish(Outputs(report=Path("r"), verdict="fail"))
    found = parse_file_command(target.read_text(encoding="utf-8"))
    assert (found["earlier"], found["verdict"]) == ("1", "fail")


def test_publish__a_new_delimiter_for_every_value(target: Path) -> None:
    outputs.publish(Outputs(report=Path("r"), verdict="fail"))
    delimiters = [line.partition("<<")[2] for line in target.read_text().splitlines() if "<<" in line]
    assert len(set(delimiters)) == 5
    assert all(len(delimiter) == len("slipway_") + 32 for delimiter in delimiters)


def test_publish__refuses_a_value_that_holds_its_delimiter(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _size: "guessed")
    with pytest.raises(ValueError, match="delimiter"):
        outputs.publish(Outputs(report=Path("r"), verdict="x\nslipway_guessed\nreport<<y"))


def test_publish__prints_where_there_is_no_runner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    outputs.publish(Outputs(report=Path("r.json"), verdict="pass"))
    shown = capsys.readouterr().out.splitlines()
    assert shown == ["report = r.json", "verdict = pass", "model-version = ", "passed = false", "rows = 0"]


@given(first=VALUES, second=VALUES)
def test_publish__any_text_survives_the_round_trip(first: str, second: str) -> None:
    two: Any = make_dataclass("Two", ["first", "second_one"])(first, second)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder) / "output"
        patch.setenv("GITHUB_OUTPUT", str(file))
        outputs.publish(two)
        # Read without translation of line ends, as the runner does.
        text = file.read_bytes().decode()
        expected = {"first": first, "second-one": second}
        assert parse_file_command(text) == expected
        assert outputs.read(file) == expected


def test_read__a_file_that_breaks_off_gives_what_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_text("report<<x\nr.json\nx\nverdict<<y\npas", encoding="utf-8")
    assert outputs.read(file) == {"report": "r.json"}


def test_summarise__appends_with_a_line_end(summary: Path) -> None:
    outputs.summarise("# One")
    outputs.summarise("# Two")
    assert summary.read_text(encoding="utf-8") == "# One\n# Two\n"


def test_summarise__does_nothing_outside_of_a_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    outputs.summarise("text")
    assert list(tmp_path.iterdir()) == []


def test_summarise__exactly_the_limit_is_not_cut(summary: Path) -> None:
    outputs.summarise("x" * (1024 * 1024 - 1))
    assert summary.stat().st_size == 1024 * 1024
    assert "Cut here" not in summary.read_text()


def test_summarise__one_byte_more_is_cut_on_a_line(summary: Path) -> None:
    line = "é" * 99  # 198 bytes, 199 with the line end: the limit falls inside of a line, and of a character
    outputs.summarise("\n".join([line] * 6000))
    content = summary.read_bytes()
    assert len(content) <= 1024 * 1024
    kept, notice = content.decode().split("\n\n\n*Cut here")
    assert set(kept.split("\n")) == {line}
    # By hand: (1,048,576 - 81 bytes of notice) / 199 bytes a line.
    assert len(outputs.SUMMARY_CUT.encode()) == 81
    assert len(kept.split("\n")) == (1024 * 1024 - 81) // 199
    assert notice.endswith("everything.*\n")


def test_summarise__counts_what_is_there(summary: Path) -> None:
    summary.write_text("y" * (1024 * 1024 - 100) + "\n", encoding="utf-8")
    outputs.summarise("a\n" * 200)
    assert summary.stat().st_size <= 1024 * 1024
    assert "Cut here" in summary.read_text(encoding="utf-8")


def test_summarise__writes_nothing_where_not_even_the_notice_fits(summary: Path) -> None:
    summary.write_text("y" * (1024 * 1024 - 20), encoding="utf-8")
    outputs.summarise("a\n" * 200)
    assert summary.stat().st_size == 1024 * 1024 - 20


def test_summary_room__is_what_is_written_whole(summary: Path) -> None:
    assert outputs.summary_room() == 1024 * 1024 - 1
    summary.write_text("é" * 500, encoding="utf-8")
    room = outputs.summary_room()
    assert room == 1024 * 1024 - 1001
    outputs.summarise("x" * room)
    assert summary.stat().st_size == 1024 * 1024
    assert outputs.summary_room() == 0
    outputs.summarise("")
    assert summary.stat().st_size == 1024 * 1024


def test_summary_room__is_none_outside_of_a_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert outputs.summary_room() == 0


@given(st.lists(st.text(max_size=50), max_size=8), st.integers(0, 600))
def test_summarise__never_exceeds_the_limit_nor_breaks_utf_8(texts: list[str], there: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        file = Path(folder) / "summary"
        file.write_bytes(b"x" * there)
        patch.setenv("GITHUB_STEP_SUMMARY", str(file))
        patch.setattr(outputs, "SUMMARY_LIMIT", 300)
        for text in texts:
            outputs.summarise(text)
        content = file.read_bytes()
        assert len(content) <= max(300, there)
        content.decode()
