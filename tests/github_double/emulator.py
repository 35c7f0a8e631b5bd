"""The independent GitHub emulator `emulate` (npm) as a process on loopback: a second opinion beside our own double.

It keeps real state and follows GitHub's paging, but knows no permissions and no faults: those are the double's.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

# The newest that runs on Node 20: 0.12.0 began to use `module.registerHooks`, which that has not.
VERSION = "0.11.2"
OLDEST_NODE = 20
READY_SECONDS = 30.0

# emulate listens on all interfaces and offers no choice, so this module is loaded into Node before it. It also ends
# the process when its standard input closes, which happens even if the test run is killed.
_LOOPBACK = """
import net from "node:net";
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, port, "127.0.0.1", ...rest.filter((each) => typeof each === "function"));
};
process.stdin.on("end", () => process.exit()).resume();
"""


@dataclass(frozen=True)
class Emulator:
    """A running emulator. `tokens` has one token for each login; any other token passes as the first of them."""

    base_url: str
    tokens: Mapping[str, str]

    def open_pull_request(self, repository: str, *, branch: str = "candidate", login: str = "") -> int:
        """Open a pull request that adds one file on a new branch of `repository`; its number."""
        base = f"/repos/{repository}"
        main = self.request("GET", f"{base}/git/ref/heads/main", login=login)
        self.request("POST", f"{base}/git/refs", login=login, ref=f"refs/heads/{branch}", sha=main["object"]["sha"])
        file = {"message": "Train", "content": "Cg==", "branch": branch}
        self.request("PUT", f"{base}/contents/{branch}.txt", login=login, **file)
        opened = self.request("POST", f"{base}/pulls", login=login, title="A model", head=branch, base="main")
        return int(opened["number"])

    def request(self, method: str, path: str, *, login: str = "", **body: str) -> Any:
        """Send a plain request, to set a scene without the code under test."""
        token = self.tokens[login or next(iter(self.tokens))]
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(
            method, self.base_url + path, headers=headers, json=body or None, timeout=READY_SECONDS
        )
        answer.raise_for_status()
        return answer.json()


def missing() -> str:
    """Why the emulator cannot run here, for `pytest.skip`; empty where it can."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"the GitHub emulator needs {program}, which is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    if int(version.strip().lstrip("v").split(".")[0] or 0) < OLDEST_NODE:
        return f"the GitHub emulator needs Node {OLDEST_NODE}, and this is {version.strip()}"
    return ""


def install(cache: Path) -> Path:
    """Install the emulator below `cache` (which must not be in the repository) unless it is there; its entry file."""
    entry = Path("node_modules", "emulate", "dist", "index.js")
    folder = cache / f"emulate-{VERSION}"
    if not (folder / entry).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        # Another test run may install at the same time: each builds its own folder, and the first one stays.
        with tempfile.TemporaryDirectory(dir=cache) as work:
            built = Path(work, "built")
            quiet = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
            command = ["npm", "install", "--prefix", str(built), *quiet, f"emulate@{VERSION}"]
            subprocess.run(command, check=True, timeout=600)
            with suppress(OSError):
                built.rename(folder)
    return folder / entry


@contextmanager
def emulator(cache: Path, *, repositories: tuple[str, ...], logins: tuple[str, ...]) -> Iterator[Emulator]:
    """Run the emulator with these users and (initialised) repositories, and stop it at the end."""
    entry = install(cache)
    base_url = f"http://127.0.0.1:{_free_port()}"
    tokens = {login: f"ghp_{login}" for login in logins}
    owned = [name.split("/") for name in repositories]
    seed = {
        "tokens": {token: {"login": login, "scopes": ["repo"]} for login, token in tokens.items()},
        "github": {
            "users": [{"login": login} for login in logins],
            "repos": [{"owner": owner, "name": name, "auto_init": True} for owner, name in owned],
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        seed_file = Path(folder, "seed.json")
        seed_file.write_text(json.dumps(seed), encoding="utf-8")
        loopback = Path(folder, "loopback.mjs")
        loopback.write_text(_LOOPBACK, encoding="utf-8")
        log = Path(folder, "log.txt")
        # PyGithub refuses links that do not begin with its own base URL, so the emulator is told the same one.
        where = ["--port", base_url.rpartition(":")[2], "--base-url", base_url]
        command = ["node", "--import", loopback.as_uri(), str(entry), "start", "--service", "github", *where]
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [*command, "--seed", str(seed_file)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            ) as process,
        ):
            try:
                _wait_until_ready(process, base_url, log)
                yield Emulator(base_url, tokens)
            finally:
                _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], base_url: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            requests.get(f"{base_url}/rate_limit", timeout=1).raise_for_status()
        except requests.RequestException:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"The GitHub emulator did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
