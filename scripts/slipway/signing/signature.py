"""Signature files: a Sigstore bundle around an in-toto statement that lists the model's files, read strictly."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.policy.model import SigningMethod
from slipway.runner.errors import GateError
from slipway.signing.signer import CURVES

BUNDLE = {"mediaType", "verificationMaterial", "dsseEnvelope"}
ENVELOPE = {"payload", "payloadType", "signatures"}
TIMES = {"tlogEntries", "timestampVerificationData"}
"""What may stand beside the key or certificate: entries of the public log and timestamps, for the library alone."""

METHODS: dict[str, SigningMethod] = {
    "publicKey": "key",
    "x509CertificateChain": "certificate",
    "certificate": "workflow",
}


@dataclass(frozen=True)
class Signature:
    """What a signature file says. None of it counts before the library has verified the same file.

    certificate: DER bytes of the signer's own; empty for the method `key`.
    """

    method: SigningMethod
    name: str
    files: dict[str, str]
    key_hint: str
    certificate: bytes


def read(path: Path) -> Signature:
    """Read a signature file.

    It is read once here, and once by the library that verifies it. So that both must see the same, keys that occur
    twice or that are not known are refused. Raises GateError for everything that is not such a file.
    """
    try:
        return _read(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise GateError(
            "The model's signature cannot be read.",
            why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            fix="Sign the version again with sign-model.",
        ) from error


def signer_of(said: Signature) -> str:
    """Who signed, as a signature names it: fingerprint of the key, or names and fingerprint of the certificate."""
    if said.method == "key":
        return f"key sha256:{said.key_hint}"
    names = ", ".join(names_of(said)) or "without a name"
    return f"{names} (certificate sha256:{hashlib.sha256(said.certificate).hexdigest()})"


def names_of(said: Signature) -> list[str]:
    """Common name, URIs and addresses that the signer's certificate is for. GateError where it is no certificate."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_der_x509_certificate(said.certificate)
        names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    except ValueError as error:
        raise GateError("The certificate of the signature cannot be read.", why=str(error)) from error
    for kind in (x509.UniformResourceIdentifier, x509.RFC822Name, x509.DNSName):
        names += map(str, others.get_values_for_type(kind))
    return names


def require_curve(said: Signature) -> None:
    """GateError where the signer's certificate is for another kind of key: the library takes it for one on a curve."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = x509.load_der_x509_certificate(said.certificate).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise GateError("The certificate of the signature cannot be read.", why=str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise GateError(f"Its certificate is for no key on one of the curves {', '.join(CURVES)}.")


def _read(text: str) -> Signature:
    bundle = json.loads(text, object_pairs_hook=_unique)
    _require_parts("the bundle", bundle, BUNDLE)
    _require_parts("its envelope", bundle["dsseEnvelope"], ENVELOPE)
    if len(bundle["dsseEnvelope"]["signatures"]) != 1:
        raise ValueError("it holds no signature, or several")
    material = bundle["verificationMaterial"]
    if not isinstance(material, dict):
        raise ValueError("what verifies it is no object")
    (kind,) = (key for key in METHODS if key in material)
    _require_parts("what verifies it", {key: material[key] for key in material.keys() - TIMES}, {kind})
    statement = json.loads(
        base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True), object_pairs_hook=_unique
    )
    (subject,) = statement["subject"]
    serialization = statement["predicate"]["serialization"]
    resources = statement["predicate"]["resources"]
    algorithms = {serialization["hash_type"], *(each["algorithm"] for each in resources)}
    if serialization["method"] != "files" or algorithms != {"sha256"}:
        raise ValueError("it does not list the SHA-256 of files")
    return Signature(
        method=METHODS[kind],
        name=str(subject["name"]),
        files=_unique((each["name"], each["digest"]) for each in resources),
        key_hint=_hint(material[kind]) if kind == "publicKey" else "",
        certificate=b"" if kind == "publicKey" else _certificate(kind, material[kind]),
    )


def _require_parts(what: str, found: Any, known: set[str]) -> None:
    if not isinstance(found, dict) or found.keys() != known:
        raise ValueError(f"{what} is not made of {', '.join(sorted(known))}")


def _hint(material: Any) -> str:
    _require_parts("the name of its key", material, {"hint"})
    if not isinstance(material["hint"], str) or not material["hint"]:
        raise ValueError("it does not name its key")
    return material["hint"]


def _certificate(kind: str, material: Any) -> bytes:
    if kind == "x509CertificateChain":
        _require_parts("its chain", material, {"certificates"})
        material = material["certificates"][0]
    _require_parts("its certificate", material, {"rawBytes"})
    return base64.b64decode(material["rawBytes"], validate=True)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"`{key}` occurs twice")
        found[key] = value
    return found
