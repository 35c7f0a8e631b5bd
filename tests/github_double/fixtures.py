"""Fixtures for tests that talk to GitHub: `pytest_plugins = ["github_double.fixtures"]` in the topmost conftest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from github_double.emulator import Emulator, emulator, install, missing
from github_double.server import GitHubDouble


@pytest.fixture
def hub() -> Iterator[GitHubDouble]:
    """GitHub for one test, which fails at its end when anything was said that GitHub's description does not allow."""
    with GitHubDouble() as double:
        yield double


@pytest.fixture(scope="session")
def emulated_github() -> Iterator[Emulator]:
    """The independent emulator for the whole run: repository `octocat/models`, users `octocat` and `mona`.

    Tests that ask for it are skipped without Node and npm, and on a person's machine also without a network.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "slipway-tests")
    reason = missing()
    try:
        if not reason:
            install(cache)
    except subprocess.SubprocessError as failure:
        if "CI" in os.environ:
            raise
        reason = f"the GitHub emulator could not be installed: {failure}"
    if reason:
        pytest.skip(reason)
    with emulator(cache, repositories=("octocat/models",), logins=("octocat", "mona")) as running:
        yield running
