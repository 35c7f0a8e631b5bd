"""Signatures over a model's folder: real keys and certificates, the real library, every way to tamper with either."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from slipway.registry.digests import DOWNLOAD_MARK, digest, file_digests
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Verdict
from slipway.runner.errors import GateError, InputError, RemoteError
from slipway.runner.inputs import Secret
from slipway.signing import Signer, Trust, Verification, sign_version, signature, verify_files, verify_version
from slipway.signing.signer import as_files

PEM = serialization.Encoding.PEM
PRIVATE, PUBLIC = serialization.PrivateFormat, serialization.PublicFormat.SubjectPublicKeyInfo
Key = ec.EllipticCurvePrivateKey


def new_key(curve: ec.EllipticCurve | None = None) -> Key:
    return ec.generate_private_key(curve or ec.SECP256R1())


def private(key: Any, password: bytes = b"") -> str:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(key.private_bytes(PEM, PRIVATE.PKCS8, locked).decode())


def public(key: Any) -> str:
    return str(key.public_key().public_bytes(PEM, PUBLIC).decode())


@dataclasses.dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(PEM).decode()


def issue(
    name: str,
    by: Issued | None = None,
    *,
    authority: bool = False,
    uri: str = "",
    signs: bool = True,
    key: Any = None,
) -> Issued:
    """A certificate for `name`, by an authority or by itself."""
    key = key or new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(signs, False, False, False, not signs, authority, authority, False, False)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    return Issued(key, builder.sign(by.key if by else key, hashes.SHA256()))


MODEL = "toy"
VERSION = ModelVersion(MODEL, "1", "run", "models:/m-1")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclasses.dataclass
class Signed:
    """A model's folder, its signature, and who is trusted."""

    folder: Path
    file: Path
    trust: Trust

    def verify(self, **change: Any) -> Verification:
        return verify_files(VERSION, self.folder, self.file, dataclasses.replace(self.trust, **change))

    def refused(self, **change: Any) -> str:
        """Why it is not trusted; the same as `require` says."""
        found = self.verify(**change)
        assert found.verdict is Verdict.FAIL
        assert found.headline == "Version 1 of `toy` does not carry a valid signature."
        with pytest.raises(GateError) as error:
            found.require()
        assert error.value.why == "\n".join(found.reasons)
        return error.value.why


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "weights.json").write_text('{"x1": 1.0}')
    (folder / "code" / "toy.py").write_text("pass\n")
    return folder


def with_key(model: Path, key: Key | None = None) -> Signed:
    key = key or new_key()
    signer = Signer(method="key", private_key=Secret(private(key)))
    file = model.with_name("model.sig")
    signer.sign(model, "models:/toy/1", file)
    return Signed(model, file, Trust(method="key", public_key=public(key)))


def with_certificate(model: Path, leaf: Issued, *chain: Issued, trusted: Issued) -> Signed:
    file, certificate, between = (model.with_name(name) for name in ("model.sig", "leaf.pem", "chain.pem"))
    certificate.write_text(leaf.pem)
    between.write_text("".join(each.pem for each in chain))
    signer = Signer(
        method="certificate",
        private_key=Secret(private(leaf.key)),
        signing_certificate=certificate,
        certificate_chain=between if chain else None,
    )
    signer.sign(model, "models:/toy/1", file)
    return Signed(model, file, Trust(method="certificate", certificate_chain=trusted.pem))


def changed_signature(file: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Rewrite bundle and statement of a signature; a statement that stays the same stays so byte for byte."""
    bundle = json.loads(file.read_text())
    before = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement = copy.deepcopy(before)
    change(bundle, statement)
    if statement != before:
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    file.write_text(json.dumps(bundle))


# With a key


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_sign__with_a_key_and_verify(model: Path, curve: ec.EllipticCurve) -> None:
    key = new_key(curve)
    made = with_key(model, key)
    found = made.verify()
    found.require()
    assert (found.verdict, found.folder, found.file) == (Verdict.PASS, model, made.file)
    assert found.signer == f"key sha256:{hashlib.sha256(public(key).encode()).hexdigest()}"
    assert {check.name: check.verdict for check in found.checks} == dict.fromkeys(
        ("signature", "version", "files"), Verdict.PASS
    )
    said = signature.read(made.file)
    assert said.files == file_digests(model)
    assert (said.method, said.name) == ("key", "models:/toy/1")


def test_sign__shows_the_files_in_the_order_of_the_digest(model: Path) -> None:
    for name in ("a/b", "a.txt", "code-2/x", "B"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(name)
    key = Secret(private(new_key()))
    shown: list[dict[str, str]] = []
    Signer(method="key", private_key=key).sign(model, "x", model.with_name("s"), shown.append)
    assert [list(files.items()) for files in shown] == [list(file_digests(model).items())]


def test_sign__never_into_the_folder_that_it_covers(model: Path) -> None:
    with pytest.raises(AssertionError, match="a file of the model"):
        Signer(method="key", private_key=Secret(private(new_key()))).sign(model, "x", model / "model.sig")


def test_sign__takes_a_key_of_the_older_form_and_without_its_last_line_end(model: Path) -> None:
    key = new_key()
    older = key.private_bytes(PEM, PRIVATE.TraditionalOpenSSL, serialization.NoEncryption()).decode().strip()
    assert older.startswith("-----BEGIN EC PRIVATE KEY-----")
    signer = Signer(method="key", private_key=Secret(older))
    signer.sign(model, "models:/toy/1", model.with_name("model.sig"))
    assert signer.public_key() == public(key)
    Signed(model, model.with_name("model.sig"), Trust(method="key", public_key=public(key))).verify().require()


TAMPERED = {
    "changed": ("weights.json", "weights.json: changed"),
    "removed": ("code/toy.py", "code/toy.py: removed"),
    "added": ("code/more.py", "code/more.py: added"),
    "added where the library does not look by itself": (".gitignore", ".gitignore: added"),
    "added in a folder where it does not look": (".git/hooks/x", ".git/hooks/x: added"),
    "added below the name of the mark": (f"code/{DOWNLOAD_MARK}", f"code/{DOWNLOAD_MARK}: added"),
}


@pytest.mark.parametrize("deed", TAMPERED)
def test_verify__says_which_file_was(model: Path, deed: str) -> None:
    made = with_key(model)
    name, said = TAMPERED[deed]
    if deed == "removed":
        (model / name).unlink()
    else:
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text("tampered")
    assert made.refused() == f"1 of the model's files are not those that were signed: {said}."
    (files,) = (check for check in made.verify().checks if check.name == "files")
    assert (files.examples, files.count) == ((said,), 1)


def test_verify__lists_the_first_of_many_files(model: Path) -> None:
    made = with_key(model)
    for number in range(30):
        (model / f"{number:02}").touch()
    assert made.refused().endswith("02: added, 03: added, 04: added and 25 more.")


def test_verify__does_not_mind_what_mlflow_writes_into_a_download(model: Path) -> None:
    made = with_key(model)
    (model / DOWNLOAD_MARK).write_text("model_version: '1'\n")
    assert made.verify().verdict is Verdict.PASS


def test_verify__a_link_in_place_of_a_file(model: Path) -> None:
    made = with_key(model)
    shutil.move(model / "weights.json", model.with_name("weights.json"))
    (model / "weights.json").symlink_to(model.with_name("weights.json"))
    assert "symlink" in made.refused()


def test_verify__another_key(model: Path) -> None:
    assert "does not match the provided public key" in with_key(model).refused(public_key=public(new_key()))


def test_verify__another_key_behind_the_trusted_ones_name(model: Path) -> None:
    trusted = new_key()
    made = with_key(model)
    known = hashlib.sha256(public(trusted).encode()).hexdigest()
    changed_signature(made.file, lambda bundle, _: bundle["verificationMaterial"]["publicKey"].update(hint=known))
    assert made.refused(public_key=public(trusted)) == (
        "It was not made with the key that is trusted, or was changed afterwards."
    )


FORGED: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], Any], str]] = {
    "a file's digest": (lambda _, said: said["predicate"]["resources"][0].update(digest="0" * 64), "changed afterw"),
    "the name of the version": (lambda _, said: said["subject"][0].update(name="models:/toy/9"), "changed afterwards"),
    "its list of what to leave out": (
        lambda _, said: said["predicate"]["serialization"].update(ignore_paths=["weights.json"]),
        "changed afterwards",
    ),
    "a list of shards": (
        lambda _, said: said["predicate"]["serialization"].update(method="shards", shard_size=1),
        "does not list the SHA-256 of files",
    ),
    "another statement": (lambda _, said: said.update(predicateType="x"), "changed afterwards"),
    "a file twice": (
        lambda _, said: said["predicate"]["resources"].append(said["predicate"]["resources"][0]),
        "occurs twice",
    ),
    "a second envelope": (lambda bundle, _: bundle.update(dsse_envelope=bundle["dsseEnvelope"]), "is not made of"),
    "no hint of the key": (lambda bundle, _: bundle["verificationMaterial"]["publicKey"].pop("hint"), "made of hint"),
    "an empty hint": (lambda bundle, _: bundle["verificationMaterial"]["publicKey"].update(hint=""), "not name its"),
    "no material": (lambda bundle, _: bundle.update(verificationMaterial={"tlogEntries": []}), "ValueError"),
    "no signature": (lambda bundle, _: bundle["dsseEnvelope"].update(signatures=[]), "holds no signature"),
    "a list in place of the material": (lambda bundle, _: bundle.update(verificationMaterial=["publicKey"]), "ValueEr"),
    "text in place of the material": (lambda bundle, _: bundle.update(verificationMaterial="publicKey"), "ValueError"),
    "a signature of nothing": (
        lambda bundle, _: bundle["dsseEnvelope"]["signatures"][0].update(sig=""),
        "changed afterwards",
    ),
    "a digest of another kind": (
        lambda _, said: said["predicate"]["resources"][0].update(algorithm="blake2b"),
        "does not list the SHA-256 of files",
    ),
    "two ways to verify it": (lambda bundle, _: bundle["verificationMaterial"].update(certificate={}), "ValueError"),
    "another name for how to verify it": (
        lambda bundle, _: bundle["verificationMaterial"].update(public_key={"hint": "x"}),
        "what verifies it is not made of publicKey",
    ),
    "another type of payload": (
        lambda bundle, _: bundle["dsseEnvelope"].update(payloadType="x"),
        "Expected DSSE payload",
    ),
}


def test_changed_signature__without_a_change_is_still_good(model: Path) -> None:
    made = with_key(model)
    changed_signature(made.file, lambda *_: None)
    assert made.verify().verdict is Verdict.PASS


@pytest.mark.parametrize("what", FORGED)
def test_verify__a_signature_that_was_changed(model: Path, what: str) -> None:
    made = with_key(model)
    change, said = FORGED[what]
    changed_signature(made.file, change)
    assert said in made.refused()


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "null", "{}", '{"mediaType": 1, "mediaType": 1}', "[" * 100_000],
    ids=["e", "x", "l", "n", "o", "twice", "deep"],
)
def test_verify__a_file_that_is_no_signature(model: Path, text: str) -> None:
    made = with_key(model)
    made.file.write_text(text)
    assert made.refused().startswith("The model's signature cannot be read.")


def test_verify__the_signature_of_another_version(model: Path) -> None:
    made = with_key(model)
    found = verify_files(dataclasses.replace(VERSION, version="2"), model, made.file, made.trust)
    assert found.verdict is Verdict.FAIL
    assert found.reasons == (
        "It is for models:/toy/1, not for models:/toy/2: another version's signature was put here.",
    )


def test_verify__leaves_out_nothing_that_a_signature_of_the_librarys_own_commands_leaves_out(model: Path) -> None:
    from model_signing import hashing, signing

    key, file, made = new_key(), model.with_name("own.sig"), model.with_name("key.pem")
    made.write_text(private(key))
    config = signing.Config().use_elliptic_key_signer(private_key=made)
    left_out = hashing.Config().set_ignored_paths(paths=[Path("weights.json")])
    config.set_hashing_config(left_out).sign(model, file)
    said = Signed(model, file, Trust(method="key", public_key=public(key))).refused()
    assert "weights.json: added" in said
    assert "It is for model, not for models:/toy/1" in said


def registered_as(folder: Path, tag: str = "") -> ModelVersion:
    """The version with the digest that train-model writes down, or another one."""
    return dataclasses.replace(VERSION, tags={"slipway.model_digest": tag or digest(folder)})


def test_verify__holds_the_files_to_the_digest_that_was_registered(model: Path) -> None:
    """Reports and the ledger name the version by that digest: it must be that of the files that were verified."""
    made = with_key(model)
    found = verify_files(registered_as(model), model, made.file, made.trust)
    assert found.verdict is Verdict.PASS
    assert [check.name for check in found.checks] == ["signature", "version", "files", "digest"]
    other = f"sha256:{'0' * 64}"
    found = verify_files(registered_as(model, other), model, made.file, made.trust)
    assert found.verdict is Verdict.FAIL
    assert found.reasons == (f"The version was registered as {other}, and its files are {digest(model)}.",)


def test_sign__an_empty_folder_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="has no files"):
        with_key(tmp_path / "model")
    assert not (tmp_path / "model.sig").exists()


# Keys that cannot be used, and where a key must never be


UNUSABLE: dict[str, tuple[Callable[[], str], str]] = {
    "none": (lambda: "", "`private-key` is needed to sign and was not given."),
    "with a password": (lambda: private(new_key(), b"open sesame"), "The private key has a password."),
    "not PEM": (lambda: "c2VjcmV0LXRleHQtb2YtdGhlLWtleQ==", "`private-key` is not a private key."),
    "a path": (lambda: "keys/model.pem", "`private-key` is not a private key."),
    "a public key": (lambda: public(new_key()), "`private-key` is not a private key."),
    "cut off": (lambda: private(new_key())[:-60], "`private-key` is not a private key."),
    "RSA": (lambda: private(RSA), "The private key is on none of the curves secp256r1"),
    "another curve": (lambda: private(new_key(ec.SECP256K1())), "The private key is on none of the curves"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_sign__a_key_that_cannot_be_used(model: Path, kind: str) -> None:
    make, said = UNUSABLE[kind]
    key = make()
    with pytest.raises(InputError) as refused:
        Signer(method="key", private_key=Secret(key)).sign(model, "x", model.with_name("s"))
    assert str(refused.value).startswith(said)
    assert refused.value.__cause__ is None, "what the library says of a text could hold some of it"
    assert not [line for line in key.splitlines() if len(line) > 15 and line in str(refused.value)]
    assert not model.with_name("s").exists()


def test_sign__has_the_key_in_a_file_only_while_the_library_reads_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_signing import signing

    (tmp_path / "runner").mkdir()
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path / "runner"))
    seen: list[tuple[int, str]] = []
    library = signing.Config.use_elliptic_key_signer

    def watched(self: signing.Config, *, private_key: Path) -> signing.Config:
        seen.append((private_key.stat().st_mode & 0o777, private_key.read_text()))
        assert private_key.parent == tmp_path / "runner"
        return library(self, private_key=private_key)

    monkeypatch.setattr(signing.Config, "use_elliptic_key_signer", watched)
    key = private(new_key())
    signer = Signer(method="key", private_key=Secret(key))
    signer.sign(model, "x", model.with_name("s"))
    assert seen == [(0o600, key)]
    assert list((tmp_path / "runner").iterdir()) == []
    assert key.splitlines()[1] not in repr(signer)

    def fails(self: signing.Config, *, private_key: Path) -> signing.Config:
        raise KeyboardInterrupt

    monkeypatch.setattr(signing.Config, "use_elliptic_key_signer", fails)
    with pytest.raises(KeyboardInterrupt):
        signer.sign(model, "x", model.with_name("s"))
    assert list((tmp_path / "runner").iterdir()) == []


def test_as_files__never_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty RUNNER_TEMP is none, and not the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNNER_TEMP", "")
    with as_files("text") as (file,):
        assert file.parent == Path(tempfile.gettempdir())


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "is not a public key"),
        ("x", "is not a public key"),
        (private(new_key()), "is not a public key"),
        (public(RSA), "is not a key on one of the curves"),
        (public(new_key(ec.SECP256K1())), "is not a key on one of the curves"),
    ],
    ids=["none", "text", "private", "RSA", "curve"],
)
def test_verify__a_public_key_that_cannot_be_used(model: Path, key: str, said: str) -> None:
    made = with_key(model)
    with pytest.raises(InputError, match=said):
        made.verify(public_key=key)


# With a certificate


def test_sign__with_a_certificate_and_verify(model: Path) -> None:
    root = issue("Root", authority=True)
    between = issue("Between", root, authority=True)
    leaf = issue("release", between, uri="https://models.invalid/release")
    made = with_certificate(model, leaf, between, trusted=root)
    found = made.verify()
    assert found.verdict is Verdict.PASS
    fingerprint = leaf.certificate.fingerprint(hashes.SHA256()).hex()
    assert found.signer == f"release, https://models.invalid/release (certificate sha256:{fingerprint})"
    for identity in ("release", "https://models.invalid/release"):
        assert made.verify(identity=identity).verdict is Verdict.PASS
    assert made.refused(identity="releas") == (
        "The certificate is for release, https://models.invalid/release, not for releas."
    )
    (model / "weights.json").write_text("{}")
    assert "weights.json: changed" in made.refused()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda material, other: material.update(x509_certificate_chain=other), "what verifies it is not made of"),
        (lambda material, other: material["x509CertificateChain"].update(x=other), "its chain is not made of"),
        (
            lambda material, other: material["x509CertificateChain"]["certificates"][0].update(raw_bytes=other),
            "its certificate is not made of",
        ),
    ],
)
def test_verify__a_certificate_beside_the_one_that_signed(
    model: Path, change: Callable[[dict[str, Any], Any], Any], said: str
) -> None:
    """Whose name is looked at must be who signed: what the library could read instead is refused."""
    root = issue("Root", authority=True)
    made = with_certificate(model, issue("release", root), trusted=root)
    changed_signature(made.file, lambda bundle, _: change(bundle["verificationMaterial"], "x"))
    assert said in made.refused(identity="release")


def test_verify__the_certificate_of_another_in_the_place_of_the_signers(model: Path) -> None:
    root = issue("Root", authority=True)
    theirs = with_certificate(model, issue("release", root), trusted=root)
    chain = json.loads(theirs.file.read_text())["verificationMaterial"]["x509CertificateChain"]
    made = with_certificate(model, issue("intern", root), trusted=root)
    changed_signature(made.file, lambda bundle, _: bundle["verificationMaterial"].update(x509CertificateChain=chain))
    assert made.refused(identity="release").startswith("It was not made with the key that is trusted")


def test_verify__an_authority_of_the_same_name_with_another_key(model: Path) -> None:
    root = issue("Root", authority=True)
    made = with_certificate(model, issue("release", root), trusted=root)
    said = made.refused(certificate_chain=issue("Root", authority=True).pem)
    assert said.startswith("Its certificate was issued by no authority that is trusted.")


def test_verify__a_chain_with_a_gap(model: Path) -> None:
    root = issue("Root", authority=True)
    made = with_certificate(model, issue("release", issue("Between", root, authority=True)), root, trusted=root)
    assert "unable to get local issuer certificate" in made.refused()


def test_verify__a_certificate_that_signed_itself(model: Path) -> None:
    leaf = issue("release")
    made = with_certificate(model, leaf, trusted=issue("Root", authority=True))
    assert "issued by no authority that is trusted" in made.refused()


@pytest.mark.parametrize("key", [RSA, ed25519.Ed25519PrivateKey.generate()], ids=["RSA", "Ed25519"])
def test_verify__a_certificate_of_a_key_on_no_curve(model: Path, key: Any) -> None:
    root = issue("Root", authority=True)
    made = with_certificate(model, issue("release", root), trusted=root)
    other = issue("other", root, key=key).certificate.public_bytes(serialization.Encoding.DER)
    changed_signature(
        made.file,
        lambda bundle, _: bundle["verificationMaterial"]["x509CertificateChain"]["certificates"][0].update(
            rawBytes=base64.b64encode(other).decode()
        ),
    )
    assert "Its certificate is for no key on one of the curves secp256r1" in made.refused()


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")  # which the library calls
def test_verify__a_certificate_that_is_not_for_signing(model: Path) -> None:
    root = issue("Root", authority=True)
    made = with_certificate(model, issue("server", root, signs=False), trusted=root)
    assert "Signing certificate cannot be used for signing" in made.refused()


@pytest.mark.parametrize("chain", ["", "x"])
def test_verify__without_authorities_does_not_trust_those_of_browsers(model: Path, chain: str) -> None:
    root = issue("Root", authority=True)
    made = with_certificate(model, issue("release", root), trusted=root)
    with pytest.raises(InputError, match=r"The certificate chain that is trusted holds no certificate\."):
        made.verify(certificate_chain=chain)


def test_sign__with_the_certificate_of_another_key(model: Path) -> None:
    root = issue("Root", authority=True)
    other = dataclasses.replace(issue("release", root), key=new_key())
    with pytest.raises(InputError, match=r"leaf\.pem is not the certificate of the private key\."):
        with_certificate(model, other, trusted=root)


def test_sign__certificates_that_cannot_be_read(model: Path) -> None:
    key = Secret(private(new_key()))
    with pytest.raises(InputError, match="`signing-certificate` is needed"):
        Signer(method="certificate", private_key=key).sign(model, "x", model.with_name("s"))
    with pytest.raises(InputError, match=r"no\.pem cannot be read"):
        Signer(method="certificate", private_key=key, signing_certificate=Path("no.pem")).sign(
            model, "x", model.with_name("s")
        )
    with pytest.raises(InputError, match=r"MLmodel holds no certificate\."):
        Signer(method="certificate", private_key=key, signing_certificate=model / "MLmodel").sign(
            model, "x", model.with_name("s")
        )


def test_verify__a_signature_by_another_method(model: Path) -> None:
    root = issue("Root", authority=True)
    assert with_key(model).refused(method="certificate", certificate_chain=root.pem) == (
        "It was made by the method `key`, and `certificate` is demanded."
    )
    made = with_certificate(model, issue("release", root), trusted=root)
    assert "made by the method `certificate`" in made.refused(method="key", public_key=public(new_key()))


# Versions


class Store(Registry):
    """A registry in memory, with one version."""

    def __init__(self, model: Path) -> None:
        self.model, self.tags, self.kept = model, dict[str, str](), dict[tuple[str, str], bytes]()

    def download(self, version: ModelVersion, folder: Path) -> Path:
        assert version.model == MODEL
        assert list(folder.iterdir()) == [], "a file of an earlier download would count as one of the model"
        return Path(shutil.copytree(self.model, folder, dirs_exist_ok=True))

    def log_file(self, run_id: str, file: Path, folder: str) -> None:
        if run_id == "gone":
            raise RemoteError("MLflow could not store it.")
        self.kept[run_id, f"{folder}/{file.name}"] = file.read_bytes()

    def run_file(self, run_id: str, path: str, folder: Path) -> Path | None:
        if (run_id, path) not in self.kept:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.sig").write_bytes(self.kept[run_id, path])
        return folder / "model.sig"

    def tag_version(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        assert version.model == MODEL
        self.tags |= tags


def test_version__is_signed_kept_and_verified_in_one_scratch_folder(model: Path, tmp_path: Path) -> None:
    key, store, scratch = new_key(), Store(model), tmp_path / "scratch"
    trust = Trust(method="key", public_key=public(key))
    made = sign_version(store, VERSION, Signer(method="key", private_key=Secret(private(key))), trust, scratch)
    assert store.kept == {("run", "slipway/model.sig"): made.read_bytes()}
    assert store.tags.keys() == {"slipway.signature", "slipway.signature_method", "slipway.signer"}
    found = verify_version(store, VERSION, trust, scratch)
    found.require()
    assert found.folder == scratch / "model"
    assert file_digests(found.folder) == file_digests(model)


@pytest.mark.parametrize(
    ("version", "error"),
    [
        (dataclasses.replace(VERSION, run_id=""), InputError),
        (dataclasses.replace(VERSION, run_id="gone"), RemoteError),
        (dataclasses.replace(VERSION, tags={"slipway.model_digest": "sha256:0"}), GateError),
    ],
)
def test_version__that_cannot_be_signed_has_no_tags(
    model: Path, tmp_path: Path, version: ModelVersion, error: type[Exception]
) -> None:
    store, signer = Store(model), Signer(method="key", private_key=Secret(private(new_key())))
    with pytest.raises(error):
        sign_version(store, version, signer, None, tmp_path / "scratch")
    assert (store.tags, store.kept) == ({}, {})


@pytest.mark.parametrize("method", ["key", "workflow"])
def test_version__other_files_than_were_registered_are_never_signed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    """A workflow's signature is public once it is made: whoever changed the files could fetch it from the log."""
    from model_signing._signing import sign_sigstore
    from sigstore import oidc

    class Asked:
        def sign(self, _: Any) -> Any:
            raise AssertionError("a signature was made")

    monkeypatch.setattr(oidc, "detect_credential", lambda _: "token")
    monkeypatch.setattr(sign_sigstore, "Signer", lambda **_: Asked())
    version = dataclasses.replace(VERSION, tags={"slipway.model_digest": f"sha256:{'0' * 64}"})
    signer = Signer(method=method, private_key=Secret(private(new_key())))
    with pytest.raises(GateError, match="are not those that were registered"):
        sign_version(Store(model), version, signer, None, tmp_path / "scratch")
    assert not (tmp_path / "scratch" / "model.sig").exists()


@pytest.mark.parametrize("run_id", ["run", ""])
@pytest.mark.parametrize(("required", "verdict"), [(True, Verdict.FAIL), (False, Verdict.INCONCLUSIVE)])
def test_version__without_a_signature(
    model: Path, tmp_path: Path, run_id: str, required: bool, verdict: Verdict
) -> None:
    trust = Trust(method="key", public_key=public(new_key()), required=required)
    found = verify_version(Store(model), dataclasses.replace(VERSION, run_id=run_id), trust, tmp_path / "scratch")
    assert (found.verdict, found.file, found.signer) == (verdict, None, "")
    if required:
        with pytest.raises(GateError, match=r"Version 1 of `toy` is not signed\."):
            found.require()
    else:
        found.require()


# The identity of a workflow: Sigstore is not reached from here, so the calls are held to the library's signatures


class Sigstore:
    """Stands where the library has its Sigstore signer and verifier; takes only what those take."""

    def __init__(self, real: type, seen: list[dict[str, Any]], error: Exception | None = None) -> None:
        self.real, self.seen, self.error = inspect.signature(real), seen, error

    def __call__(self, **given: Any) -> Any:
        bound = self.real.bind(**given)
        bound.apply_defaults()
        self.seen.append(dict(bound.arguments))
        if self.error:
            raise self.error
        return self


WORKFLOW = "https://github.com/octo/models/.github/workflows/release.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"


def test_sign__by_a_workflow_hands_its_own_token_over_and_asks_nobody(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_signing._signing import sign_sigstore
    from sigstore import oidc

    seen: list[dict[str, Any]] = []
    asked: list[str] = []

    def token(client: str) -> str:
        asked.append(client)
        return "token"

    monkeypatch.setattr(oidc, "detect_credential", token)
    stand_in = Sigstore(sign_sigstore.Signer, seen, ConnectionError("no route"))
    monkeypatch.setattr(sign_sigstore, "Signer", stand_in)
    with pytest.raises(RemoteError, match="Sigstore") as failed:
        Signer(method="workflow").sign(model, "x", model.with_name("s"))
    assert "ConnectionError: no route" in str(failed.value)
    assert asked == ["sigstore"]
    (given,) = seen
    # With a token of its own the library neither looks for another nor opens a browser.
    assert (given["identity_token"], given["client_id"]) == ("token", "sigstore")
    assert given["use_ambient_credentials"] is False
    assert given["use_staging"] is False


def test_sign__by_a_workflow_without_an_identity(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="has no identity to sign with") as refused:
        Signer(method="workflow").sign(model, "x", model.with_name("s"))
    assert "id-token: write" in refused.value.fix


def test_sign__by_a_workflow_that_may_not_ask_for_its_identity(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RemoteError) as refused:
        Signer(method="workflow").sign(model, "x", model.with_name("s"))
    assert "id-token: write" in refused.value.fix


def test_verify__by_a_workflow_demands_exactly_its_identity_and_its_provider(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_signing._signing import sign_sigstore
    from sigstore import errors

    root = issue("Root", authority=True)
    made = with_certificate(model, issue("release", root), trusted=root)
    bundle = json.loads(made.file.read_text())
    material = bundle["verificationMaterial"]
    material["certificate"] = material.pop("x509CertificateChain")["certificates"][0]
    made.file.write_text(json.dumps(bundle))
    assert signature.read(made.file).method == "workflow"
    seen: list[dict[str, Any]] = []
    trusted: dict[str, Any] = {"method": "workflow", "identity": WORKFLOW, "identity_provider": ISSUER}
    monkeypatch.setattr(sign_sigstore, "Verifier", Sigstore(sign_sigstore.Verifier, seen, ConnectionError("no route")))
    with pytest.raises(RemoteError, match="Sigstore"):
        made.verify(**trusted)
    (given,) = seen
    assert (given["identity"], given["oidc_issuer"], given["use_staging"]) == (WORKFLOW, ISSUER, False)

    class Refuses:
        def __init__(self, **_: Any) -> None: ...

        def verify(self, _signature: Any) -> Any:
            raise errors.VerificationError("certificate's SANs do not match")

    monkeypatch.setattr(sign_sigstore, "Verifier", Refuses)
    monkeypatch.setattr(sign_sigstore.Signature, "read", lambda path: path)
    assert made.refused(**trusted) == "It was not made by the workflow that is trusted. certificate's SANs do not match"
