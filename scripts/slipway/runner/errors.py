"""Expected failures. Whoever reads one learns what happened, why, and what to do next; never a traceback.

SlipwayError
├── InputError      an input, the data or the repository is not usable as given
├── PolicyError     slipway.yml or a schema says something that cannot be meant
├── GateError       a gate did not pass
├── RemoteError     a system that the stage depends on refused, failed or did not answer
└── ConflictError   somebody else changed the same thing, or a thing is compared with itself
"""

from __future__ import annotations


class SlipwayError(Exception):
    """A failure that is the caller's to mend (exit code 1); anything else that escapes is our defect (exit code 2).

    `what` is one sentence and becomes the annotation's title; `why` and `fix` follow it. `file` and `line`
    place the annotation in the user's repository where the failure belongs to a place.
    """

    title = "Slipway"

    def __init__(self, what: str, *, why: str = "", fix: str = "", file: str = "", line: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.file = file
        self.line = line

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"Why: {self.why}")
        if self.fix:
            parts.append(f"What to do: {self.fix}")
        return "\n".join(parts)


class InputError(SlipwayError):
    """An input, the data or the repository is not usable as given."""

    title = "Input"


class PolicyError(SlipwayError):
    """slipway.yml or a schema says something that cannot be meant."""

    title = "Policy"


class GateError(SlipwayError):
    """A gate did not pass."""

    title = "Gate"


class RemoteError(SlipwayError):
    """A system that the stage depends on refused, failed or did not answer."""

    title = "Remote system"


class ConflictError(SlipwayError):
    """Somebody else changed the same thing, or a thing is compared with itself."""

    title = "Conflict"


BY_NAME = {kind.__name__: kind for kind in (InputError, PolicyError, GateError, RemoteError, ConflictError)}
"""What a program that runs apart may raise here."""
