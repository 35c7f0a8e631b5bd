"""The version as a CycloneDX 1.6 bill of materials (ECMA-424): https://cyclonedx.org/docs/1.6/json/.

The JSON is written directly, since the library has no classes for model cards
(https://github.com/CycloneDX/cyclonedx-python-lib/issues/914); its strict validator holds the official schema.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from slipway.audit.dossier import Dossier
from slipway.audit.measured import Measured, measured
from slipway.report.markdown import URL_SIGNS

MODEL = "model"
ALGORITHMS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
LENGTHS = {"MD5": 32, "SHA-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128}

LONGEST_VERSION = 1024
"""Characters that the schema allows for a version."""

Json = dict[str, Any]


def bill_of_materials(dossier: Dossier) -> str:
    """Model, model card, data, packages and how they depend, as JSON that was held against the schema."""
    data, packages = list(_data(dossier)), list(_packages(dossier))
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"slipway:{dossier.trail.head}:{dossier.model}:{dossier.version}")
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identity}",
        "version": 1,
        "metadata": {
            "timestamp": f"{dossier.as_of.recorded_at:%Y-%m-%dT%H:%M:%SZ}",
            "lifecycles": [{"phase": "post-build"}],
            "tools": {"components": [{"type": "application", "name": "Slipway"}]},
            "component": _model(dossier, data),
        },
        "components": [*data, *packages],
        "dependencies": [{"ref": MODEL, "dependsOn": [each["bom-ref"] for each in (*data, *packages)]}],
        # What the packages depend on among each other, and on the machine, is not on record.
        "compositions": [{"aggregate": "incomplete", "dependencies": [MODEL]}],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    validate(text)
    return text


def validate(text: str) -> None:
    """Hold a bill of materials against the official schema. ValueError says what is wrong with it."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise ValueError(f"The bill of materials breaks the schema of CycloneDX 1.6: {error}")


def _model(dossier: Dossier, data: list[Json]) -> Json:
    entry, provenance = dossier.first.entry, dossier.provenance
    facts = {
        "head": dossier.trail.head,
        "live_in": ", ".join(dossier.live_in),
        "hash_of": "SHA-256 over the names and digests of all files" if dossier.digest else None,
        "payload_digest": provenance.get("payload_digest"),
        "model_digest": dossier.digest,
        "command": json.dumps(provenance["command"]) if provenance.get("command") else None,
        "seed": provenance.get("seed"),
        "lock": (provenance.get("environment") or {}).get("lock_digest"),
        **{f"entry:{record.entry.sequence}:{record.entry.event}": record.digest for record in dossier.records},
    }
    commit, ancestor = str(provenance.get("commit") or ""), str(provenance.get("base_model") or "")
    pedigree = {
        **({"ancestors": [{"type": "machine-learning-model", "name": ancestor}]} if ancestor else {}),
        **({"commits": [{"uid": commit}]} if commit else {}),
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": dossier.model,
        "version": dossier.version,
        "hashes": _hashes(dossier.digest),
        **({"pedigree": pedigree} if pedigree else {}),
        "externalReferences": list(_references(dossier, entry.run.url, entry.justification.url)),
        "modelCard": _card(dossier, data),
        "properties": _properties("slipway", facts),
    }


def _card(dossier: Dossier, data: list[Json]) -> Json:
    report = dossier.report(dossier.evaluation) if dossier.evaluation else None
    parameters = dossier.provenance.get("parameters")
    return {
        "modelParameters": {"datasets": [{"ref": each["bom-ref"]} for each in data]},
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(measured(report))) if report else []},
        "properties": _properties("slipway:parameter", parameters if isinstance(parameters, dict) else {}),
    }


def _metrics(found: list[Measured]) -> Iterator[Json]:
    """The candidate's own values, with their intervals where they have one, and the differences to production."""
    told = {(each.metric, each.part) for each in found if not each.relative}
    for each in found:
        part = {"slice": each.part} if each.part else {}
        if each.relative and each.candidate is not None and (each.metric, each.part) not in told:
            told.add((each.metric, each.part))
            yield {"type": each.metric, "value": repr(each.candidate), **part}
        name = f"{each.metric}, candidate minus production" if each.relative else each.metric
        interval = {"lowerBound": repr(each.low), "upperBound": repr(each.high)}
        yield {"type": name, "value": repr(each.value), **part, "confidenceInterval": interval}


def _data(dossier: Dossier) -> Iterator[Json]:
    """Each dataset that an entry names, once: the training's own, and those that it was checked and judged on."""
    named = dossier.provenance.get("datasets")
    found: dict[tuple[str, str], Json] = {}
    for name, said in sorted(named.items()) if isinstance(named, dict) else ():
        identity = f"{said.get('kind')}:{said.get('id')}"
        found[name, identity] = {
            key: said.get(key) for key in ("path", "pinned", "tracked_by", "immutable", "remark", "sha256")
        }
    for record in dossier.records:
        for subject in record.entry.subjects:
            if subject.role == "data":
                found.setdefault((subject.name, subject.id), {})
                found[subject.name, subject.id].setdefault(f"entry:{record.entry.sequence}", record.entry.event)
    for (name, identity), said in found.items():
        # Other systems name a version by what is no digest of the content: of names and versions, or of a commit.
        of_content = identity.startswith(("dvc:", "file:", "lfs:"))
        hashes = _hashes(f"sha256:{said.get('sha256')}") or (_hashes(identity) if of_content else [])
        if identity.startswith("file:sha256:"):
            said["hash_of"] = "SHA-256 over the names and digests of all files"
        elif said.get("sha256"):
            said["hash_of"] = "SHA-256 of the file; of a folder, over the names and digests of all files"
        yield {
            "type": "data",
            "bom-ref": f"data:{quote(name, safe='')}@{identity}",
            "name": name or "data",
            "version": identity[:LONGEST_VERSION],
            "hashes": hashes,
            "data": [{"type": "dataset", "name": name or "data"}],
            "properties": _properties("slipway:data", said),
        }


def _packages(dossier: Dossier) -> Iterator[Json]:
    """What the training's environment had, each with the digests that the lock allows for it."""
    from packageurl import PackageURL

    told = set()
    for name, version in dossier.packages:
        # The list is the run's own: whatever is no name of a package gets no address of one.
        proper = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
        address = PackageURL("pypi", None, name, version or None).to_string() if proper else ""
        reference = address or f"package:{quote(name)}@{quote(version)}"
        if reference in told:
            continue
        told.add(reference)
        hashes = dossier.hashes_of(name, version)
        locked = "yes, one of these files" if hashes else "no"
        yield {
            "type": "library",
            "bom-ref": reference,
            "name": name,
            "version": version[:LONGEST_VERSION],
            **({"purl": address} if address else {}),
            "hashes": [hash_ for algorithm, content in hashes for hash_ in _hashes(f"{algorithm}:{content}")],
            "properties": _properties("slipway", {"locked_by_hash": locked}),
        }
    python = (dossier.provenance.get("environment") or {}).get("python")
    if python:
        yield {"type": "platform", "bom-ref": f"python@{python}", "name": "python", "version": python[:LONGEST_VERSION]}


def _references(dossier: Dossier, run: str, why: str) -> Iterator[Json]:
    yield {"type": "model-card", "url": "model-card.html"}
    for kind, address in (("build-meta", run), ("vcs", why)):
        if re.match(r"https?://[^/]", address):
            # A percent sign that begins no escape is one itself.
            whole = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", address)
            yield {"type": kind, "url": quote(whole, safe=URL_SIGNS)}
    for record in dossier.records:
        for each in record.entry.evidence:
            place = f"evidence/entry-{record.entry.sequence}/{each.name}"
            yield {"type": "evidence", "url": place, "hashes": _hashes(each.digest)}


def _hashes(digest: str) -> list[Json]:
    """A digest (`sha256:…`, also behind the name of a system as in `dvc:md5:…`) as CycloneDX writes it."""
    *_, algorithm, content = ["", *digest.split(":")]
    known = ALGORITHMS.get(algorithm)
    fits = known and re.fullmatch(r"[0-9a-f]+", content) and len(content) == LENGTHS[known]
    return [{"alg": known, "content": content}] if fits else []


def _properties(prefix: str, said: Json) -> list[Json]:
    """What is known of `said` as properties."""
    return [
        {"name": f"{prefix}:{name}", "value": str(value).lower() if isinstance(value, bool) else str(value)}
        for name, value in said.items()
        if value not in (None, "")
    ]
