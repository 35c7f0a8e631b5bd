"""Signatures of models: made once, checked before every deployment. One library, OpenSSF's model-signing."""

from slipway.signing.signer import Signer
from slipway.signing.trust import Trust
from slipway.signing.versions import ARTIFACT, Verification, sign_version, verify_files, verify_named, verify_version

__all__ = [
    "ARTIFACT",
    "Signer",
    "Trust",
    "Verification",
    "sign_version",
    "verify_files",
    "verify_named",
    "verify_version",
]
