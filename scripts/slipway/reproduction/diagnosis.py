"""Why a rebuild does not match: from the first layer that differs, else from trainings that are repeated for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slipway.policy.model import Grade
from slipway.reproduction.layers import Row, first_difference
from slipway.reproduction.matching import Match, Matcher, rank
from slipway.reproduction.rebuilding import DataChangedError, Rebuilt, Workshop
from slipway.runner import commands
from slipway.runner.errors import SlipwayError

Cause = Literal[
    "",
    "changed data",
    "unpinned dependency",
    "changed environment",
    "another Python",
    "changed code",
    "changed parameters",
    "unseeded randomness",
    "thread count",
    "machine",
    "saving",
    "unrecorded input",
    "unknown",
]

OF_LAYER: dict[str, Cause] = {
    "commit": "changed code",
    "data": "changed data",
    "lock": "changed environment",
    "Python": "another Python",
    "parameters": "changed parameters",
    "command": "changed code",
    "seed": "changed parameters",
}


@dataclass(frozen=True)
class Diagnosis:
    """layer: the first that differs. cause: the likely one. says: what was found. advice: what to do about it."""

    layer: str = ""
    cause: Cause = ""
    says: tuple[str, ...] = ()
    advice: str = ""


def of_failure(failure: SlipwayError) -> Diagnosis:
    """Of a rebuild that stopped before it had made a model."""
    if isinstance(failure, DataChangedError):
        return Diagnosis("data", "changed data", (), failure.fix)
    return Diagnosis()


@dataclass(frozen=True)
class Laboratory:
    """What is needed to train again, and to compare. recorded: the recorded model's files."""

    workshop: Workshop
    matcher: Matcher
    recorded: Path

    def diagnose(self, first: Rebuilt, match: Match, rows: Sequence[Row], *, experiments: bool) -> Diagnosis:
        """The likely cause. experiments: whether the training may be repeated to find it, up to three times."""
        row = first_difference(list(rows))
        layer = row.layer if row else ""
        if row and (row.layer in OF_LAYER or row.layer == "packages"):
            return self._of_input(row)
        if not experiments:
            said = "The training was not repeated to find the cause (`diagnose: false`)."
            return Diagnosis(layer, "unknown", (said,))
        try:
            return self._repeat(layer, first, match, rows)
        except SlipwayError as failure:
            return Diagnosis(layer, "unknown", (f"The cause could not be looked for: {failure.what}",), failure.fix)

    def _of_input(self, row: Row) -> Diagnosis:
        if row.layer != "packages":
            return Diagnosis(row.layer, OF_LAYER[row.layer], (f"The first layer that differs is {row.name}.",))
        hashed = self.workshop.recorded.made.environment.hash_locked
        said = f"The same lock brought other packages: {row.rebuilt} in place of {row.recorded}."
        if hashed:
            why = (
                "The recorded environment held packages that its lock does not name: a step or the command added them."
            )
            return Diagnosis("packages", "changed environment", (said, why), "Name every package in the lock.")
        advice = (
            "Lock every package with its version and hashes (`uv pip compile --generate-hashes`), train again, and "
            "release that version."
        )
        return Diagnosis("packages", "unpinned dependency", (said, "The lock leaves versions open."), advice)

    def _repeat(self, layer: str, first: Rebuilt, match: Match, rows: Sequence[Row]) -> Diagnosis:
        commands.say("Training once more under the same seed: do two rebuilds agree with each other?")
        second = self.workshop.attempt("second")
        same = self.matcher.same(first.model, second.model)
        if rank(match.grade) <= rank("structure"):
            return self._of_saving(layer, same)
        if same == "none":
            return self._of_chance(layer)
        return self._of_surroundings(layer, rows)

    def _of_saving(self, layer: str, same: Grade) -> Diagnosis:
        if same == "bytes":
            said = "The estimator is the same, two rebuilds have the same files, and the recorded files are others."
            return Diagnosis(
                layer, "machine", (said,), "Compare the files: what they hold of the machine makes them differ."
            )
        said = "The estimator is the same in every attempt; what differs is how it is written to files."
        advice = (
            "Leave times and memory addresses out of the files, as examples/flights/train.py does for skops, or ask "
            "for `grade: structure`."
        )
        return Diagnosis(layer, "saving", (said,), advice)

    def _of_chance(self, layer: str) -> Diagnosis:
        commands.say("They do not. Training twice with one thread: do these agree?")
        alone, again = (self.workshop.attempt(name, one_thread=True) for name in ("one-thread", "one-thread-again"))
        two = "Trained twice under the same seed, the two rebuilds differ from each other as well."
        if self.matcher.same(alone.model, again.model) != "none":
            said = "With one thread they are the same: the order in which threads finish decides."
            return Diagnosis(
                layer, "thread count", (two, said), "Train with one thread, or with a library's deterministic mode."
            )
        seed = self.workshop.recorded.made.seed
        unset = "The policy sets no seed. " if seed is None else ""
        said = f"With one thread they differ, too. {unset}Something draws at random without a seed."
        advice = (
            "Seed every generator from SLIPWAY_SEED (random, NumPy, the library's `random_state`) and let nothing "
            "follow from the clock."
        )
        return Diagnosis(layer, "unseeded randomness", (two, said), advice)

    def _of_surroundings(self, layer: str, rows: Sequence[Row]) -> Diagnosis:
        commands.say(
            "They do, so the training is deterministic here. Training with one thread: is it the recorded model?"
        )
        alone = self.workshop.attempt("one-thread", one_thread=True)
        agree = "Trained twice, the two rebuilds are the same: the training is deterministic on this machine."
        if self.matcher.same(self.recorded, alone.model) != "none":
            said = "With one thread the rebuild is the recorded model."
            return Diagnosis(layer, "thread count", (agree, said), "Fix the number of threads in the job's `env:`.")
        machine = [row for row in rows if row.layer == "machine" and row.same == "no"]
        if machine:
            names = ", ".join(row.name for row in machine)
            said = f"The machine is another one ({names}), and numerical libraries choose their code by it."
            advice = "Rebuild on a machine of the recorded kind to be sure, or ask for `grade: predictions`."
            return Diagnosis("machine", "machine", (agree, said), advice)
        said = "All that is recorded is the same, so the model follows from something that is not recorded."
        advice = (
            "Look for what the command reads beside its data: the network, files outside of the repository, variables "
            "of the job, the date."
        )
        return Diagnosis(layer, "unrecorded input", (agree, said), advice)
