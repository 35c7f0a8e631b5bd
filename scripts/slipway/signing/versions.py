"""Signatures of registered versions: kept with the MLflow run that trained the model, checked against its files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slipway.registry.digests import listing
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Check, Verdict, combine
from slipway.runner.errors import GateError, InputError
from slipway.signing import signature
from slipway.signing.files import differences, hashing_of
from slipway.signing.signature import Signature
from slipway.signing.signer import Signer, as_files, require_certificates, require_public_key, sigstore_failed
from slipway.signing.trust import Trust

FOLDER, FILE = "slipway", "model.sig"
ARTIFACT = f"{FOLDER}/{FILE}"
"""Where a signature lies among the artifacts of the run: outside of the model's folder, which it covers whole."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a check of a version's signature found.

    folder: the very files that were checked; deploy these and no others. file: the signature; None where there is none.
    """

    verdict: Verdict
    headline: str
    checks: tuple[Check, ...]
    folder: Path
    file: Path | None = None
    signer: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong, in sentences."""
        return tuple(check.detail for check in self.checks if check.verdict is not Verdict.PASS)

    def require(self) -> None:
        """GateError unless the signature may be trusted, or was not demanded and is not there."""
        if self.verdict is Verdict.FAIL:
            raise GateError(
                self.headline,
                why="\n".join(self.reasons),
                fix="Do not deploy this version. If it is what you trained, sign it with sign-model and the right key.",
            )


def name_of(version: ModelVersion) -> str:
    """What a signature calls the version: MLflow's address of it."""
    return f"models:/{version.model}/{version.version}"


def sign_version(registry: Registry, version: ModelVersion, signer: Signer, trust: Trust | None, scratch: Path) -> Path:
    """Sign a registered version and keep the signature with its run; returns a copy of the signature in `scratch`.

    With `trust` the signature is verified before it is kept, so that one that would be refused later is refused now.

    Raises:
        InputError: key or certificate cannot be used, or the version belongs to no run.
        GateError: the files are not those that were registered, or the signature would not be trusted.
        RemoteError: MLflow or Sigstore failed. A version never has the tags without the signature.
    """
    if not version.run_id:
        raise InputError(
            f"{version.name.capitalize()} of `{version.model}` belongs to no MLflow run.",
            why="Its signature is kept with the run that made it.",
            fix="Register the model from a run, as train-model does.",
        )
    made = scratch / FILE
    folder = registry.download(version, _fresh(scratch / "model"))
    signer.sign(folder, name_of(version), made, require=partial(_require_registered, version))
    who = signature.signer_of(signature.read(made))
    if trust:
        verify_files(version, folder, made, trust).require()
    registry.log_file(version.run_id, made, FOLDER)
    tags = {"signature": ARTIFACT, "signature_method": signer.method, "signer": who}
    registry.tag_version(version, {f"slipway.{name}": value for name, value in tags.items()})
    return made


def verify_version(registry: Registry, version: ModelVersion, trust: Trust, scratch: Path) -> Verification:
    """Download a version and its signature into `scratch`, and hold both to `trust`. Call `require` on the result.

    A missing signature fails where `trust.required` says so and is inconclusive otherwise. Whatever the version's
    tags say of a signature counts for nothing.

    Raises:
        InputError: what is to be trusted cannot be read.
        RemoteError: MLflow or Sigstore failed.
    """
    folder = registry.download(version, _fresh(scratch / "model"))
    file = registry.run_file(version.run_id, ARTIFACT, scratch / "signature") if version.run_id else None
    if file is None:
        verdict = Verdict.FAIL if trust.required else Verdict.INCONCLUSIVE
        headline = f"{version.name.capitalize()} of `{version.model}` is not signed."
        detail = f"The MLflow run {version.run_id or '(none)'} has no artifact {ARTIFACT}: sign the version first."
        missing = Check(name="signature", verdict=verdict, detail=detail)
        return Verification(verdict=verdict, headline=headline, checks=(missing,), folder=folder)
    return verify_files(version, folder, file, trust)


def verify_files(version: ModelVersion, folder: Path, file: Path, trust: Trust) -> Verification:
    """Hold a version's files in `folder`, and its signature, to `trust`. InputError where that cannot be read."""
    called = f"{version.name.capitalize()} of `{version.model}`"
    return verify_named(name_of(version), called, folder, file, trust, registered=_registered(version))


def verify_named(
    name: str, called: str, folder: Path, file: Path, trust: Trust, *, registered: str = ""
) -> Verification:
    """Hold the files in `folder`, and their signature, to `trust`. InputError where that cannot be read.

    name: what the signature must be for. called: the same for people. registered: digest that the files must have,
    where one is on record.
    """
    checks: list[Check] = []
    who = ""
    try:
        said = signature.read(file)
        if said.method != trust.method:
            raise GateError(f"It was made by the method `{said.method}`, and `{trust.method}` is demanded.")
        if said.method == "certificate":
            signature.require_curve(said)
        found, as_signed = _authentic(folder, file, trust, name)
        who = signature.signer_of(said)
        checks.append(Check(name="signature", verdict=Verdict.PASS, detail=f"Signed by {who}."))
        checks += _details(name, registered, trust, said, found)
        if not as_signed and combine(check.verdict for check in checks) is Verdict.PASS:
            raise GateError("The library that verified it found differences in the files.")
    except GateError as refused:
        detail = " ".join(filter(None, (refused.what, refused.why)))
        checks.append(Check(name="signature", verdict=Verdict.FAIL, detail=detail))
    verdict = combine(check.verdict for check in checks)
    state = "is signed" if verdict is Verdict.PASS else "does not carry a valid signature"
    return Verification(
        verdict=verdict,
        headline=f"{called} {state}.",
        checks=tuple(checks),
        folder=folder,
        file=file,
        signer=who,
    )


def _require_registered(version: ModelVersion, files: dict[str, str]) -> None:
    """GateError where the files are others than those whose digest train-model wrote down when it registered them."""
    registered, found = _registered(version), _digest(files)
    if registered and registered != found:
        raise GateError(
            f"The files of {version.name} of `{version.model}` are not those that were registered.",
            why=f"They were registered as {registered}, and are {found}. Nothing was signed.",
            fix="Find out who changed the files of a registered version. Train again, and sign that.",
        )


def _registered(version: ModelVersion) -> str:
    return version.tags.get("slipway.model_digest", "")


def _digest(files: dict[str, str]) -> str:
    return f"sha256:{hashlib.sha256(listing(files).encode()).hexdigest()}"


def _authentic(folder: Path, file: Path, trust: Trust, name: str) -> tuple[dict[str, str], bool]:
    """Have the library verify the signature; returns the files that it found, and whether they are as they were signed.

    GateError where it objects to the signature. Where it objects to files only, `_details` says to which.
    """
    from cryptography.exceptions import InvalidSignature
    from OpenSSL.crypto import X509StoreContextError

    hashing = hashing_of(name)
    config = _verifier(trust).set_hashing_config(hashing)
    as_signed = False
    try:
        config.verify(folder, file)
        as_signed = True
    except InvalidSignature:
        raise GateError("It was not made with the key that is trusted, or was changed afterwards.") from None
    except X509StoreContextError as error:
        raise GateError("Its certificate was issued by no authority that is trusted.", why=f"{error}.") from error
    except ValueError as error:
        if not str(error).startswith("Signature mismatch:"):
            raise GateError("It is not valid.", why=" ".join(str(error).split())) from error
    except Exception as error:
        if trust.method != "workflow":
            raise
        from sigstore.errors import VerificationError
        from sigstore.models import InvalidBundle

        if isinstance(error, VerificationError | InvalidBundle):
            raise GateError("It was not made by the workflow that is trusted.", why=str(error)) from error
        raise sigstore_failed(error) from error
    return hashing.found, as_signed


def _verifier(trust: Trust) -> Any:
    from model_signing import verifying

    config = verifying.Config()
    if trust.method == "workflow":
        try:
            return config.use_sigstore_verifier(identity=trust.identity, oidc_issuer=trust.identity_provider)
        except Exception as error:
            raise sigstore_failed(error) from error
    if trust.method == "key":
        require_public_key(trust.public_key, "The public key that is trusted")
        with as_files(trust.public_key) as (key,):
            return config.use_elliptic_key_verifier(public_key=key)
    # With an empty list the library would trust every authority that browsers do.
    require_certificates(trust.certificate_chain, "The certificate chain that is trusted")
    with as_files(trust.certificate_chain) as (chain,):
        return config.use_certificate_verifier(certificate_chain=[chain])


def _details(name: str, registered: str, trust: Trust, said: Signature, found: dict[str, str]) -> Iterator[Check]:
    """What the library leaves open: whose certificate, which version, which files differ, and whether they are those
    whose digest stands in reports and ledger: it is a tag, which more people can alter than files."""
    if trust.method == "certificate" and trust.identity:
        names = signature.names_of(said)
        if trust.identity in names:
            yield Check(name="identity", verdict=Verdict.PASS, detail=f"The certificate is for {trust.identity}.")
        else:
            detail = f"The certificate is for {', '.join(names) or 'nobody'}, not for {trust.identity}."
            yield Check(name="identity", verdict=Verdict.FAIL, detail=detail)
    if said.name == name:
        yield Check(name="version", verdict=Verdict.PASS, detail=f"It is for {said.name}.")
    else:
        detail = f"It is for {said.name}, not for {name}: another version's signature was put here."
        yield Check(name="version", verdict=Verdict.FAIL, detail=detail)
    wrong = differences(said.files, found)
    if wrong:
        more = f" and {len(wrong) - 5} more" * (len(wrong) > 5)
        detail = f"{len(wrong)} of the model's files are not those that were signed: {', '.join(wrong[:5])}{more}."
        yield Check(name="files", verdict=Verdict.FAIL, detail=detail, count=len(wrong), examples=wrong[:20])
    else:
        yield Check(name="files", verdict=Verdict.PASS, detail=f"All {len(found)} files are those that were signed.")
    if registered:
        detail, verdict = f"The version was registered as {registered}", Verdict.PASS
        if registered != _digest(found):
            detail, verdict = f"{detail}, and its files are {_digest(found)}", Verdict.FAIL
        yield Check(name="digest", verdict=verdict, detail=f"{detail}.")


def _fresh(folder: Path) -> Path:
    """An empty folder: a file of an earlier download would count as one of the model."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
