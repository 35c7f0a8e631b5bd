"""Work beside the caller's: begun at once, waited for when its result is asked, and by nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slipway.runner.background import Background
from slipway.runner.errors import InputError

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_the_caller_goes_on_until_it_asks() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        assert may_end.wait(30)
        return 42

    found = Background(work)
    assert begun.wait(30)  # nobody has asked yet
    may_end.set()
    assert found.result() == found.result() == 42


def test_what_it_raised_is_raised_to_whoever_asks() -> None:
    def work() -> int:
        raise InputError("There are no data.")

    with pytest.raises(InputError, match="no data"):
        Background(work).result()


def test_no_exit_waits_for_it() -> None:
    code = "import threading; from slipway.runner.background import Background; Background(threading.Event().wait)"
    environ = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    assert subprocess.run([sys.executable, "-c", code], env=environ, timeout=60, check=False).returncode == 0
