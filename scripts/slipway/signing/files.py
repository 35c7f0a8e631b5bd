"""Which files a signature covers: every file of the model's folder, by SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from slipway.registry.digests import DOWNLOAD_MARK


def hashing_of(name: str, require: Callable[[dict[str, str]], None] = lambda _: None) -> Any:
    """The library's hashing, with three rules of ours; after it ran, `found` has the files and their SHA-256.

    require: is shown the files before the library goes on, and raises where it must not.

    What is signed is called `name`, so that a signature belongs to one version. The mark that MLflow leaves in every
    downloaded copy is no part of the model. Nothing else is left out: the library would pass over `.git` and its like,
    and over whatever a signature lists, and a file there could be added unseen.
    """
    from model_signing import hashing, manifest

    class Hashing(hashing.Config):
        found: Mapping[str, str] = MappingProxyType({})

        def hash(self, model_path: hashing.PathLike, *, files_to_hash: Iterable[hashing.PathLike] | None = None) -> Any:
            seen = super().hash(model_path, files_to_hash=files_to_hash)
            listed = list(seen.resource_descriptors())
            self.found = {each.identifier: each.digest.digest_hex for each in listed}
            require(dict(self.found))
            items = [manifest.FileManifestItem(path=PurePosixPath(e.identifier), digest=e.digest) for e in listed]
            return manifest.Manifest(name, items, manifest.SerializationType.from_args(seen.serialization_type))

        def add_ignored_paths(self, **_: Any) -> None:
            """What the signature would leave out is not left out."""

    untyped: Any = Hashing
    return untyped().set_ignored_paths(paths=[DOWNLOAD_MARK], ignore_git_paths=False)


def differences(signed: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with which file, in words."""
    changed = (f"{name}: changed" for name in sorted(signed.keys() & found.keys()) if signed[name] != found[name])
    removed = (f"{name}: removed" for name in sorted(signed.keys() - found.keys()))
    added = (f"{name}: added" for name in sorted(found.keys() - signed.keys()))
    return (*changed, *removed, *added)
