"""What is attached to an image: its bill of materials, how it came about, and a signature over both and the image."""

from __future__ import annotations

import importlib.metadata
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from slipway.containers.layout import Layout
from slipway.packaging import contents
from slipway.packaging.contents import Plan
from slipway.packaging.distribution import Descriptor, Repository
from slipway.runner.context import Run
from slipway.signing import Signer, Trust, verify_named

SBOM_TYPE = "application/vnd.cyclonedx+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
SIGNATURE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""Types of the artifacts: https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md names the last."""

SBOM, STATEMENT, SIGNATURE, MANIFEST = "sbom.cdx.json", "provenance.intoto.json", "image.sig", "manifest.json"
DOCS = "https://github.com/your-org/slipway/blob/main/docs/package-model.md"
BUILD_TYPE = f"{DOCS}#build-type-package-model-v1"
LOCAL_BUILDER = f"{DOCS}#outside-of-github-actions"

SPDX = re.compile(r"[A-Za-z0-9.+()-]+( (AND|OR|WITH) [A-Za-z0-9.+()-]+)*")


@dataclass(frozen=True)
class Evidence:
    """The files by name. signature: None where nobody signs."""

    sbom: bytes
    statement: bytes
    signature: bytes | None = None

    def files(self) -> Iterator[tuple[str, str, bytes]]:
        """Type, name and content of each."""
        yield SBOM_TYPE, SBOM, self.sbom
        yield STATEMENT_TYPE, STATEMENT, self.statement
        if self.signature is not None:
            yield SIGNATURE_TYPE, SIGNATURE, self.signature


def make(plan: Plan, site: Path, repository: str, image: Layout, run: Run, builder: str) -> Evidence:
    """Bill of materials and statement for an image that was built. site: the folder with its packages."""
    return Evidence(
        bill_of_materials(plan, site, repository, image).encode(),
        (json.dumps(statement(plan, repository, image.digest, run, builder), indent=2) + "\n").encode(),
    )


def sign(
    evidence: Evidence, repository: str, image: Layout, signer: Signer, trust: Trust | None, scratch: Path
) -> Evidence:
    """The evidence with a signature over it and over the manifest, whose SHA-256 is the image's digest.

    GateError where `trust` would refuse it, before anything is pushed.
    """
    folder = lay_out(scratch / "signed", image.raw, evidence.sbom, evidence.statement)
    made = scratch / SIGNATURE
    name = name_of(repository, image.digest)
    signer.sign(folder, name, made)
    if trust:
        verify_named(name, f"The image {name}", folder, made, trust).require()
    return Evidence(evidence.sbom, evidence.statement, made.read_bytes())


def attach(repository: Repository, image: Descriptor, evidence: Evidence) -> None:
    """Attach each file to the image in its registry."""
    for kind, name, content in evidence.files():
        repository.attach(image, kind, name, content)


def lay_out(folder: Path, manifest: bytes, sbom: bytes, said: bytes) -> Path:
    """What a signature covers, as the folder that the library signs and verifies."""
    folder.mkdir(parents=True)
    for name, content in ((MANIFEST, manifest), (SBOM, sbom), (STATEMENT, said)):
        (folder / name).write_bytes(content)
    return folder


def name_of(repository: str, digest: str) -> str:
    """What a signature is for: one image in one repository."""
    return f"{repository}@{digest}"


def bill_of_materials(plan: Plan, site: Path, repository: str, image: Layout) -> str:
    """Packages of the model and of the system, the model itself and the base image, as CycloneDX 1.6 (JSON).

    https://cyclonedx.org/docs/1.6/json/
    """
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    def sha256(digest: str) -> list[HashType]:
        return [HashType(alg=HashAlgorithm.SHA_256, content=digest.rpartition(":")[2])]

    base, (name, _, base_digest) = plan.found, plan.base.partition("@")
    whole = Component(
        name=repository,
        version=plan.tag,
        type=ComponentType.CONTAINER,
        bom_ref="image",
        hashes=sha256(image.digest),
        purl=_oci(repository, image.digest),
    )
    parts = [
        Component(
            name=plan.model,
            version=plan.version,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref="model",
            hashes=sha256(plan.model_digest),
            properties=[Property(name="slipway:hash_of", value="SHA-256 over the names and digests of all files")],
        ),
        Component(
            name=name,
            version=base_digest,
            type=ComponentType.CONTAINER,
            bom_ref="base",
            hashes=sha256(base_digest),
            purl=_oci(name, base_digest),
        ),
        Component(name="python", version=base.full_version, type=ComponentType.PLATFORM, bom_ref="python"),
    ]
    locked = contents.hashes_of(plan.lock.text)
    for package, version in installed(site):
        hashes = sorted(locked.get(f"{package}=={version}", ()))
        parts.append(
            Component(
                name=package,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=f"pypi:{package}@{version}",
                purl=PackageURL("pypi", None, package, version),
                hashes=[each for hash_ in hashes if hash_.startswith("sha256:") for each in sha256(hash_)],
                properties=[
                    Property(name="slipway:locked_by_hash", value="yes, one of these files" if hashes else "no")
                ],
            )
        )
    for kind, package, version, machine in base.packages:
        system = {"arch": machine, "distro": f"{base.system}-{base.system_version}"}
        parts.append(
            Component(
                name=package,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=f"{kind}:{package}@{version}:{machine}",
                purl=PackageURL(kind, base.system or None, package, version, {k: v for k, v in system.items() if v}),
            )
        )
    metadata = BomMetaData(
        timestamp=datetime.fromtimestamp(plan.epoch, UTC),
        component=whole,
        tools=[],
    )
    metadata.tools.components.add(Component(name="Slipway", type=ComponentType.APPLICATION))
    bom = Bom(
        components=parts, metadata=metadata, serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"slipway:{image.digest}")
    )
    bom.register_dependency(whole, parts)
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def installed(site: Path) -> list[tuple[str, str]]:
    """Name and version of each package in a folder."""
    found = importlib.metadata.distributions(path=[str(site)])
    return sorted({(str(canonicalize_name(each.metadata["Name"])), each.version) for each in found})


def statement(plan: Plan, repository: str, digest: str, run: Run, builder: str) -> dict[str, Any]:
    """How the image came about, as an in-toto statement with SLSA's predicate.

    https://slsa.dev/spec/v1.0/provenance
    """
    base, _, base_digest = plan.base.partition("@")
    commit = plan.labels.get("org.opencontainers.image.revision", "")
    source = plan.labels.get("org.opencontainers.image.source", "")
    dependencies = [
        {
            "name": plan.model,
            "uri": f"models:/{plan.model}/{plan.version}",
            "digest": _sha256(plan.model_digest),
            **_role("model"),
        },
        {"name": base, "uri": f"docker://{plan.base}", "digest": _sha256(base_digest), **_role("base image")},
        {
            "name": contents.LOCK,
            "digest": _sha256(plan.lock.digest),
            **_role("environment lock", origin=plan.lock.origin),
        },
        {"name": "golden.json", "digest": _sha256(plan.labels["slipway.golden"]), **_role("golden predictions")},
    ]
    if commit:
        place = {"uri": f"git+{source}@{commit}"} if source else {"name": "source"}
        dependencies.append({**place, "digest": {"gitCommit": commit}, **_role("source")})
    for name, identity in plan.labels.items():
        if name.startswith("slipway.dataset."):
            dependencies.append({"name": name.removeprefix("slipway.dataset."), **_role("dataset", id=identity)})
    github = {"repository": run.repository, "ref": run.ref, "event": run.event_name, "actor": run.actor}
    invocation = {"invocationId": f"{run.url}/attempts/{run.attempt}"} if run.url else {}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": repository, "digest": _sha256(digest)}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": plan.model,
                    "version": plan.version,
                    "base": plan.base,
                    "repository": repository,
                },
                "internalParameters": {
                    "builder": builder,
                    "python": plan.found.target.version,
                    "platform": plan.found.target.platform,
                    "sourceDateEpoch": str(plan.epoch),
                    **({"github": {k: v for k, v in github.items() if v}} if run.repository else {}),
                },
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": f"{run.server_url}/{run.workflow_ref}" if run.workflow_ref else LOCAL_BUILDER},
                "metadata": invocation,
            },
        },
    }


def _role(role: str, **more: str) -> Mapping[str, Any]:
    return {"annotations": {"role": role, **more}}


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}


def _oci(name: str, digest: str) -> Any:
    """https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md"""
    from packageurl import PackageURL

    return PackageURL("oci", None, name.rpartition("/")[2].lower(), digest, {"repository_url": name})
