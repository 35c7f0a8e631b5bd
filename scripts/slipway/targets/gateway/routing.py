"""Which version answers a request: by its key, so that whoever had the canary keeps it while its share grows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from typing import Any

KEY_HEADER, KEY_COOKIE = "X-Slipway-Key", "slipway-key"
"""Where a request says to whom it belongs. Who has neither is given the cookie, with a key by chance."""

VERSION_HEADER = "X-Slipway-Version"
"""In a request: the version that shall answer, whatever the traffic. In an answer: the version that did."""


@dataclass(frozen=True)
class Table:
    """What is served. It is exchanged as a whole, so that no request sees half of a change.

    ports: of each version's server, on the loopback. shares: of the requests, 0 to 1. bounds: of the predictions'
    histogram; none where the predictions are no numbers, or nobody knows yet.
    """

    model: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Table:
        """From JSON."""
        return cls(str(said["model"]), dict(said["ports"]), dict(said["shares"]), tuple(said["bounds"]))

    def assigned(self, key: str) -> str | None:
        """The version that answers whoever has this key; None where nobody has traffic.

        Weighted rendezvous hashing: each version draws a number from its name and the key, and the smallest wins.
        A key leaves a version only for one whose share has grown, and another canary is given to other keys.
        """
        drawn = {version: -log(_uniform(version, key)) / share for version, share in self.shares.items() if share > 0}
        return min(drawn, key=lambda version: drawn[version], default=None)


def _uniform(version: str, key: str) -> float:
    """A number between 0 and 1, the same for the same names."""
    drawn = hashlib.blake2b(f"{version}\n{key}".encode(errors="surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(drawn) // 2**12 + 0.5) / 2**52
