"""Whose signature counts: the public half of a key, authorities of certificates, or the identity of a workflow."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.policy.model import SigningMethod
from slipway.policy.source import SourcedPolicy


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a signature is held to. public_key, certificate_chain: the PEM texts themselves, not their paths."""

    method: SigningMethod
    public_key: str = ""
    certificate_chain: str = ""
    identity: str = ""
    identity_provider: str = ""
    required: bool = True
    """Whether a version without a signature is refused; a wrong signature always is."""

    @classmethod
    def of_policy(cls, sourced: SourcedPolicy) -> Trust | None:
        """What the policy demands; in a pull request the base branch's, its public keys included."""
        said = sourced.policy.signing
        if said is None:
            return None
        return cls(
            method=said.method,
            public_key=sourced.trusted_file(said.public_key) if said.method == "key" and said.public_key else "",
            certificate_chain=sourced.trusted_file(said.certificate_chain)
            if said.method == "certificate" and said.certificate_chain
            else "",
            identity=said.identity or "",
            identity_provider=said.identity_provider,
            required=said.required,
        )
