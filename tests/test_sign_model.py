"""The sign-model action as a job runs it, end to end: real keys and certificates, the library, MLflow on SQLite.

What can be wrong with a signature, a key or a certificate is shown in test_signing.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sign_model
from conftest import pull_request
from slipway.policy.model import SigningMethod
from slipway.policy.source import SourcedPolicy, file_digest, load
from slipway.registry.digests import DOWNLOAD_MARK, digest
from slipway.registry.mlflow import ModelVersion
from slipway.runner.context import Run
from slipway.runner.errors import InputError
from test_signing import Issued, issue, new_key, private, public
from test_training_toy import MODEL, QUIET, ROOT, Done, Toy, make_toy

pytestmark = QUIET


@pytest.fixture
def toy(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Toy:
    monkeypatch.chdir(tmp_path)  # the toy may change it
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    return make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)


def act(toy: Toy, command: str, **inputs: str) -> Done:
    return toy.run(ROOT / "actions" / "sign-model", command=command, **inputs)


def sign(toy: Toy, key: Any, **inputs: str) -> Done:
    text = key if isinstance(key, str) else private(key)
    return act(toy, "sign", **{"method": "key", "private_key": text, "model_version": "1", **inputs})


def verify(toy: Toy, **inputs: str) -> Done:
    return act(toy, "verify", **inputs)


def trust_key(toy: Toy, key: Any, **signing: Any) -> None:
    """A policy of the base branch that trusts a key."""
    toy.write("keys/model.pub", public(key))
    toy.policy({"signing": {"method": "key", "public_key": "keys/model.pub", **signing}})


def new_version(toy: Toy, weights: float = 1.0) -> ModelVersion:
    """A version as train-model would register it, with the digest of its files."""
    made = toy.version({"x1": weights}, alias="candidate")
    registry = toy.registry()
    registry.tag_version(made, {"slipway.model_digest": digest(registry.download(made, toy.temp / f"v{made.version}"))})
    return registry.by_version(MODEL, made.version)


def stored(toy: Toy, version: ModelVersion) -> Path:
    """Where the store keeps the model's files: whoever can write there can tamper with them."""
    from mlflow import MlflowClient

    place = MlflowClient(toy.uri).get_logged_model(version.source.rpartition("/")[2]).artifact_location
    return toy.folder / place.removeprefix("file://")


def signature_of(toy: Toy, version: ModelVersion) -> Path:
    """Where the store keeps the signature."""
    (found,) = toy.folder.glob(f"mlruns/**/{version.run_id}/artifacts/slipway/model.sig")
    return found


def said_of(done: Done, name: str) -> dict[str, Any]:
    (check,) = (check for check in done.report["checks"] if check["name"] == name)
    return dict(check)


# With a key


def test_sign__with_a_key_and_verify(toy: Toy) -> None:
    key = new_key()
    trust_key(toy, key)
    version = new_version(toy)
    before = {file: file.stat().st_mtime_ns for file in stored(toy, version).rglob("*") if file.is_file()}
    done = sign(toy, key)
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert done.report["headline"] == "Signed version 1 of `toy`."
    tags = toy.registry().by_version(MODEL, "1").tags
    assert (tags["slipway.signature"], tags["slipway.signature_method"]) == ("slipway/model.sig", "key")
    assert tags["slipway.signer"].startswith("key sha256:")
    copy = Path(done.outputs["signature"])
    assert copy.read_bytes() == signature_of(toy, version).read_bytes()
    assert done.report["attachments"] == {"model.sig": file_digest(copy)}
    assert done.report["subjects"][1] == {"role": "candidate", "name": "1", "id": tags["slipway.model_digest"]}
    after = {file for file in stored(toy, version).rglob("*") if file.is_file()}
    assert after == before.keys(), "the signature lies outside of the model, which it covers whole"

    done = verify(toy)
    assert (done.code, done.outputs["verdict"]) == (0, "pass"), done.log
    assert done.report["headline"] == "Version 1 of `toy` is signed."
    assert done.report["provenance"]["signer"] == tags["slipway.signer"]
    assert {check["name"] for check in done.report["checks"]} == {"signature", "version", "files", "digest"}
    assert said_of(done, "files")["detail"] == "All 4 files are those that were signed."


def test_sign__the_commands_of_the_library_verify_it_too(toy: Toy) -> None:
    key = new_key()
    trust_key(toy, key)
    version = new_version(toy)
    done = sign(toy, key)
    copy = toy.registry().download(version, toy.temp / "copy")
    assert (copy / DOWNLOAD_MARK).exists(), "MLflow's own file, which the signature does not cover"
    command = ["verify", "key", str(copy), "--signature", done.outputs["signature"]]
    said = subprocess.run(
        [sys.executable, "-m", "model_signing", *command, "--public_key", str(toy.folder / "keys" / "model.pub")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr + said.stdout
    assert "Verification succeeded" in said.stdout


def test_verify__without_a_policy_by_the_inputs(toy: Toy) -> None:
    key = new_key()
    new_version(toy)
    assert sign(toy, key, model_version="1").code == 0
    toy.write("model.pub", public(key))
    assert verify(toy, method="key", public_key="model.pub", model_version="1").code == 0
    toy.write("model.pub", public(new_key()))
    done = verify(toy, method="key", public_key="model.pub", model_version="1")
    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    assert "public key hash" in done.error


def test_verify__files_that_were_changed_removed_and_added(toy: Toy) -> None:
    key = new_key()
    trust_key(toy, key)
    version = new_version(toy)
    assert sign(toy, key).code == 0
    (stored(toy, version) / "weights.json").write_text("{}")
    (stored(toy, version) / "requirements.txt").unlink()
    (stored(toy, version) / "code" / "more.py").touch()
    done = verify(toy)
    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    assert done.error.startswith("Version 1 of `toy` does not carry a valid signature.")
    wrong = ["weights.json: changed", "requirements.txt: removed", "code/more.py: added"]
    assert all(each in done.error for each in wrong)
    assert said_of(done, "files")["examples"] == wrong
    assert said_of(done, "signature")["verdict"] == "pass", "the signature itself is good"


def test_sign__with_a_key_that_the_policy_does_not_trust_keeps_nothing(toy: Toy) -> None:
    trust_key(toy, new_key())
    version = new_version(toy)
    done = sign(toy, new_key())
    assert done.code == 1
    assert "does not match the provided public key" in done.error
    assert "slipway.signature" not in toy.registry().by_version(MODEL, "1").tags
    assert toy.registry().run_file(version.run_id, "slipway/model.sig", toy.temp / "x") is None
    assert done.outputs["signature"] == ""


def test_verify__the_signature_of_another_version(toy: Toy) -> None:
    key = new_key()
    trust_key(toy, key)
    first, second = new_version(toy), new_version(toy, weights=2.0)
    for version in (first, second):
        assert sign(toy, key, model_version=version.version).code == 0
    shutil.copy(signature_of(toy, first), signature_of(toy, second))
    shutil.copytree(stored(toy, first), stored(toy, second), dirs_exist_ok=True)
    done = verify(toy, model_version=second.version)
    assert done.code == 1
    assert "It is for models:/toy/1, not for models:/toy/2" in done.error
    assert said_of(done, "files")["verdict"] == "pass"


@pytest.mark.parametrize(("required", "code", "verdict"), [(True, 1, "fail"), (False, 0, "inconclusive")])
def test_verify__no_signature(toy: Toy, required: bool, code: int, verdict: str) -> None:
    trust_key(toy, new_key(), required=required)
    version = new_version(toy)
    toy.registry().tag_version(version, {"slipway.signature": "slipway/model.sig", "slipway.signer": "the king"})
    done = verify(toy)
    assert (done.code, done.outputs["verdict"]) == (code, verdict), done.log
    assert done.report["headline"] == "Version 1 of `toy` is not signed."
    assert done.report["provenance"]["signer"] == "none", "tags of the version count for nothing"
    assert done.outputs["signature"] == ""


def test_sign__files_that_are_not_those_that_were_registered(toy: Toy) -> None:
    key = new_key()
    trust_key(toy, key)
    version = new_version(toy)
    (stored(toy, version) / "weights.json").write_text("{}")
    done = sign(toy, key)
    assert done.code == 1
    assert done.error.startswith("The files of version 1 of `toy` are not those that were registered.")
    assert toy.registry().run_file(version.run_id, "slipway/model.sig", toy.temp / "x") is None


# Where a key must never be


def assert_unseen(toy: Toy, done: Done, key: str) -> None:
    """No line of a key stands in the log, the report or the summary, nor in a file that is left."""
    secret = [line for line in key.splitlines() if len(line) > 15 and not line.startswith("-----")]
    for line in secret:
        assert line not in done.log + done.summary + json.dumps(done.report) + repr(done.annotations)
        for file in [file for folder in (toy.temp, toy.folder) for file in folder.rglob("*") if file.is_file()]:
            assert line.encode() not in file.read_bytes(), file


def test_sign__leaves_no_trace_of_the_key(toy: Toy) -> None:
    key = private(new_key())
    new_version(toy)
    done = sign(toy, key)
    assert done.code == 0, done.log
    assert_unseen(toy, done, key)
    assert not list(toy.temp.rglob("*.pem"))


def test_sign__has_no_option_for_the_key(toy: Toy) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "sign_model.py"), "--private-key", "x"],
        cwd=toy.folder,
        env={**os.environ, "GITHUB_ACTIONS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "`private-key` is a secret and has no option." in done.stdout + done.stderr


# With a certificate


def certified(toy: Toy, leaf: Issued, *chain: Issued, **inputs: str) -> Done:
    """Sign with a certificate whose chain leads to an authority."""
    toy.write("leaf.pem", leaf.pem)
    if chain:
        toy.write("chain.pem", "".join(each.pem for each in chain))
        inputs["certificate_chain"] = "chain.pem"
    return sign(toy, leaf.key, **{"method": "certificate", "signing_certificate": "leaf.pem", **inputs})


def trust_authority(toy: Toy, *authorities: Issued, **signing: Any) -> None:
    toy.write("keys/authority.pem", "".join(each.pem for each in authorities))
    toy.policy({"signing": {"method": "certificate", "certificate_chain": "keys/authority.pem", **signing}})


def test_sign__with_a_certificate_and_verify(toy: Toy) -> None:
    root = issue("Root", authority=True)
    between = issue("Between", root, authority=True)
    leaf = issue("release", between, uri="https://models.invalid/release")
    trust_authority(toy, root, identity="https://models.invalid/release")
    new_version(toy)
    done = certified(toy, leaf, between)
    assert done.code == 0, done.log
    done = verify(toy)
    assert done.code == 0, done.log
    assert done.report["provenance"]["signer"].startswith("release, https://models.invalid/release (certificate sha256")
    assert said_of(done, "identity")["verdict"] == "pass"

    trust_authority(toy, root, identity="somebody else")
    done = verify(toy)
    assert done.code == 1
    assert "The certificate is for release, https://models.invalid/release, not for somebody else." in done.error

    trust_authority(toy, issue("Root", authority=True))  # of the same name, with another key
    done = verify(toy)
    assert done.code == 1
    assert "was issued by no authority that is trusted" in done.error


# The policy


def test_verify__in_a_pull_request_the_base_branch_says_whom_to_trust(toy: Toy) -> None:
    key, own = new_key(), new_key()
    trust_key(toy, key)
    new_version(toy)
    assert sign(toy, key).code == 0
    base = toy.git("rev-parse", "HEAD").strip()
    toy.write("keys/model.pub", public(own))  # the change puts its own key in the place of the trusted one
    trust_key(toy, own, required=False)
    toy.event = pull_request(base=base, head=toy.git("rev-parse", "HEAD").strip())
    assert verify(toy).code == 0
    assert sign(toy, own).code == 1


def test_verify__in_a_pull_request_that_brings_the_key(toy: Toy) -> None:
    key = new_key()
    toy.policy({"signing": {"method": "key", "public_key": "keys/model.pub"}})
    base = toy.git("rev-parse", "HEAD").strip()
    trust_key(toy, key)
    new_version(toy)
    toy.event = pull_request(base=base, head=toy.git("rev-parse", "HEAD").strip())
    done = verify(toy)
    assert done.code == 1
    assert done.error.startswith("The base branch has no keys/model.pub, which its policy names in `signing`.")


def sourced(toy: Toy) -> SourcedPolicy:
    os.chdir(toy.folder)
    return load(Path("slipway.yml"), Run())


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"public_key": Path("other.pub")}, "The input `public-key` says `other.pub`, and `signing.public_key`"),
        ({"method": "certificate"}, "The input `method` says `certificate`, and `signing.method`"),
        ({"identity_provider": "https://x.invalid"}, "The input `identity-provider` says `https://x.invalid`"),
        ({"command": "sign", "method": "workflow"}, "The input `method` says `workflow`, and `signing.method`"),
    ],
)
def test_inputs__that_contradict_the_policy(toy: Toy, inputs: dict[str, Any], said: str) -> None:
    trust_key(toy, new_key())
    with pytest.raises(InputError) as refused:
        sign_model.refuse_contradictions(sign_model.Inputs(**{"command": "verify", **inputs}), sourced(toy))
    assert str(refused.value).startswith(said)


def test_inputs__that_the_policy_says_nothing_of_are_not_passed_over(toy: Toy) -> None:
    """Whoever names an identity wants it checked: by the policy alone every certificate of the authority would do."""
    toy.write("keys/authority.pem", issue("Root", authority=True).pem)
    toy.policy({"signing": {"method": "certificate", "certificate_chain": "keys/authority.pem"}})
    with pytest.raises(InputError) as refused:
        sign_model.refuse_contradictions(sign_model.Inputs(command="verify", identity="release"), sourced(toy))
    assert refused.value.what == (
        "The input `identity` says `release`, and the policy's section `signing` says nothing of it."
    )


def test_inputs__that_agree_with_the_policy_or_are_not_its_matter(toy: Toy) -> None:
    trust_key(toy, new_key())
    agrees = sign_model.Inputs(command="verify", method="key", public_key=Path("keys/model.pub"))
    chain = sign_model.Inputs(command="sign", certificate_chain=Path("between.pem"))
    for given in (agrees, chain, sign_model.Inputs()):
        sign_model.refuse_contradictions(given, sourced(toy))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("key", "`public-key` is needed to verify by the method `key` and was not given."),
        ("certificate", "`certificate-chain` is needed to verify"),
        ("workflow", "`identity` is needed to verify"),
    ],
)
def test_inputs__without_anybody_to_trust(method: SigningMethod, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        sign_model.trust_of_inputs(sign_model.Inputs(command="verify"), method)


def test_inputs__that_name_files_which_are_not_there(tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    with pytest.raises(InputError, match=r"The public key .* cannot be read"):
        sign_model.trust_of_inputs(sign_model.Inputs(public_key=none), "key")
    with pytest.raises(InputError, match=r"The certificate .* cannot be read"):
        sign_model.trust_of_inputs(sign_model.Inputs(certificate_chain=none), "certificate")


def test_inputs__of_a_workflow_trust_github_by_default() -> None:
    trust = sign_model.trust_of_inputs(sign_model.Inputs(identity="https://x.invalid/y"), "workflow")
    assert trust.identity_provider == "https://token.actions.githubusercontent.com"


def test_sign__no_method(toy: Toy) -> None:
    new_version(toy)
    done = sign(toy, new_key(), method="")
    assert done.code == 1
    assert done.error.startswith("No method of signing is named.")
    assert not any(done.outputs.values()), "what is wrong with the inputs says nothing of the model, and is no evidence"


def test_sign__no_candidate(toy: Toy) -> None:
    trust_key(toy, new_key())
    done = verify(toy)
    assert done.code == 1
    assert done.error.startswith("The registry has no candidate of `toy`.")


def test_sign__names_the_version_that_it_answers_for(toy: Toy) -> None:
    new_version(toy)
    done = sign(toy, new_key(), model_version="")
    assert done.code == 1 and "`model-version` was not given" in done.error
