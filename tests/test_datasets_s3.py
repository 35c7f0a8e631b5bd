"""Datasets in S3: our own adapter, with boto3, against moto's server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from slipway import datasets
from slipway.datasets import content, objects, remote
from slipway.reproduction import rebuilding
from slipway.runner.errors import GateError, InputError, PolicyError, RemoteError
from store_doubles import S3, Asked, HttpDouble, Said, free_port, moto, refusal, warm_client
from test_training_toy import SCRIPTS

pytestmark = pytest.mark.xdist_group("s3")
SECRET = "wJalrXUtnFEMI-not-a-real-one"


@pytest.fixture(scope="module")
def server(environments_cache: Path) -> Iterator[str]:
    with moto(environments_cache) as url:
        yield url


@pytest.fixture
def store(server: str, credentials: None, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An empty store with the buckets `versioned` and `plain`; this process has credentials for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    found = S3(server)
    found.ask("POST", "moto-api/reset")
    found.bucket("versioned")
    found.bucket("plain", status="")
    return found


@pytest.fixture(autouse=True)
def credentials(data_job: None, environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(warm_client("s3", environments_cache)))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


# One object


def test_identify__a_pinned_object(store: S3) -> None:
    old = store.put("versioned", "data/train.csv", "x\n1\n")
    store.put("versioned", "data/train.csv", "x\n2\n")
    path = f"s3://versioned/data/train.csv?versionId={old}"
    found = datasets.identify(path)
    assert found == datasets.DatasetVersion(path=path, kind="s3", id=old, immutable=True, pinned=path)
    assert (found.uri, found.digest) == (path, {})
    place = datasets.fetch_missing(path)
    assert Path(place).name == "train.csv"
    assert Path(place).read_text() == "x\n1\n"
    assert datasets.identify(path).digest == {"sha256": hashlib.sha256(b"x\n1\n").hexdigest()}


def test_identify__an_object_without_a_version(store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what it is now, for the whole job; the next job sees what it has become."""
    first = store.put("versioned", "a.csv", "1")
    found = datasets.identify("s3://versioned/a.csv")
    pinned = f"s3://versioned/a.csv?versionId={first}"
    assert (found.id, found.immutable, found.pinned, found.uri) == (first, False, pinned, pinned)
    assert found.remark == f"names no version, so it can change under its name. Write `{pinned}` in the policy."
    second = store.put("versioned", "a.csv", "2")
    assert Path(datasets.fetch_missing("s3://versioned/a.csv")).read_text() == "1"
    assert datasets.identify("s3://versioned/a.csv").id == first
    monkeypatch.setenv("SLIPWAY_JOB", "2")
    assert datasets.identify("s3://versioned/a.csv").id == second
    assert Path(datasets.fetch_missing("s3://versioned/a.csv")).read_text() == "2"
    assert datasets.identify(pinned).immutable


@pytest.mark.parametrize("status", ["", "Suspended"])
def test_identify__a_bucket_that_keeps_no_versions(store: S3, status: str) -> None:
    store.bucket("loose", status)
    store.put("loose", "a.csv", "1")
    for path in ("s3://loose/a.csv", "s3://loose/"):
        found = datasets.identify(path)
        assert (found.immutable, found.pinned, found.uri) == (False, "", path)
        assert "aws s3api put-bucket-versioning --bucket loose" in found.remark
    assert datasets.identify("s3://loose/a.csv").id == f"etag:{hashlib.md5(b'1').hexdigest()}"
    assert Path(datasets.fetch_missing("s3://loose/a.csv")).read_text() == "1"
    failure = refusal("s3://loose/a.csv?versionId=null")
    assert failure.what == "`null` is no version of s3://loose/a.csv."


def test_fetch__an_unversioned_object_that_changes_meanwhile(store: S3) -> None:
    store.put("plain", "a.csv", "1")
    datasets.identify("s3://plain/a.csv")
    store.put("plain", "a.csv", "2")
    failure = refusal("s3://plain/a.csv", RemoteError)
    assert "changed while it was fetched" in failure.what


ODD = [
    "a b.csv",
    "ünï/ö.csv",
    "question?.csv",
    "sharp#1.csv",
    "per%20cent.csv",
    "day=2026-01-31/x.csv",
    "a+b&c.csv",
    "[1]*.csv",
]


@pytest.mark.parametrize("key", ODD)
def test_identify__odd_names(store: S3, key: str) -> None:
    version = store.put("versioned", key, key)
    written = "s3://versioned/" + key.replace("%", "%25").replace("#", "%23").replace("?", "%3F")
    found = datasets.identify(written)
    assert found.id == version
    assert Path(datasets.fetch_missing(written)).read_text() == key
    # What is offered for the policy leads to the same.
    assert datasets.identify(found.pinned).immutable
    assert datasets.identify(found.pinned).id == version


def test_fetch__holds_the_content_to_the_digest_of_its_uploader(store: S3) -> None:
    digest = hashlib.sha256(b"1")
    checksum = base64.b64encode(digest.digest()).decode()
    named = {"x_amz_checksum_sha256": checksum, "x_amz_sdk_checksum_algorithm": "SHA256"}
    store.put("versioned", "a.csv", "1", **named)
    found = remote.resolve("s3://versioned/a.csv")
    (wanted,) = found.request["objects"]
    assert wanted["sha256"] == digest.hexdigest()
    broken = {**wanted, "sha256": "0" * 64}
    with pytest.raises(RemoteError, match=r"`a\.csv` did not arrive whole"):
        remote.call(remote.SYSTEMS["s3"], "fetch", {**found.request, "objects": [broken], "into": str(found.folder)})


# A folder


def fill(store: S3) -> None:
    for key, body in {"d/a.csv": "1", "d/in/b.csv": "2", "d/gone.csv": "3", "d/": "", "else.csv": "4"}.items():
        store.put("versioned", key, body)
    store.delete("versioned", "d/gone.csv")


def test_identify__a_folder(store: S3) -> None:
    fill(store)
    found = datasets.identify("s3://versioned/d/")
    assert found.id.startswith("sha256:")
    assert not found.immutable
    assert found.pinned == f"s3://versioned/d/?versions={found.id}"
    place = Path(datasets.fetch_missing("s3://versioned/d/"))
    assert {file.relative_to(place).as_posix(): file.read_text() for file in content.files_of(str(place))} == {
        "a.csv": "1",
        "in/b.csv": "2",
    }
    assert datasets.identify("s3://versioned/d/").digest == {"sha256": content.sha256_of(place)}
    assert datasets.content_digest(str(place)) == f"sha256:{content.sha256_of(place)}"


def test_identify__a_pinned_folder_is_found_again_in_its_past(store: S3) -> None:
    fill(store)
    pinned = datasets.identify("s3://versioned/d/").pinned
    time.sleep(1.1)  # S3 tells times in whole seconds, and a state that lasted for less may not be found again
    store.put("versioned", "d/a.csv", "new")
    store.put("versioned", "d/more.csv", "new")
    store.delete("versioned", "d/in/b.csv")
    found = datasets.identify(pinned)
    assert (found.immutable, found.pinned) == (True, pinned)
    place = Path(datasets.fetch_missing(pinned))
    assert sorted(file.read_text() for file in content.files_of(str(place))) == ["1", "2"]


def test_identify__a_pinned_folder_whose_versions_were_deleted(store: S3) -> None:
    version = store.put("versioned", "d/a.csv", "1")
    pinned = datasets.identify("s3://versioned/d/").pinned
    store.put("versioned", "d/a.csv", "2")
    store.delete("versioned", "d/a.csv", version)
    failure = refusal(pinned)
    assert failure.what == f"The versions that {pinned} names are not there any more."
    assert "deleted for good" in failure.why


def test_identify__more_objects_than_a_page_of_the_listing(store: S3) -> None:
    """moto, like S3, lists a thousand at a time."""
    for number in range(1_005):
        store.put("versioned", f"d/{number:04}.csv", str(number))
    assert len(remote.resolve("s3://versioned/d/").request["objects"]) == 1_005


@pytest.mark.parametrize("key", ["d//twice.csv", f"d/{'x' * 256}.csv"])
def test_fetch__a_name_that_no_file_may_have(store: S3, key: str) -> None:
    store.put("versioned", key, "1")
    assert refusal("s3://versioned/d/").what == f"The object `{key}` cannot be a file."


@pytest.mark.parametrize("name", ["../out.csv", "a/../../out.csv", "/etc/passwd", "a/./b", "", "a/", "nul\0"])
def test_inside__lets_no_name_out(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a file"):
        objects.inside(name, name)


def test_fetch__a_name_that_is_file_and_folder(store: S3) -> None:
    store.put("versioned", "d/a", "1")
    store.put("versioned", "d/a/b", "2")
    assert refusal("s3://versioned/d/").what == "`a` is both an object and a folder of others."


# What cannot be


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("s3://versioned/nowhere.csv", "There is no object at s3://versioned/nowhere.csv."),
        ("s3://versioned/d", "There is no object at s3://versioned/d."),
        ("s3://versioned/nowhere/", "There are no data at s3://versioned/nowhere/."),
        ("s3://no-such-bucket/a.csv", "There is no bucket `no-such-bucket`."),
        ("s3://no-such-bucket/a/", "There is no bucket `no-such-bucket`."),
        ("s3://versioned/d/a.csv?versionId=none", "s3://versioned/d/a.csv has no version none."),
        ("s3://versioned/d/gone.csv", "s3://versioned/d/gone.csv was deleted."),
        ("s3://versioned/a#1.csv", "The dataset s3://versioned/a#1.csv has a `#`, which starts a fragment."),
        ("s3://versioned/a?b.csv", "The dataset s3://versioned/a?b.csv has `b.csv` after the `?`, which is not"),
        ("s3://versioned/a?version=1", "The dataset s3://versioned/a?version=1 has `version` after the `?`."),
        ("s3:///a.csv", "The dataset s3:///a.csv names no place."),
        ("s3://key:secret@versioned/a.csv", "The dataset s3://***@versioned/a.csv carries credentials."),
        ("gcs://b/a.csv", "The dataset gcs://b/a.csv lies in a system that Slipway does not know."),
    ],
)
def test_fetch__bad_addresses(store: S3, path: str, what: str) -> None:
    fill(store)
    failure = refusal(path)
    assert failure.what.startswith(what)
    assert failure.fix


def test_fetch__a_version_that_is_a_mark_of_deletion(store: S3) -> None:
    store.put("versioned", "a.csv", "1")
    marker = store.delete("versioned", "a.csv")
    failure = refusal(f"s3://versioned/a.csv?versionId={marker}")
    assert failure.what == f"s3://versioned/a.csv was deleted by the version {marker}."


def test_fetch__a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    failure = refusal("s3://versioned/a.csv", RemoteError)
    assert failure.what == "The store of s3://versioned/a.csv did not answer."
    assert "AWS_ENDPOINT_URL_S3" in failure.fix


@pytest.mark.parametrize("path", ["s3://versioned/a.csv", "s3://versioned/a/"])
@pytest.mark.parametrize("known", [True, False])
def test_fetch__refused(monkeypatch: pytest.MonkeyPatch, path: str, known: bool) -> None:
    """A public bucket needs no credentials, so their absence is told only once access is refused."""
    if not known:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = f"<Error><Code>AccessDenied</Code><Message>No, {SECRET}</Message></Error>".encode()
    with HttpDouble(lambda _: Said(403, error, {"Content-Type": "application/xml"})) as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL", double.url)
        failure = refusal(path)
        signed = {"authorization" in asked.headers for asked in double.log}
    assert failure.what == f"Access to {path} was refused."
    assert ("No credentials were found." in failure.why) is not known
    assert signed == {known}
    assert "s3:GetObjectVersion" in failure.fix
    if known:
        assert SECRET not in str(failure)


def test_fetch__a_server_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpDouble(lambda _: Said(500)) as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL", double.url)
        assert refusal("s3://versioned/a/", RemoteError).what == "The store of s3://versioned/a/ did not answer."


# The copy


def test_fetch__once_per_job_and_again_when_changed(store: S3) -> None:
    store.put("versioned", "a.csv", "1")
    path = datasets.identify("s3://versioned/a.csv").pinned
    place = Path(datasets.fetch_missing(path))
    before = place.stat().st_ino
    assert datasets.fetch_missing(path) == str(place)
    assert place.stat().st_ino == before
    assert place.stat().st_mode & 0o222 == 0
    place.chmod(0o644)
    place.write_text("2")
    assert Path(datasets.fetch_missing(path)).read_text() == "1"


def test_fetch__what_was_killed_half_way_counts_for_nothing(store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after the files arrived and before the copy is complete."""
    store.put("versioned", "a.csv", "1")
    path = datasets.identify("s3://versioned/a.csv").pinned
    folder = remote.resolve(path).folder
    code = (
        "import os; from slipway import datasets; from slipway.datasets import content; "
        f"content.sha256_of = lambda place: os._exit(9); datasets.fetch_missing({path!r})"
    )
    environ = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, check=False)
    assert done.returncode == 9, done.stderr
    (partial,) = folder.parent.glob("partial-*")
    assert (partial / "data" / "a.csv").read_text() == "1"
    assert not folder.exists()
    assert datasets.identify(path).sha256 == ""
    assert Path(datasets.fetch_missing(path)).read_text() == "1"
    assert list(folder.parent.glob("partial-*")) == []


def test_fetch__a_failure_leaves_nothing(store: S3) -> None:
    version = store.put("versioned", "a.csv", "1")
    path = f"s3://versioned/a.csv?versionId={version}"
    folder = remote.resolve(path).folder
    store.delete("versioned", "a.csv", version)
    assert refusal(path).what == f"{path.partition('?')[0]} has no version {version}."
    assert [each.name for each in folder.parent.iterdir() if each.is_dir()] == ["resolved"]


# The gate, and what a command is told


def test_require_pinned__names_every_dataset_and_its_repair(store: S3) -> None:
    version = store.put("versioned", "a.csv", "1")
    store.put("plain", "b.csv", "1")
    pinned = f"s3://versioned/a.csv?versionId={version}"
    paths = {"train": "s3://versioned/a.csv", "extra": "s3://plain/b.csv", "holdout": pinned}
    with pytest.raises(GateError) as caught:
        datasets.bring(paths, "fail")
    assert caught.value.what == "2 datasets can change without a change of name: `train`, `extra`."
    assert f"- `train` (s3://versioned/a.csv) names no version, so it can change under its name. Write `{pinned}`" in (
        caught.value.fix
    )
    assert "- `extra` (s3://plain/b.csv) is kept without versions" in caught.value.fix
    assert list(remote.resolve(pinned).folder.parent.glob("*/version.json")) == []
    found = datasets.bring(paths, "warn")
    assert {name: bool(version.sha256) for name, version in found.items()} == dict.fromkeys(paths, True)
    assert datasets.bring({"holdout": pinned}, "fail")["holdout"].immutable


def test_variables__say_where_every_dataset_lies(store: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local.csv").write_text("1")
    store.put("versioned", "a.csv", "1")
    versions = datasets.bring({"train": "s3://versioned/a.csv", "the hold-out.2": "local.csv"}, "warn")
    assert datasets.variables(versions) == {
        "SLIPWAY_DATA_TRAIN": datasets.fetch_missing("s3://versioned/a.csv"),
        "SLIPWAY_DATA_THE_HOLD_OUT_2": str(tmp_path / "local.csv"),
    }
    with pytest.raises(PolicyError, match="SLIPWAY_DATA_A_B"):
        datasets.variables({"a-b": versions["train"], "a_b": versions["train"]})


# A stage


def test_validate_data__on_a_folder_in_s3(store: S3, tmp_path: Path, environments_cache: Path) -> None:
    """The stage by itself: it prepares the adapter's environment, and its report holds the version."""
    for day in ("day=2026-01-01", "day=2026-01-02"):
        store.put("versioned", f"d/{day}/[1].csv", "x,y\n1,a\n2,b\n")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_"))},
        "INPUT_DATA": "s3://versioned/d/",
        "INPUT_SCHEMA": "schema.yml",
        "INPUT_REPORT": "report.json",
    }
    (tmp_path / "schema.yml").write_text("columns:\n  x: {dtype: int64, checks: {greater_than_or_equal_to: 2}}\n")
    command = [sys.executable, str(SCRIPTS / "validate_data.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    report = json.loads((tmp_path / "report.json").read_text())
    assert done.returncode == 1, done.stdout + done.stderr
    assert (report["model"], report["verdict"]) == ("d", "fail")
    pinned = remote.resolve("s3://versioned/d/").version.pinned
    assert report["provenance"]["data_d"] == f"s3://versioned/d/ s3 {pinned.partition('=')[2]}"
    assert any(pinned in reason for reason in report["reasons"])
    assert SECRET not in done.stdout + done.stderr + json.dumps(report)


@pytest.mark.parametrize(("pin", "verdict"), [(True, "pass"), (False, "fail")])
def test_validate_data__with_the_reproducibility_gate(store: S3, tmp_path: Path, pin: bool, verdict: str) -> None:
    version = store.put("versioned", "a.csv", "x\n1\n")
    path = "s3://versioned/a.csv" + (f"?versionId={version}" if pin else "")
    policy = {"version": 1, "model": "m", "data": {"train": {"path": path, "schema": "schema.yml"}}}
    (tmp_path / "slipway.yml").write_text(json.dumps({**policy, "reproducibility": {"mutable_data": "fail"}}))
    (tmp_path / "schema.yml").write_text("columns:\n  x: {dtype: int64}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INPUT_"))}
    command = [sys.executable, str(SCRIPTS / "validate_data.py")]
    done = subprocess.run(
        command, cwd=tmp_path, env={**kept, "INPUT_REPORT": "report.json"}, capture_output=True, text=True, check=False
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert (done.returncode, report["verdict"]) == (0 if pin else 1, verdict), done.stdout
    (check,) = (each for each in report["checks"] if each["name"] == "train: pinned")
    assert (check["verdict"], f"versionId={version}" in check["detail"] or pin) == (verdict, True)


def test_fetch__keeps_credentials_off_command_lines(store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("versioned", "a.csv", "1")
    seen: list[list[str]] = []
    original = subprocess.run

    def watched(command: list[str], **how: object) -> object:
        seen.append(command)
        return original(command, **how)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", watched)
    datasets.fetch_missing("s3://versioned/a.csv")
    assert seen and not any(SECRET in argument for command in seen for argument in command)


def test_fetch__answers_of_a_client_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s3.py").write_text(f"import sys; print('no JSON'); sys.exit('MemoryError near {SECRET}')")
    monkeypatch.setattr(remote, "CLIENTS", tmp_path)
    failure = refusal("s3://versioned/a.csv", RemoteError)
    assert failure.what == "The program that reads s3 broke (exit code 1)."
    assert failure.why == "MemoryError near ***"


def test_asked__is_what_the_double_logs() -> None:
    with HttpDouble(lambda _: Said(204)) as double:
        requests.get(f"{double.url}/a%20b?x=1", timeout=60)
    assert (double.log[0].method, double.log[0].path, double.log[0].query) == ("GET", "/a b", {"x": "1"})
    assert isinstance(double.log[0], Asked)


# A rebuild


def test_rebuild__of_data_that_have_moved_on(store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """reproduce-model fetches the recorded version, also where the policy named none; a deleted one is gone."""
    first = store.put("versioned", "train/a.csv", "1")
    store.put("versioned", "train/b.csv", "2")
    recorded = {name: datasets.identify(path) for name, path in PLACES.items()}
    second = store.put("versioned", "train/a.csv", "3")
    store.delete("versioned", "train/b.csv")
    monkeypatch.setenv("SLIPWAY_JOB", "2")
    assert datasets.identify(PLACES["one"]).id == second != first, "what lies there now is another version"
    found = rebuilding.bring(recorded)
    assert [each.id for each in found.values()] == [each.id for each in recorded.values()]
    one, folder = map(Path, datasets.variables(found).values())
    assert one.read_text() == "1"
    assert {file.name: file.read_text() for file in folder.rglob("*.csv")} == {"a.csv": "1", "b.csv": "2"}

    store.delete("versioned", "train/a.csv", first)
    monkeypatch.setenv("SLIPWAY_JOB", "3")
    with pytest.raises(GateError, match="is not there any more") as failure:
        rebuilding.bring(recorded)
    assert "Bring that version back to its store" in failure.value.fix


PLACES = {"one": "s3://versioned/train/a.csv", "folder": "s3://versioned/train/"}


def test_rebuild__of_data_that_nothing_held_on_to(store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("plain", "a.csv", "1")
    recorded = {"train": datasets.identify("s3://plain/a.csv")}
    monkeypatch.setenv("SLIPWAY_JOB", "2")
    assert rebuilding.bring(recorded)["train"].id == recorded["train"].id, "it is what it was"
    store.put("plain", "a.csv", "2")
    monkeypatch.setenv("SLIPWAY_JOB", "3")
    with pytest.raises(rebuilding.DataChangedError, match="it has changed") as failure:
        rebuilding.bring(recorded)
    assert failure.value.name == "train" and "mutable_data: fail" in failure.value.fix
