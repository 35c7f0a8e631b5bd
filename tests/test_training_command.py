"""The user's command: what it sees, what is kept of its output, how it ends, and that nothing of it stays behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.runner.errors import InputError
from slipway.training import command
from test_training_toy import SCRIPTS, assert_gone, is_alive, wait_for

PYTHON = [sys.executable, "-c"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "training.log"


@pytest.fixture
def run(log: Path) -> Callable[..., command.Ended]:
    """Run Python code as the command."""

    def run(code: str, *, timeout: float = 60, **extra: str) -> command.Ended:
        environ = command.environ_for(extra)
        return command.run([*PYTHON, textwrap.dedent(code)], environ, timeout=timeout, log=log)

    return run


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short periods of grace; what happens in them is the same."""
    monkeypatch.setattr(command, "GRACE", 0.5)
    monkeypatch.setattr(command, "LINGER", 0.5)


@pytest.fixture
def on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")


# Output


def test_run__copies_large_output_byte_by_byte(
    run: Callable[..., command.Ended], log: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    block = os.urandom(1 << 20)
    ended = run(
        "import sys\nfor _ in range(50): sys.stdout.buffer.write(bytes.fromhex('" + block[:64].hex() + "') * 16384)"
    )
    assert ended.succeeded
    expected = block[:64] * 16384 * 50
    assert log.stat().st_size == 50 << 20
    assert hashlib.sha256(log.read_bytes()).digest() == hashlib.sha256(expected).digest()
    assert capfdbinary.readouterr().out == expected


def test_run__keeps_unicode_that_is_split_over_chunks(
    run: Callable[..., command.Ended], log: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = "x" + "é€😀" * (command.CHUNK // 3)  # no character ends where a chunk ends
    ended = run(
        """
        import sys, time
        data = ("x" + "é€😀" * ((1 << 16) // 3)).encode()
        for start in range(0, len(data), 1021):
            sys.stdout.buffer.write(data[start:start + 1021]); sys.stdout.buffer.flush()
        """
    )
    assert ended.succeeded
    assert log.read_text(encoding="utf-8") == text
    assert capfdbinary.readouterr().out.decode() == text


def test_run__mixes_stderr_in_and_needs_no_newline_at_the_end(run: Callable[..., command.Ended], log: Path) -> None:
    ended = run(
        "import sys; print('one', flush=True); sys.stderr.write('two\\n'); sys.stderr.flush(); print('three', end='')"
    )
    assert ended.succeeded
    assert log.read_text() == "one\ntwo\nthree"


@pytest.mark.usefixtures("on_github")
def test_run__output_cannot_command_the_runner(
    run: Callable[..., command.Ended], log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(
        "print('::error::forged'); print('::add-mask::x'); print('::stop-commands::mine'); "
        "print('::set-output', end='')"
    )
    lines = capfd.readouterr().out.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert lines[0] == f"::stop-commands::{token}"
    assert len(token) == 32
    assert lines[-1] == f"::{token}::", "commands are switched on again on a line of its own"
    assert (
        lines[1:-1]
        == log.read_text().splitlines()
        == [
            "::error::forged",
            "::add-mask::x",
            "::stop-commands::mine",
            "::set-output",
        ]
    )


@pytest.mark.usefixtures("on_github")
def test_run__the_token_is_another_one_each_time(
    run: Callable[..., command.Ended], capfd: pytest.CaptureFixture[str]
) -> None:
    run("pass")
    run("pass")
    stops = [line for line in capfd.readouterr().out.splitlines() if line.startswith("::stop-commands::")]
    assert len(set(stops)) == 2


@pytest.mark.usefixtures("on_github")
def test_run__a_command_that_cannot_start_leaves_commands_switched_on(
    tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match="could not be started"):
        command.run([str(program)], command.environ_for({}), timeout=5, log=log)
    first, *_, last = capfd.readouterr().out.splitlines()
    assert last == f"::{first.removeprefix('::stop-commands::')}::"


# How it ends


def test_run__an_exit_code_is_kept(run: Callable[..., command.Ended]) -> None:
    ended = run("raise SystemExit(3)")
    assert ended.code == 3
    assert not ended.succeeded
    assert ended.in_words(60) == "ended with exit code 3 after 0 s"


def test_run__a_signal_is_named(run: Callable[..., command.Ended]) -> None:
    ended = run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.code == -9
    assert ended.in_words(60) == "was ended by SIGKILL (usually: out of memory) after 0 s"
    ended = run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert "SIGSEGV after" in ended.in_words(60)


def test_run__a_real_time_signal_has_no_name_and_is_still_told(run: Callable[..., command.Ended]) -> None:
    ended = run("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 3)")
    assert ended.code == -(signal.SIGRTMIN + 3)
    assert f"signal {signal.SIGRTMIN + 3}" in ended.in_words(60)


def test_run__is_stopped_when_its_time_is_over(run: Callable[..., command.Ended], log: Path) -> None:
    started = time.monotonic()
    ended = run("import time; print('begun', flush=True); time.sleep(60)", timeout=0.5)
    assert ended.code is None
    assert not ended.succeeded
    assert ended.in_words(90) == "did not end within 1.5 minutes and was stopped"
    assert log.read_text() == "begun\n"
    assert time.monotonic() - started < 5


def test_run__the_time_also_ends_a_command_that_closed_its_output(run: Callable[..., command.Ended]) -> None:
    assert run("import os, time; os.close(1); os.close(2); time.sleep(60)", timeout=0.5).code is None


def test_run__a_command_that_closed_its_output_is_waited_for(run: Callable[..., command.Ended], log: Path) -> None:
    ended = run("import os, time; print('x', flush=True); os.close(1); os.close(2); time.sleep(0.3); os._exit(4)")
    assert ended.code == 4
    assert log.read_text() == "x\n"


@pytest.mark.usefixtures("hasty")
def test_run__a_command_that_ignores_sigterm_is_killed(run: Callable[..., command.Ended], log: Path) -> None:
    started = time.monotonic()
    ended = run(
        """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), flush=True)
        time.sleep(60)
        """,
        timeout=0.5,
    )
    assert ended.code is None
    assert time.monotonic() - started < 5
    assert_gone(int(log.read_text()))


def test_run__a_command_may_tidy_up_when_its_time_is_over(run: Callable[..., command.Ended], tmp_path: Path) -> None:
    ended = run(
        f"""
        import signal, sys, time
        def end(*_):
            open({str(tmp_path / "tidied")!r}, "w").write("yes\\n"); sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        time.sleep(60)
        """,
        timeout=0.5,
    )
    assert ended.code is None, "the time was over, whatever it said at the end"
    assert (tmp_path / "tidied").exists()


# What it leaves running


@pytest.mark.usefixtures("hasty")
def test_run__a_child_that_holds_the_pipe_open_does_not_hold_the_stage(
    run: Callable[..., command.Ended], log: Path
) -> None:
    started = time.monotonic()
    ended = run(
        """
        import os, time
        if os.fork() == 0:
            time.sleep(60)
        print("done", flush=True)
        """
    )
    assert ended.code == 0
    assert time.monotonic() - started < 5
    assert log.read_text() == "done\n"


@pytest.mark.usefixtures("hasty")
def test_run__a_child_that_never_stops_talking_is_ended(run: Callable[..., command.Ended], log: Path) -> None:
    ended = run("import os\nif os.fork() == 0:\n  while True: os.write(1, b'y\\n' * 4000)")
    assert ended.code == 0
    assert log.stat().st_size > 0


CHILD = """
    import os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", {code!r}], **{how})
    print(child.pid, flush=True)
"""
QUIET_CHILD = "dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import time; time.sleep(60)", QUIET_CHILD + ")"),
        ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", QUIET_CHILD + ")"),
        ("import time; time.sleep(60)", QUIET_CHILD + ", start_new_session=True)"),
        ("import time; time.sleep(60)", QUIET_CHILD + ", process_group=0)"),
        (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
            QUIET_CHILD + ", start_new_session=True)",
        ),
    ],
    ids=["child", "deaf child", "own session", "own group", "deaf, own session"],
)
def test_run__children_are_ended(run: Callable[..., command.Ended], log: Path, code: str, how: str) -> None:
    assert run(CHILD.format(code=code, how=how)).succeeded
    assert_gone(int(log.read_text()), seconds=1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("timed_out", [False, True])
def test_run__daemons_are_ended(run: Callable[..., command.Ended], tmp_path: Path, timed_out: bool) -> None:
    pid_file = tmp_path / "pid"
    ended = run(
        f"""
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            for number in (0, 1, 2):
                os.close(number)
            os.chdir("/")
            open({str(pid_file)!r}, "w").write(f"{{os.getpid()}}\\n")
            time.sleep(60)
        while not os.path.exists({str(pid_file)!r}): time.sleep(0.01)
        time.sleep({60 if timed_out else 0})
        """,
        timeout=1 if timed_out else 60,
    )
    assert ended.code == (None if timed_out else 0)
    assert_gone(int(wait_for(pid_file)), seconds=1)


def test_run__others_processes_are_left_alone(run: Callable[..., command.Ended]) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert run("pass").succeeded
        assert is_alive(other.pid)
    finally:
        other.kill()
        other.wait()


# Cancelling


STAND_IN = """
import sys
sys.path.insert(0, {scripts!r})
from dataclasses import dataclass
from pathlib import Path
from slipway.runner import stage
from slipway.training import command

@dataclass(frozen=True, kw_only=True)
class Inputs:
    code: str

def main(given):
    command.run([sys.executable, "-c", given.code], command.environ_for({{}}), timeout=60, log=Path("log"))

sys.exit(stage.run(main, Inputs))
"""


def cancelled(folder: Path, code: str, *signals: int, pause: float = 0.5) -> tuple[int, float, int]:
    """Signal a stage whose command runs; exit code, seconds until it ended, process id of the command."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_IN.format(scripts=str(SCRIPTS))],
        cwd=folder,
        env={**os.environ, "INPUT_CODE": f"import os; open('pid', 'w').write(f'{{os.getpid()}}\\n')\n{code}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pid = int(wait_for(folder / "pid"))
    time.sleep(0.3)
    started = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(pause)
    code_of_stage = process.wait(30)
    return code_of_stage, time.monotonic() - started, pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run__a_cancelled_stage_ends_its_command(tmp_path: Path, number: int) -> None:
    code, seconds, pid = cancelled(tmp_path, "import time; time.sleep(60)", number)
    assert code == 130
    assert seconds < 3
    assert_gone(pid, seconds=0.5)


DEAF = (
    "import signal, time\nfor number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
    "time.sleep(60)"
)


def test_run__a_cancelled_stage_ends_a_deaf_command_before_github_kills_the_stage(tmp_path: Path) -> None:
    """GitHub sends SIGINT, 7.5 s later SIGTERM, and kills 2.5 s after that; the MLflow run must be ended by then."""
    code, seconds, pid = cancelled(tmp_path, DEAF, signal.SIGINT, signal.SIGTERM)
    assert code == 130
    assert seconds < 6
    assert_gone(pid, seconds=0.5)


def test_run__a_person_at_a_keyboard_may_insist(tmp_path: Path) -> None:
    code, seconds, pid = cancelled(tmp_path, DEAF, signal.SIGINT, signal.SIGINT)
    assert code == 130
    assert seconds < 2.5
    assert_gone(pid, seconds=0.5)


# What it sees


def test_environ__holds_no_channel_token_or_input(
    run: Callable[..., command.Ended], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [*command.CHANNELS, *command.TOKENS, "INPUT_GITHUB_TOKEN", "SLIPWAY_CREDENTIALS", "SLIPWAY_PYTHON"]
    for name in ours:
        monkeypatch.setenv(name, "forbidden")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "theirs")
    monkeypatch.setenv("GITHUB_REPOSITORY", "octo/models")
    run("import os; print(*(f'{k}={v}' for k, v in sorted(os.environ.items())), sep='\\n')", SLIPWAY_SEED="7")
    seen = dict(line.split("=", 1) for line in log.read_text().splitlines() if "=" in line)
    assert not set(ours) & set(seen)
    assert "forbidden" not in seen.values()
    assert seen["MLFLOW_TRACKING_TOKEN"] == "theirs"
    assert seen["GITHUB_REPOSITORY"] == "octo/models"
    assert seen["SLIPWAY_SEED"] == "7"
    assert seen["PYTHONUNBUFFERED"] == "1"


def test_environ__names_every_channel_of_the_runner() -> None:
    known = {"GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"}
    assert known == set(command.CHANNELS)


def test_environ__puts_the_environments_programs_first(tmp_path: Path, log: Path) -> None:
    tool = tmp_path / "bin" / "python"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$0 $VIRTUAL_ENV $PYTHONDONTWRITEBYTECODE"\n')
    tool.chmod(0o755)
    environ = command.environ_for({}, path_first=tool.parent)
    assert command.run(["python"], environ, timeout=10, log=log).succeeded
    assert log.read_text() == f"{tool} {tmp_path} \n"


def test_run__stdin_is_closed(run: Callable[..., command.Ended], log: Path) -> None:
    assert run("import sys; print(repr(sys.stdin.read()))").succeeded
    assert log.read_text() == "''\n"


PEAKS = """
import sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from slipway.training import command
allocate = "x = bytearray(300 << 20); x[::4096] = b'x' * len(x[::4096])"
in_child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {{allocate!r}}], check=True)"
for code in ("pass", allocate, in_child):
    ended = command.run([sys.executable, "-c", code], command.environ_for({{}}), timeout=60, log=Path("log"))
    print(ended.peak_memory)
"""


def test_run__peak_memory_is_that_of_its_largest_process(tmp_path: Path) -> None:
    # In a small process: until it executes, a command is a copy of the process that starts it, and counts as such.
    code = PEAKS.format(scripts=str(SCRIPTS))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    small, alone, in_child = map(int, done.stdout.split())
    assert small < 60 << 20
    assert 300 << 20 <= alone < 360 << 20
    assert 300 << 20 <= in_child < 360 << 20


def test_run__seconds_are_those_of_the_command(run: Callable[..., command.Ended]) -> None:
    assert 0.3 <= run("import time; time.sleep(0.3)").seconds < 3


# What cannot be started


def test_run__a_program_that_is_not_there(log: Path) -> None:
    with pytest.raises(InputError, match="`no-such-program` was not found") as caught:
        command.run(["no-such-program"], command.environ_for({}), timeout=5, log=log)
    assert "training.requirements" in caught.value.fix


@pytest.mark.parametrize("kind", ["folder", "not executable"])
def test_run__something_that_is_no_program(tmp_path: Path, log: Path, kind: str) -> None:
    place = tmp_path / "thing"
    place.mkdir() if kind == "folder" else place.write_text("echo no\n")
    with pytest.raises(InputError, match="was not found"):
        command.run([str(place)], command.environ_for({}), timeout=5, log=log)


def test_run__the_program_is_found_on_the_commands_path_and_not_on_ours(tmp_path: Path, log: Path) -> None:
    tool = tmp_path / "only-there"
    shutil.copy("/bin/echo", tool)
    ended = command.run(["only-there", "hi"], {"PATH": str(tmp_path)}, timeout=5, log=log)
    assert ended.succeeded
    assert log.read_text() == "hi\n"


# Splitting


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("python train.py --lr 0.1", ["python", "train.py", "--lr", "0.1"]),
        ("python 'my script.py' \"two words\" a\\ b", ["python", "my script.py", "two words", "a b"]),
        ("bash -c 'a && b | c > d'", ["bash", "-c", "a && b | c > d"]),
        ("python train.py --note '|'x", ["python", "train.py", "--note", "|x"]),
        ("python train.py \\\n  --lr 1\n", ["python", "train.py", "--lr", "1"]),
        (
            "python train.py --separator '|' --note \"a; b\" --not\\>redirected",
            ["python", "train.py", "--separator", "|", "--note", "a; b", "--not>redirected"],
        ),
        (["echo", "&&", "a b"], ["echo", "&&", "a b"]),
    ],
)
def test_split__as_a_shell_would(text: str | list[str], arguments: list[str]) -> None:
    assert command.split(text) == arguments


@pytest.mark.parametrize("sign", ["&&", "||", "|", ";", ">", ">>", "<", "&", "2>&1"])
def test_split__refuses_what_only_a_shell_understands(sign: str) -> None:
    with pytest.raises(InputError, match="no shell reads it") as caught:
        command.split(f"python a.py {sign} b")
    assert f"`{sign}`" in caught.value.what
    assert "bash -c" in caught.value.fix


@pytest.mark.parametrize(
    "text", ["cd src; python a.py", "python a.py>log", "python a.py 2>err", "python a.py --where x>3"]
)
def test_split__refuses_signs_that_touch_a_word(text: str) -> None:
    with pytest.raises(InputError, match="no shell reads it"):
        command.split(text)


@pytest.mark.parametrize("text", ["python --filter 'a>b' x", "python a.py --name 'x;y'", "python --price '$5' k=v"])
def test_split__quoted_signs_are_text(text: str) -> None:
    assert len(command.split(text)) >= 3


def test_split__refuses_several_lines() -> None:
    with pytest.raises(InputError, match="holds several lines, and no shell reads it"):
        command.split("pip install .\npython train.py\n")


def test_split__unbalanced_quotes() -> None:
    with pytest.raises(InputError, match="cannot be split") as caught:
        command.split("python 'train.py")
    assert caught.value.fix == "Balance its quotes."


@pytest.mark.parametrize("text", ["", "   ", []])
def test_split__nothing(text: str | list[str]) -> None:
    with pytest.raises(InputError, match="The command is empty"):
        command.split(text)


# Inside of the MLflow run, and quoted


@pytest.mark.parametrize("given", [["mlflow", "run", "."], ["/opt/bin/mlflow", "run", "-e", "main", "."]])
def test_in_run__mlflow_run_is_told_its_run(given: list[str]) -> None:
    assert command.in_run(given, "abc") == [*given, "--run-id", "abc"]


@pytest.mark.parametrize(
    "given",
    [["mlflow", "run", ".", "--run-id", "x"], ["mlflow", "run", ".", "--run-id=x"], ["mlflow", "models"], ["python"]],
)
def test_in_run__other_commands_stay_as_they_are(given: list[str]) -> None:
    assert command.in_run(given, "abc") == given


def test_run__works_outside_of_the_main_thread(run: Callable[..., command.Ended]) -> None:
    ended: list[command.Ended] = []
    thread = threading.Thread(target=lambda: ended.append(run("pass")))
    thread.start()
    thread.join(30)
    assert ended[0].succeeded
