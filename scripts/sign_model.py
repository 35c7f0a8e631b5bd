"""Sign a registered version with OpenSSF model-signing, or verify that a version carries the signature it must."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slipway.policy.model import SigningMethod
from slipway.policy.source import SourcedPolicy, file_digest, load
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Check, Report, Subject, Verdict, enforce, publishing
from slipway.runner import context, stage
from slipway.runner.errors import InputError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret, user_name
from slipway.signing import ARTIFACT, Signer, Trust, sign_version, signature, verify_version
from slipway.signing.signer import read_certificates


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Sign a model, or verify its signature."""

    policy: Path = Path("slipway.yml")
    model_version: str = ""
    tracking_uri: str = ""
    command: Literal["sign", "verify"] = "sign"
    method: SigningMethod | None = None
    private_key: Secret = NO_SECRET
    public_key: Path | None = None
    signing_certificate: Path | None = None
    certificate_chain: Path | None = None
    identity: str = ""
    identity_provider: str = ""
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The verdict, and where the signature is."""

    report: Path
    verdict: Verdict
    signature: Path | None = None


def main(given: Inputs) -> None:
    """Sign or verify, write the report, and fail the step where the signature must not be trusted."""
    sourced = load(given.policy, context.Run.from_environ())
    require_inputs(given, sourced)
    model = sourced.policy.model
    path = given.report or context.report_file(model, "sign-model")
    policy = Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest)
    report = Report(
        stage="sign-model", model=model, verdict=Verdict.INCONCLUSIVE, reasons=sourced.remarks, subjects=(policy,)
    )
    kept: Path | None = None
    try:
        registry = Registry(given.tracking_uri)
        version = registry.candidate(model, given.model_version)
        subject = Subject(role="candidate", name=version.version, id=version.tags.get("slipway.model_digest", ""))
        report = report.model_copy(
            update={"provenance": facts(sourced, version), "subjects": (policy, subject)},
        )
        with tempfile.TemporaryDirectory() as scratch:
            work = sign if given.command == "sign" else verify
            report, found = work(report, registry, version, given, sourced, Path(scratch))
            if found:
                kept = keep(found, path)
                report = report.model_copy(update={"attachments": {kept.name: file_digest(kept)}})
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=report.provenance or sourced.provenance)
        publish(report, path, kept)
        raise
    publish(report, path, kept)
    enforce(report, on_inconclusive="warn")


def require_inputs(given: Inputs, sourced: SourcedPolicy) -> None:
    """What is wrong with the inputs says nothing of a model: it must leave no report, which could become evidence."""
    refuse_contradictions(given, sourced)
    if given.command == "sign" and not given.model_version:
        raise InputError(
            "`model-version` was not given.",
            why="A signature answers for one version, and the candidate alias moves whenever somebody trains.",
            fix="Give the `model-version` output of train-model.",
        )
    method = require_method(given, sourced)
    if given.command == "verify" and sourced.policy.signing is None:
        trust_of_inputs(given, method)


def refuse_contradictions(given: Inputs, sourced: SourcedPolicy) -> None:
    """An input that says something else than the policy could only weaken it, or make a signature nobody accepts.

    One that the policy says nothing of would be passed over, and whoever gave it believe that it was checked.
    """
    said = sourced.policy.signing
    if said is None:
        return
    names = ["method"]
    if given.command == "verify":
        names += ["public_key", "certificate_chain", "identity", "identity_provider"]
    for name in names:
        here, there = getattr(given, name), getattr(said, name)
        if here and str(here) != str(there or ""):
            said_there = f"`signing.{name}` of the policy says `{there}`"
            unsaid = "the policy's section `signing` says nothing of it"
            raise InputError(
                f"The input `{user_name(name)}` says `{here}`, and {said_there if there else unsaid}.",
                fix="Leave the input out, or write it into the policy: what the policy says holds.",
            )


def sign(
    report: Report, registry: Registry, version: ModelVersion, given: Inputs, sourced: SourcedPolicy, scratch: Path
) -> tuple[Report, Path]:
    """Sign the version; a signature that the policy would refuse is not kept."""
    said = sourced.policy.signing
    signer = Signer(
        method=require_method(given, sourced),
        private_key=given.private_key,
        signing_certificate=given.signing_certificate,
        certificate_chain=given.certificate_chain,
    )
    trust = Trust.of_policy(sourced) if said else own_trust(signer)
    made = sign_version(registry, version, signer, trust, scratch)
    who = signature.signer_of(signature.read(made))
    check = Check(name="signature", verdict=Verdict.PASS, detail=f"Signed by {who}.")
    update = {
        "verdict": Verdict.PASS,
        "headline": f"Signed {version.name} of `{version.model}`.",
        "checks": (check,),
        "provenance": {**report.provenance, "signature": ARTIFACT, "signer": who, "method": signer.method},
    }
    return report.model_copy(update=update), made


def own_trust(signer: Signer) -> Trust | None:
    """What a new signature can be held to where no policy says it: the other half of the very key."""
    if signer.method == "key":
        return Trust(method="key", public_key=signer.public_key())
    return None


def verify(
    report: Report, registry: Registry, version: ModelVersion, given: Inputs, sourced: SourcedPolicy, scratch: Path
) -> tuple[Report, Path | None]:
    """Hold the version and its signature to what the policy trusts, or else to what the inputs name."""
    trust = Trust.of_policy(sourced) or trust_of_inputs(given, require_method(given, sourced))
    found = verify_version(registry, version, trust, scratch)
    update = {
        "verdict": found.verdict,
        "headline": found.headline,
        "reasons": (*found.reasons, *report.reasons),
        "checks": found.checks,
        "provenance": {**report.provenance, "signer": found.signer or "none", "method": trust.method},
    }
    return report.model_copy(update=update), found.file


def require_method(given: Inputs, sourced: SourcedPolicy) -> SigningMethod:
    """The policy's method, or the input's."""
    method = sourced.policy.signing.method if sourced.policy.signing else given.method
    if method is None:
        raise InputError(
            "No method of signing is named.",
            fix="Write a `signing` section into the policy, or give the input `method`: key, certificate or workflow.",
        )
    return method


def trust_of_inputs(given: Inputs, method: SigningMethod) -> Trust:
    """Whom the inputs trust, where the policy has no `signing` section."""
    needed = {"key": "public_key", "certificate": "certificate_chain", "workflow": "identity"}[method]
    if not getattr(given, needed):
        raise InputError(f"`{user_name(needed)}` is needed to verify by the method `{method}` and was not given.")
    try:
        key = given.public_key.read_text(encoding="utf-8") if method == "key" and given.public_key else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The public key {given.public_key} cannot be read.", why=str(error)) from error
    chain = read_certificates(given.certificate_chain) if method == "certificate" and given.certificate_chain else ""
    provider = given.identity_provider or "https://token.actions.githubusercontent.com"
    return Trust(
        method=method, public_key=key, certificate_chain=chain, identity=given.identity, identity_provider=provider
    )


def facts(sourced: SourcedPolicy, version: ModelVersion) -> dict[str, str]:
    """What the report names by digest."""
    digest = version.tags.get("slipway.model_digest", "")
    return {"model_version": version.version, "model_digest": digest, **sourced.provenance}


def keep(found: Path, report: Path) -> Path:
    """A copy of the signature beside the report, for later steps."""
    report.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(found, report.with_name("model.sig")))


def publish(report: Report, path: Path, kept: Path | None) -> None:
    """Report, outputs, summary."""
    publishing.publish(report, path, Outputs(report=path, verdict=report.verdict, signature=kept))


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
