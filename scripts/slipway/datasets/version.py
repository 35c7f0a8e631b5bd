"""What a dataset's version is, whatever system keeps it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from slipway.datasets.address import is_remote, quoted

HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class DatasetVersion:
    """A dataset's identity.

    immutable: whether `id` names this content for ever. If not, `remark` says what to do about it.
    """

    path: str
    kind: str
    id: str
    immutable: bool
    remark: str = ""
    tracked_by: str = ""
    """The file that holds the version: a `.dvc` file, `dvc.lock`, or the data themselves in git."""

    pinned: str = ""
    """Remote data: the URI that names exactly this version, for the policy. Empty where their system has none."""

    sha256: str = ""
    """SHA-256 over names and bytes of the files, where they were read for it (a single file: of its bytes)."""

    tree: bool = False
    """Kept in git: whether `id` is a folder's."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def in_words(self) -> str:
        """Path, system and identity, for people."""
        return f"{self.path} {self.kind} {self.id}"

    @property
    def uri(self) -> str:
        """The version as one URI, as SLSA's `resolvedDependencies` want it."""
        if is_remote(self.path):
            return self.pinned or quote(self.path, safe="/=,:@!$*+;()%?#&")
        algorithm, _, value = self.id.partition(":")
        named = {"dvc": "dvc", "git": "git", "lfs": "git-lfs"}.get(self.kind, "file")
        return f"{named}:{quoted(self.path)}?" + (f"{algorithm}={value}" if value else f"oid={self.id}")

    @property
    def digest(self) -> dict[str, str]:
        """What is known of the content by digest, under in-toto's names; empty where only a version's name is known."""
        known = {"sha256": self.sha256} if self.sha256 else {}
        algorithm, _, value = self.id.partition(":")
        if self.kind == "git" or (self.kind == "lfs" and not value):
            known["gitTree" if self.tree else "gitBlob"] = self.id
        elif self.kind in ("dvc", "lfs") and HEX.fullmatch(value):
            known[algorithm] = value
        elif self.kind == "huggingface":
            known["gitCommit"] = self.id
        return known
