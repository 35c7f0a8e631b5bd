"""What a model is made of, read from it in a confined process of its own environment, and where two differ."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from slipway.prediction import isolation
from slipway.prediction.isolation import Confinement
from slipway.prediction.process import Job, broke, start
from slipway.runner.errors import GateError

WORKER = Path(__file__).with_name("structure_worker.py")
SECONDS = 1_800.0
MOST_BYTES = 20_000_000
MODEL_AT_FAULT = 3


@dataclass(frozen=True)
class Structure:
    """A model's description. digest: of all of it. parts: path and digest of the first many values, in order."""

    digest: str
    parts: tuple[tuple[str, str], ...]

    def first_difference(self, other: Structure) -> str:
        """The path of the first value that differs; empty where none of those that are named does."""
        pairs = zip_longest(self.parts, other.parts)
        return next((mine[0] if mine else theirs[0] for mine, theirs in pairs if mine != theirs), "")

    def differing(self, other: Structure) -> int:
        """How many of the named values differ."""
        mine, theirs = Counter(self.parts), Counter(other.parts)
        return max((mine - theirs).total(), (theirs - mine).total())


def describe_all(jobs: list[Job], confinement: Confinement) -> list[Structure]:
    """Each model's structure; they are loaded side by side.

    Raises GateError where a model cannot be loaded or taken apart, RemoteError where its process broke.
    """
    deadline = time.monotonic() + SECONDS
    with ExitStack() as stack:
        started = []
        for job in jobs:
            begun = start(job, [], [], confinement, worker=WORKER)
            stack.callback(begun.said.close)
            stack.callback(isolation.end, begun.process)
            started.append(begun)
        for each in started:
            in_time = isolation.ended(each.process, deadline)
            code = each.process.returncode if in_time else MODEL_AT_FAULT
            if code == MODEL_AT_FAULT:
                said = each.last_words() if in_time else "it took too long"
                raise GateError(
                    f"{each.job.name} cannot be taken apart: {said.splitlines()[-1] if said else 'no word'}."
                )
            if code:
                raise broke(each)
    return [_read(job) for job in jobs]


def _read(job: Job) -> Structure:
    """What the model's process left: code of the model ran there, so it is checked like any input."""
    try:
        said = json.loads(isolation.read_left(job.output / "structure.json", MOST_BYTES))
        parts = tuple((str(path)[:300], str(digest)) for path, digest in said["parts"])
        return Structure(str(said["digest"]), parts)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise GateError(f"{job.name} left no description that can be read.", why=str(error)[:500]) from error
