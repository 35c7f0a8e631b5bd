"""Who signs: a key, a certificate with its key, or the workflow itself by the identity that GitHub vouches for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.policy.model import SigningMethod
from slipway.runner.errors import InputError, RemoteError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.signing.files import hashing_of

CURVES = ("secp256r1", "secp384r1", "secp521r1")
AUDIENCE = "sigstore"
"""For whom GitHub issues the token that proves the workflow's identity."""


@dataclass(frozen=True, kw_only=True)
class Signer:
    """What a signature is made with.

    private_key: PEM text. signing_certificate: path of the certificate of that key. certificate_chain: path of the
    certificates between it and the authority.
    """

    method: SigningMethod
    private_key: Secret = NO_SECRET
    signing_certificate: Path | None = None
    certificate_chain: Path | None = None

    def sign(
        self, folder: Path, name: str, signature: Path, require: Callable[[dict[str, str]], None] = lambda _: None
    ) -> None:
        """Sign all files of a model's folder, as `name`, into the file `signature` outside of the folder.

        require: is shown the files and their SHA-256, in order, and raises where they must not be signed. It is asked
        before there is a signature: one by the method `workflow` is public at once, and cannot be taken back.

        Raises:
            InputError: the key, the certificate, or the job's right to an identity is missing or cannot be used.
            RemoteError: Sigstore did not answer.
        """
        assert not signature.resolve().is_relative_to(folder.resolve()), "it would be a file of the model"
        config = self._workflow() if self.method == "workflow" else self._key()

        def signable(files: dict[str, str]) -> None:
            if not files:
                raise InputError(
                    f"{name} has no files, so there is nothing to sign.",
                    fix="Look at the version's artifacts in MLflow, and train again where they are lost.",
                )
            require(files)

        try:
            config.set_hashing_config(hashing_of(name, signable)).sign(folder, signature)
        except SlipwayError:
            raise
        except ValueError as error:
            raise InputError("The model cannot be signed.", why=str(error)) from error
        except Exception as error:
            if self.method != "workflow":
                raise
            raise sigstore_failed(error) from error

    def public_key(self) -> str:
        """The public half of the private key, as PEM."""
        from cryptography.hazmat.primitives import serialization

        key = _private_key(self.private_key)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())

    def _key(self) -> Any:
        from model_signing import signing

        _private_key(self.private_key)  # says what is wrong with it in our words
        with as_files(self.private_key.reveal()) as (key,):
            if self.method == "key":
                return signing.Config().use_elliptic_key_signer(private_key=key)
            if self.signing_certificate is None:
                raise InputError(
                    "`signing-certificate` is needed for the method `certificate` and was not given.",
                    fix="Give the path of the certificate (PEM) that belongs to the private key.",
                )
            # The library cannot read an empty chain; the certificate itself adds nothing to what it embeds.
            chain = self.certificate_chain or self.signing_certificate
            for file in (self.signing_certificate, chain):
                read_certificates(file)
            try:
                return signing.Config().use_certificate_signer(
                    private_key=key, signing_certificate=self.signing_certificate, certificate_chain=[chain]
                )
            except ValueError as error:
                raise InputError(
                    f"{self.signing_certificate} is not the certificate of the private key.",
                    why=str(error),
                    fix="Give the certificate that was issued for this key.",
                ) from error

    def _workflow(self) -> Any:
        # The token is fetched here: without one the library would open a browser and wait for a person.
        try:
            from model_signing import signing
            from sigstore import oidc

            token = oidc.detect_credential(AUDIENCE)
            if token:
                return signing.Config().use_sigstore_signer(identity_token=token, client_id=AUDIENCE)
        except Exception as error:
            raise sigstore_failed(error) from error
        raise InputError(
            "The job has no identity to sign with.",
            why="GitHub gives a job a token of its identity only if it may ask for one.",
            fix="Add `id-token: write` to the job's `permissions:`. Outside of GitHub Actions sign with a key.",
        )


def sigstore_failed(error: Exception) -> RemoteError:
    """Sigstore, or the way to it, failed."""
    return RemoteError(
        "Sigstore, which the method `workflow` needs, could not be used.",
        why=f"{type(error).__name__}: {' '.join(str(error).split())[:500]}",
        fix="Check the job's `id-token: write` and that the runner reaches Sigstore, and run the job again. Where it "
        "never does (air-gapped, GitHub Enterprise Server), use the method `key` or `certificate`.",
    )


@contextmanager
def as_files(*texts: str) -> Iterator[tuple[Path, ...]]:
    """Texts as files that only this user can read, for as long as the library reads them: it takes paths only."""
    written: list[Path] = []
    try:
        for text in texts:
            handle, name = tempfile.mkstemp(prefix="slipway-", suffix=".pem", dir=os.environ.get("RUNNER_TEMP") or None)
            written.append(Path(name))
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
        yield tuple(written)
    finally:
        for path in written:
            path.unlink(missing_ok=True)


def read_certificates(file: Path) -> str:
    """The text of a file of certificates; InputError where it holds none."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The certificate {file} cannot be read.", why=str(error)) from error
    require_certificates(text, str(file))
    return text


def require_certificates(text: str, named: str) -> None:
    """InputError where a text holds no certificates."""
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise InputError(
            f"{named} holds no certificate.",
            why=str(error),
            fix="Give a PEM file: each certificate begins with `-----BEGIN CERTIFICATE-----`.",
        ) from error


def require_public_key(text: str, named: str) -> None:
    """InputError where a text is not the public half of an elliptic curve key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{named} is not a public key.",
            fix="Give a PEM file that begins with `-----BEGIN PUBLIC KEY-----`: `openssl ec -in key.pem -pubout`.",
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise InputError(f"{named} is not a key on one of the curves {', '.join(CURVES)}.", fix=_MAKE_ONE)


_MAKE_ONE = "Make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`."


def _private_key(secret: Secret) -> Any:
    """The key; InputError, without a word of it, where it cannot be used."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if not secret:
        raise InputError(
            "`private-key` is needed to sign and was not given.",
            fix="Give the text of the key (PEM) from a secret: `private-key: ${{ secrets.MODEL_SIGNING_KEY }}`.",
        )
    try:
        key = serialization.load_pem_private_key(secret.reveal().encode(), password=None)
    except TypeError:
        raise InputError(
            "The private key has a password.",
            why="A secret that holds the key protects it as well as one that holds its password.",
            fix="Store the key without it: `openssl ec -in key.pem -out plain.pem`.",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # The cause is not chained: what the library says of a text could hold some of it.
        raise InputError(
            "`private-key` is not a private key.",
            fix="Give the whole text of a PEM file, with its first line `-----BEGIN … PRIVATE KEY-----`, its last, and "
            f"its line ends. {_MAKE_ONE}",
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise InputError(f"The private key is on none of the curves {', '.join(CURVES)}.", fix=_MAKE_ONE)
    return key
