"""What the examples leave behind when somebody breaks them off."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

from slipway.targets.processes import Daemon
from test_training_toy import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="A target on the machine itself needs Linux.")
def test_release__takes_down_what_has_only_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway is started before anything is written down of a first version."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    release = importlib.import_module("release")
    serving = tmp_path / "serving"
    monkeypatch.setattr(release, "SERVING", serving)
    gateway, server = serving / "gateway", serving / "versions" / "1"
    daemons = []
    for folder in (gateway, server):
        folder.mkdir(parents=True)
        daemon = Daemon(folder)
        daemon.launch([sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ))
        assert daemon.alive()
        daemons.append(daemon)
    before = signal.getsignal(signal.SIGINT)
    release.take_down()
    assert not any(daemon.alive() for daemon in daemons)
    assert not serving.exists()
    assert signal.getsignal(signal.SIGINT) is before
