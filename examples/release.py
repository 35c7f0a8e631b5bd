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
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import demo
from demo import DEMO, FLIGHTS, HOME, LATER, LEDGER, RESULTS, ROOT, SERVING, STORE, Story, git, say

from slipway.runner import environments, outputs
from slipway.targets import processes

PLACE = RESULTS / "release"
"""What each deployment has left: report, page, summary and log."""

JULY = DEMO / "july.jsonl"
"""Flights of July, as clients ask about them."""

END_SECONDS = 35
"""A little more than a server gives requests that have begun."""

CLIENTS = 4
REQUESTS = 200
"""So many are watched before and after a release."""

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

    def wait_for(self, count: int) -> None:
        """Until so many more requests were answered."""
        until = len(self.answered) + count
        while len(self.answered) < until:
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, rows: list[dict[str, object]], seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - nothing secret
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
    stories = {story.name: story for story in judged_before()}
    released, better = stories["first-release"], stories["better"]
    flights_of_july()
    git("merge", "--quiet", "--ff-only", better.name)
    print(
        "Releasing on model servers of this machine, under requests; meanwhile a pull request is judged …", flush=True
    )
    with ThreadPoolExecutor(max_workers=1) as pool, demo.ended_with_us():
        try:
            judging = pool.submit(demo.pull_request, LATER)
            first = deploy("first-release", released.version)
            say(started, f"version {first['live']} answers at {first['url']}")
            with Traffic(int(first["url"].rpartition(":")[2])) as traffic:
                traffic.wait_for(REQUESTS)
                share(traffic, "before anything is released", 0)
                release(started, traffic, better)
                strict = judging.result()
                say(started, f"{LATER}: {strict.verdict}: none of its checks has seen the carrier {UNKNOWN_CARRIER}")
                git("merge", "--quiet", "--ff-only", LATER)
                release(started, traffic, strict)
        finally:
            take_down()
    say_where_to_look(started, len(traffic.answered), strict)


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
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    return stories


def release(started: float, traffic: Traffic, story: Story) -> None:
    """Release a version as a canary until evidence has decided about it, and say what clients saw."""
    began = len(traffic.answered)
    found = deploy(story.name, story.version, "--watch-minutes", "3", "--look-seconds", "1")
    ended = len(traffic.answered)
    traffic.wait_for(REQUESTS)
    had = [each for each in traffic.answered[began:ended] if each.version == story.version]
    seconds = traffic.answered[ended - 1].when - had[0].when if had else 0.0
    what = {"live": "is promoted", "rolled-back": "is taken back"}.get(found["state"], found["state"])
    say(started, f"version {story.version} ({story.name}) {what} after {seconds:.0f} s of evidence")
    share(traffic, "while it was a canary", began, ended)
    share(traffic, f"after it, version {found['live']} being live", ended)


def share(traffic: Traffic, when: str, begin: int, end: int | None = None) -> None:
    """How many requests failed, of each version."""
    answered, failed = Counter[str](), Counter[str]()
    for each in traffic.answered[begin:end]:
        answered[each.version] += 1
        failed[each.version] += each.failed
    told = [
        f"{failed[version]} of {answered[version]:,} by version {version or 'none'}" for version in sorted(answered)
    ]
    print(f"          failed {when}: {', '.join(told) or 'nobody asked'}", flush=True)


def deploy(name: str, version: str, *options: str) -> dict[str, str]:
    """Run deploy-model in a clone of its own, as a job would; what it says."""
    clone, written, log = PLACE / name / "clone", PLACE / name / "outputs.txt", PLACE / name / "log.txt"
    git("clone", "--quiet", str(FLIGHTS), str(clone))
    written.touch()
    given = ("--environment", "production", "--model-version", version, "--report", str(PLACE / name / "report.json"))
    script = str(ROOT / "scripts" / "deploy_model.py")
    demo.run_script(
        [str(environments.for_group("deploy-model")), script, *given, *options],
        clone,
        log,
        SLIPWAY_HOME=str(PLACE / name),
        GITHUB_OUTPUT=str(written),
        GITHUB_STEP_SUMMARY=str(PLACE / name / "summary.md"),
    )
    found = outputs.read(written)
    if not found.get("state"):
        sys.exit(f"The deployment broke. Its log is {log}:\n{log.read_text(encoding='utf-8')}")
    return found


def take_down() -> None:
    """End the servers and the gateway, however far their start came. Whoever is in a hurry may press Ctrl-C again."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    for record in SERVING.rglob("process.json"):
        processes.Daemon(record.parent).end(END_SECONDS)
    shutil.rmtree(SERVING, ignore_errors=True)
    for number, handler in handlers.items():
        signal.signal(number, handler)


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


def say_where_to_look(started: float, requests: int, strict: Story) -> None:
    """What the ledger tells, and what there is to read."""
    told = [demo.audit("what-was-live"), demo.audit("compare", "--model", "flight-delays")]
    print(f"\nDone in {time.monotonic() - started:.0f} s and {requests:,} requests; servers and gateway have ended.")
    print("The ledger tells it:\n")
    for answer in told:
        print(answer[answer.index("audit-trail: ") :].partition("\nledger head")[0].rstrip(), end="\n\n")
    print(
        textwrap.dedent(
            f"""
            What to look at next:
              How the canary was promoted:   {(PLACE / "better" / "deploy-model.html").relative_to(ROOT)}
              How it was taken back:         {(PLACE / LATER / "deploy-model.html").relative_to(ROOT)}
              What the pull request said:    {strict.comment.relative_to(ROOT)}
              The policy that released:      {(FLIGHTS / "slipway.yml").relative_to(ROOT)}
              The audit trail:               git -C {FLIGHTS.relative_to(ROOT)} log {LEDGER}"""
        )
    )


if __name__ == "__main__":
    demo.stop_at_sigterm()
    main()
