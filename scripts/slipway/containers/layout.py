"""An OCI image layout on disk: the blobs of one image, and what its manifest says.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """One image. raw: the manifest's bytes, whose SHA-256 is the image's digest."""

    folder: Path
    raw: bytes
    media_type: str

    @classmethod
    def of(cls, folder: Path) -> Layout:
        """Read a layout that holds one image. ValueError where its manifest is not what its digest says."""
        index = json.loads((folder / "index.json").read_bytes())
        (only,) = index["manifests"]
        raw = _blob(folder, only["digest"]).read_bytes()
        found = cls(folder, raw, str(only["mediaType"]))
        if found.digest != only["digest"]:
            raise ValueError("the manifest is not what its digest says")
        return found

    @property
    def digest(self) -> str:
        """Digest of the image."""
        return f"sha256:{hashlib.sha256(self.raw).hexdigest()}"

    @property
    def manifest(self) -> Json:
        """What the manifest says."""
        return dict(json.loads(self.raw))

    @property
    def config(self) -> Json:
        """The image's configuration."""
        return dict(json.loads(self.blob(self.config_digest).read_bytes()))

    @property
    def config_digest(self) -> str:
        """What stores on a machine know the image by."""
        return str(self.manifest["config"]["digest"])

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return dict(self.config.get("config", {}).get("Labels") or {})

    @property
    def bytes_to_push(self) -> int:
        """Bytes of all layers as they travel."""
        return sum(int(each["size"]) for each in self.manifest["layers"])

    @property
    def blobs(self) -> Iterator[tuple[str, Path]]:
        """Digest and file of the configuration and of each layer, each once."""
        described = [self.manifest["config"], *self.manifest["layers"]]
        for digest in dict.fromkeys(str(each["digest"]) for each in described):
            yield digest, self.blob(digest)

    def blob(self, digest: str) -> Path:
        """File of a blob."""
        return _blob(self.folder, digest)

    def archive(self, file: Path) -> Path:
        """The layout as one file, as scanners read it."""
        with tarfile.open(file, "w") as archive:
            for path in sorted(self.folder.rglob("*")):
                archive.add(path, path.relative_to(self.folder).as_posix(), recursive=False)
        return file


def _blob(folder: Path, digest: str) -> Path:
    algorithm, _, content = digest.partition(":")
    if algorithm != "sha256" or not content.isalnum():
        raise ValueError(f"`{digest}` is no SHA-256")
    return folder / "blobs" / algorithm / content
