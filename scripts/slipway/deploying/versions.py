"""What a release needs of the registry: a version's files held to digest and signature, its golden batch, its alias.

The registry is opened when something of it is needed: a rollback to a version that is still kept ready needs nothing
but the alias.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from slipway import signing
from slipway.packaging.distribution import Repository
from slipway.packaging.verification import verify_image
from slipway.policy.source import SourcedPolicy
from slipway.prediction import golden
from slipway.prediction.golden import Golden
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.release import reading
from slipway.report import Check, Subject
from slipway.runner import environments
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.targets.protocol import Servable

LOCK = "slipway/requirements.txt"


@dataclass
class Versions:
    """The versions of a policy's model. scratch: a folder that lasts as long as the run.

    username, token: to read images from their registry; what the job has logged in with where no token is given.
    """

    sourced: SourcedPolicy
    scratch: Path
    tracking_uri: str = ""
    username: str = "slipway"
    token: Secret = NO_SECRET
    checks: list[Check] = field(default_factory=list)
    """What was verified of the versions that this run brought up."""

    _files: dict[str, Path] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model's name."""
        return self.sourced.policy.model

    @cached_property
    def registry(self) -> Registry:
        """The registry, opened at its first use."""
        return Registry(self.tracking_uri)

    def find(self, version: str) -> ModelVersion:
        """One version; InputError where the registry does not have it."""
        return self.registry.by_version(self.model, version)

    def alias(self, name: str) -> str:
        """The version that an alias points at; empty where there is none."""
        return self.registry.aliases(self.model).get(name, "")

    def servable(self, version: str) -> Servable:
        """A version as a target needs it."""
        found = self.find(version)
        return Servable(
            model=self.model,
            version=version,
            model_digest=found.tags.get(reading.MODEL_DIGEST, ""),
            image=self._image(found),
            fetch=lambda: self.files(version),
            python=lambda folder: self._python(found, folder),
        )

    def files(self, version: str) -> Path:
        """The registered files of a version, held to their digest and, where the policy says so, to their signature.

        Raises GateError where the signature does not hold, InputError where the files are not those of the registry.
        """
        if version not in self._files:
            found = self.find(version)
            trust = signing.Trust.of_policy(self.sourced)
            folder = self.scratch / f"version-{version}"
            if trust:
                verification = signing.verify_version(self.registry, found, trust, folder / "signed")
                self.checks += verification.checks
                verification.require()
            files = self.registry.download(found, folder / "model")
            reading.require_registered(found, files)
            self._files[version] = files
        return self._files[version]

    def golden(self, version: str) -> Golden:
        """The batch that a version was judged with; GateError where there is none."""
        return golden.of_version(self.registry, self.find(version), self.scratch / f"golden-{version}")

    def subjects(self, version: str) -> tuple[Subject, ...]:
        """A version, its image and its registry, as reports name them."""
        found = self.find(version)
        image = found.tags.get(reading.IMAGE, "")
        return (
            Subject(role="candidate", name=version, id=found.tags.get(reading.MODEL_DIGEST, "")),
            *([Subject(role="image", name=image, id=image.rpartition("@")[2])] if image else []),
            Subject(role="registry", name="mlflow", id=self.registry.identity(self.model)),
        )

    def _image(self, found: ModelVersion) -> str:
        """The version's image, held to its labels, its evidence and its signature; empty where there is none."""
        image = found.tags.get(reading.IMAGE, "")
        packaging = self.sourced.policy.packaging
        if not image or packaging is None:
            return ""
        trust = signing.Trust.of_policy(self.sourced)
        repository = Repository(packaging.repository, self.username, self.token)
        verified = verify_image(found, repository, trust, self.scratch / f"image-{found.version}")
        self.checks += verified.checks
        verified.require()
        return verified.image

    def _python(self, found: ModelVersion, folder: Path) -> Path:
        lock = self.registry.run_file(found.run_id, LOCK, self.scratch / f"lock-{found.version}")
        return environments.for_lock(lock or folder / "requirements.txt", builds=False)
