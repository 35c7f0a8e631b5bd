"""From a passed pull request to production and back, with real HTTP requests: a canary that is promoted, and another.

Goes on from `make demo`. The servers and the gateway listen on the loopback, and end with it. There is no GitHub here,
so the policy asks nobody's approval: docs/record-approval.md says how it would.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import demo
from demo import DEMO, FLIGHTS, HOME, LATER, LEDGER, RESULTS, ROOT, SERVING, STORE, Story, commit, git, say

from slipway.runner import environments, outputs

PLACE = RESULTS / "release"
"""What each deployment has left: report, page, summary and log."""

JULY = DEMO / "july.jsonl"
"""Flights of July, as clients ask about them."""

CLIENTS = 6
UNKNOWN_CARRIER = "NK"
"""Spirit, whose flights the records of 2013 do not have. One request in ten asks about one."""


@dataclass(frozen=True)
class Answered:
    """One request, as its client saw it. when: by the monotonic clock."""

    when: float
    version: str
    status: int
    seconds: float

    @property
    def failed(self) -> bool:
        return self.status != 200


@dataclass
class Traffic:
    """Clients who ask about flights all the time, each request on behalf of somebody else."""

    port: int
    answered: list[Answered] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        rows = [json.loads(line) for line in JULY.read_text(encoding="utf-8").splitlines()]
        self.threads = [threading.Thread(target=self._ask, args=(rows, number)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, rows: list[dict[str, object]], seed: int) -> None:
        chance = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.ended.is_set():
            row = dict(chance.choice(rows))
            if chance.random() < 0.1:
                row["carrier"] = UNKNOWN_CARRIER
            body = json.dumps({"dataframe_records": [row]})
            headers = {"Content-Type": "application/json", "X-Slipway-Key": f"passenger {chance.randrange(100_000)}"}
            began = time.monotonic()
            try:
                connection.request("POST", "/invocations", body, headers)
                answer = connection.getresponse()
                answer.read()
                version, status = answer.headers.get("X-Slipway-Version", ""), answer.status
            except (OSError, http.client.HTTPException):
                connection.close()  # the next request opens another
                version, status = "", 0
            now = time.monotonic()
            self.answered.append(Answered(now, version, status, now - began))
            self.ended.wait(0.01)


def main() -> None:
    """Deploy the first release, promote the better one by evidence, and have a harmful one taken back."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stories = judged_before()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    released, better = stories[0], stories[1]
    flights_of_july()
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            tell = deploy("first", released.version)
            say(started, f"version {released.version} is {tell['state']} at {tell['url']}")
            git("merge", "--quiet", "--ff-only", better.name)
            later = pool.submit(demo.pull_request, LATER)
            with Traffic(port_of(tell["url"])) as traffic:
                release(started, traffic, better)
                strict = later.result()
                say(started, f"{LATER}: {strict.verdict} ({strict.seconds:.0f} s): {'it sees what `better` sees'}")
                git("merge", "--quiet", "--ff-only", LATER)
                release(started, traffic, strict)
                time.sleep(2)
        finally:
            take_down()
    say_what_happened(traffic, started)


def judged_before() -> list[Story]:
    """What the demo has judged, and the world as it was then."""
    os.environ["SLIPWAY_CACHE"] = str(HOME)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{STORE}"
    take_down()
    stories = demo.recall("judged")
    if not stories:
        demo.main()
        stories = demo.recall("judged")
    demo.forget(LATER)
    return stories


def release(started: float, traffic: Traffic, story: Story) -> None:
    """Release a version as a canary, until evidence has decided about it."""
    before = len(traffic.answered)
    began = time.monotonic()
    tell = deploy(story.name, story.version, "--watch-minutes", "2", "--look-seconds", "1")
    seen = traffic.answered[before:]
    counts = Counter(each.version for each in seen)
    failed = Counter(each.version for each in seen if each.failed)
    say(started, f"version {story.version} ({story.name}): {tell['state']}; version {tell['live']} is live")
    for version, count in sorted(counts.items()):
        print(f"           version {version or 'none'}: {count} requests, {failed[version]} failed")
    print(time.monotonic() - began)


def deploy(name: str, version: str, *options: str) -> dict[str, str]:
    """Run deploy-model in a clone of its own, as a job would; what it says."""
    clone, written, log = PLACE / name / "clone", PLACE / name / "outputs.txt", PLACE / name / "log.txt"
    git("clone", "--quiet", str(FLIGHTS), str(clone))
    written.touch()
    given = ("--environment", "production", "--model-version", version, "--report", str(PLACE / name / "report.json"))
    script = str(ROOT / "scripts" / "deploy_model.py")
    with log.open("wb") as file:
        subprocess.run(
            [str(environments.for_group("deploy-model")), script, *given, *options],
            cwd=clone,
            env=demo.environ(
                SLIPWAY_HOME=str(PLACE / name),
                GITHUB_OUTPUT=str(written),
                GITHUB_STEP_SUMMARY=str(PLACE / name / "summary.md"),
            ),
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    found = outputs.read(written)
    if not found.get("state"):
        sys.exit(f"The deployment broke. Its log is {log}:\n{log.read_text(encoding='utf-8')}")
    return found


def take_down() -> None:
    """End the servers and the gateway by the target's own means; nothing happens where none runs."""
    if not (SERVING / "state.json").exists():
        return
    code = """
        from pathlib import Path
        from slipway.policy import load
        from slipway.runner.context import Run
        from slipway.targets import finding

        policy = load(Path("slipway.yml"), Run.from_environ()).policy
        rules = policy.deployment.environments["production"]
        target = finding.find(rules.target, model=policy.model, ready_seconds=rules.ready_seconds)
        target.state()
        target.set_traffic({})
        for each in target.state():
            target.stop(each.version)
    """
    python = str(environments.for_group("deploy-model"))
    demo.run([python, "-c", textwrap.dedent(code)], PYTHONPATH=str(ROOT / "scripts"))
    shutil.rmtree(SERVING)


def flights_of_july() -> None:
    """Write the rows that clients ask about: what a model may know of a flight."""
    code = """
        import sys
        import polars as pl

        month = pl.read_parquet(sys.argv[1]).sample(5_000, seed=2013)
        month.drop("late", "scheduled", "date").write_ndjson(sys.argv[2])
    """
    (month,) = demo.prepared_data().rglob("2013-07.parquet")
    python = str(environments.for_lock(ROOT / "examples" / "flights" / "prepare.txt"))
    demo.run([python, "-c", textwrap.dedent(code), str(month), str(JULY)])


def port_of(url: str) -> int:
    """The gateway's."""
    return int(url.rpartition(":")[2])


def say_what_happened(traffic: Traffic, started: float) -> None:
    """What the ledger tells, and where to look."""
    print(demo.audit("what-was-live"))
    print(demo.audit("history"))
    print(time.monotonic() - started, len(traffic.answered), LEDGER, commit)


if __name__ == "__main__":
    main()
