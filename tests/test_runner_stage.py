"""A stage's end: exit codes, one annotation for what was expected, a harmless traceback for what was not, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner_double import Annotation, Printed
from slipway import SHARED
from slipway.runner import stage
from slipway.runner.errors import GateError, InputError

SCRIPTS = Path(__file__).parents[1] / "scripts"
SLEEPER = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from slipway.runner import stage

@dataclass
class Inputs:
    pass

def main(given):
    try:
        Path("started").touch()
        for _ in range(300):  # one long sleep would miss a signal that comes just before it begins
            time.sleep(0.1)
    finally:
        time.sleep(0.5)
        Path("cleaned").touch()

sys.exit(stage.run(main, Inputs))
"""

pytestmark = pytest.mark.usefixtures("signals_restored")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """One input."""

    rows: int = 1


@pytest.fixture
def run(on_runner: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Printed]]:
    """Exit code of a stage, and what the runner reads."""

    def act(main: Callable[[Inputs], None], *argv: str, **environ: str) -> tuple[int, Printed]:
        code = stage.run(main, Inputs, environ, argv)
        return code, Printed().read(capsys.readouterr().out)

    return act


Run = Callable[..., tuple[int, Printed]]


@pytest.mark.parametrize(
    "script", sorted({*SCRIPTS.glob("*.py")} - {SCRIPTS / "write_schema.py"}), ids=lambda path: path.name
)
def test_script__by_a_python_without_its_packages(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-S", str(script), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if script.name in ("build_environment.py", "run_pipeline.py"):  # they need nothing but Python
        assert done.returncode == 0, done.stderr
        return
    stage_name = script.stem.replace("_", "-")
    group = {"fetch-statement": "dev", **SHARED}.get(stage_name, stage_name)
    first, second = done.stderr.splitlines()
    assert done.returncode == 1 and first.startswith(f"error: {script.name} needs the package ")
    assert f"build_environment.py --group {group}` says which Python to take" in second


def test_run__passes_the_inputs_and_0(run: Run) -> None:
    seen: list[int] = []
    code, printed = run(lambda given: seen.append(given.rows), INPUT_ROWS="5")
    assert (code, seen, printed.annotations) == (0, [5], [])


def test_run__a_gate_is_1_with_one_annotation_and_no_traceback(run: Run) -> None:
    def main(_given: Inputs) -> None:
        raise GateError("Too few rows.", why="3 < 10", file="slipway.yml", line=2)

    code, printed = run(main)
    expected = Annotation("error", "Too few rows.\nWhy: 3 < 10", title="Gate", file="slipway.yml", line=2)
    assert (code, printed.annotations) == (1, [expected])
    assert "Traceback" not in "\n".join(printed.lines)


def test_run__a_cause_is_not_shown_as_a_traceback(run: Run) -> None:
    def main(_given: Inputs) -> None:
        try:
            raise OSError("disk")
        except OSError as error:
            raise InputError("Cannot read.") from error

    code, printed = run(main)
    assert (code, len(printed.annotations)) == (1, 1)
    assert "OSError" not in "\n".join(printed.lines)


def test_run__a_wrong_input_is_1(run: Run) -> None:
    code, printed = run(lambda _given: None, INPUT_ROWS="many")
    assert code == 1
    assert "`rows` must be a whole number, not `many`" in printed.annotations[0].message


def test_run__an_unknown_option_is_1_not_2(run: Run) -> None:
    code, printed = run(lambda _given: None, "--row", "3")
    assert code == 1
    assert printed.annotations[0].title == "Input"


def test_run__a_wrong_line_of_credentials_is_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CREDENTIALS", "no separator here")
    code, printed = run(lambda _given: None)
    assert code == 1
    assert "no separator here" not in "\n".join(printed.lines)


def test_run__a_defect_is_2_and_its_traceback_obeys_nobody(run: Run) -> None:
    def main(_given: Inputs) -> None:
        raise KeyError("x\n::error::forged\n::add-mask::a")

    code, printed = run(main)
    (only,) = printed.annotations
    assert code == 2
    assert only.message.startswith("Defect in Slipway: KeyError:")
    assert "Open an issue" in only.message
    assert printed.groups == ["Traceback"]
    assert printed.masked == []
    assert any("test_runner_stage.py" in line for line in printed.lines)


def test_run__a_defect_in_many_lines_forges_nothing(run: Run) -> None:
    def main(_given: Inputs) -> None:
        raise RuntimeError("first\n::error::forged\n##[error]forged too")

    _, printed = run(main)
    (only,) = printed.annotations
    assert "first\n::error::forged\n##[error]forged too" in only.message
    assert printed.stop_token == ""


def test_run__cancelled_is_130(run: Run) -> None:
    def main(_given: Inputs) -> None:
        raise KeyboardInterrupt

    code, printed = run(main)
    assert code == 130
    assert [each.level for each in printed.annotations] == ["warning"]


def test_run__exports_credentials_before_the_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CREDENTIALS", "SLIPWAY_TEST_TOKEN=abc=def\n")
    monkeypatch.delenv("SLIPWAY_TEST_TOKEN", raising=False)
    seen: list[str] = []
    _, printed = run(lambda _given: seen.append(os.environ["SLIPWAY_TEST_TOKEN"]))
    monkeypatch.delenv("SLIPWAY_TEST_TOKEN")
    assert seen == ["abc=def"]
    assert printed.masked == ["abc=def"]
    assert "SLIPWAY_CREDENTIALS" not in os.environ


def test_run__prints_any_language_whatever_the_locale(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom dataclasses import dataclass\nfrom slipway.runner import commands, stage\n"
        "@dataclass\nclass Inputs:\n    pass\n"
        "sys.exit(stage.run(lambda _: commands.say('naïve 🚢 \\udcff'), Inputs))\n",
        encoding="utf-8",
    )
    environ = {**os.environ, "PYTHONPATH": str(SCRIPTS), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, str(script)], env=environ, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stdout.decode()) == (0, "naïve 🚢 ?\n")


def started(tmp_path: Path, **popen: object) -> subprocess.Popen[bytes]:
    """A stage that sleeps in a process of its own, once it does."""
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER, encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(SCRIPTS), "GITHUB_ACTIONS": "true"}
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        **popen,  # type: ignore[call-overload]
    )
    wait_for(tmp_path / "started")
    return process


def wait_for(file: Path) -> None:
    end = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < end, f"{file.name} did not appear"
        time.sleep(0.02)


@pytest.mark.parametrize("sent", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGTERM]])
def test_run__a_signal_lets_the_finally_blocks_end(tmp_path: Path, sent: list[signal.Signals]) -> None:
    with started(tmp_path) as process:
        for number in sent:
            process.send_signal(number)
            time.sleep(0.2)  # the second arrives while the `finally` block of the first works
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (tmp_path / "cleaned").exists()
    assert [each.level for each in Printed().read(out.decode()).annotations] == ["warning"]


def test_run__sigint_counts_where_a_shell_had_it_ignored(tmp_path: Path) -> None:
    # What a shell does to its background jobs, and what their children inherit.
    with started(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert (tmp_path / "cleaned").exists()
