"""What is known of a version: complete, in order, each claim with its evidence, and what is not known said so."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_kit import COMMITS, DIGESTS, LOCK, POLICY, STATEMENT, Story, day, registered, whole
from slipway.audit.dossier import Locked, locked
from slipway.audit.facts import SECTIONS, Fact, facts
from slipway.audit.trail import Trail
from slipway.datasets import DatasetVersion
from slipway.ledger.entries import digest
from slipway.ledger.verification import Record
from slipway.report import Subject
from slipway.runner.errors import InputError
from slipway.training.provenance import Base, Environment


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    return whole(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def known(trail: Trail) -> tuple[Fact, ...]:
    return facts(trail, "flights", "2", registered("2"))


def said(known: tuple[Fact, ...], section: str, claim: str) -> tuple[str | None, str]:
    """The one value of a claim with its evidence."""
    (found,) = [(each.value, each.evidence) for each in known if (each.section, each.claim) == (section, claim)]
    return found


def test_facts__every_claim_has_its_entry_and_file(known: tuple[Fact, ...]) -> None:
    # Entries: 0 genesis, 1-3 version 1, 4 validation, 5 training, 6 evaluation, 7 comment, 8 approval, 9 promotion.
    provenance = "entry 5, provenance.json"
    assert said(known, "Identity", "digest of the model's files") == (DIGESTS["2"], "entry 5")
    assert said(known, "Identity", "registered as") == ("flights version 2", "registry")
    assert said(known, "Identity", "digest in the registry")[0] == "the same as in the ledger"
    assert said(known, "Identity", "live now in") == ("production", "entries up to 12")
    assert said(known, "Justification", "reason") == ("Wider trees\n\nFixes #12", "entry 5")
    assert said(known, "Justification", "linked issues") == ("#12", "entry 5")
    assert said(known, "Justification", "set off by") == ("mona (id 17)", "entry 5")
    assert said(known, "Justification", "pull request") == ("#7", "entry 5")
    assert said(known, "Justification", "workflow run")[0] == (
        "octo/models run 1002 attempt 1 https://github.com/octo/models/actions/runs/1002"
    )
    assert said(known, "Code", "commit") == (COMMITS["2"], provenance)
    assert said(known, "Code", "work tree was clean") == ("yes", provenance)
    assert said(known, "Code", "command") == ("python train.py --depth 3", provenance)
    assert said(known, "Code", "seed") == ("7", provenance)
    assert said(known, "Data", "dataset train") == (
        f"data/train.parquet dvc md5:{'2' * 32}, tracked by data/train.dvc",
        provenance,
    )
    assert said(known, "Parameters", "model.depth") == ("3", provenance)
    assert said(known, "Environment", "locked by hashes") == ("yes, 2 of 2", provenance)
    assert said(known, "Environment", "hashes checked at installation") == ("yes", provenance)
    assert said(known, "Environment", "container base") == ("container: python:3.11-slim", provenance)
    assert said(known, "Training", "model that it started from") == ("models:/flights-base/1", provenance)
    statement = digest(STATEMENT["provenance.intoto.json"])
    assert said(known, "Training", "digest of the in-toto statement") == (statement, "entry 5, provenance.intoto.json")
    assert said(known, "Training", "finished") == ("2026-11-09T09:14:33Z", provenance)
    assert said(known, "Environment", "Python") == ("3.11.7", provenance)
    assert said(known, "Environment", "packages (3)")[0] == "numpy==2.4.6, pip==26.0, scikit-learn==1.9.1"
    assert said(known, "Environment", "machine: platform") == ("Linux-6.8-x86_64", provenance)
    assert said(known, "Policy", "policy slipway.yml") == (POLICY["policy_digest"], "entries 4, 5, 6")
    assert said(known, "Policy", "gates read from") == ("b" * 40, provenance)
    assert said(known, "Training", "duration in seconds") == ("9.123", provenance)
    assert said(known, "Comment", "link comment")[1] == "entry 7"
    approval, evidence = said(known, "Approvals", "approval for production")
    assert evidence == "entry 8" and approval is not None and approval.startswith("pass: Approved by ada.")
    assert said(known, "Approvals", "approver") == ("ada", "entry 8")
    assert said(known, "Approvals", "self approval") == ("no", "entry 8")


def test_facts__the_metrics_are_those_of_the_report(trail: Trail, known: tuple[Fact, ...]) -> None:
    report = trail.report(trail.records[6])
    assert report is not None
    row = next(row for row in report.tables[0].rows if str(row[0]).startswith("roc_auc"))
    value, evidence = said(known, "Evaluation", "roc_auc ↑")
    assert evidence == "entry 6, report.json"
    assert value == (
        f"production {row[1]}, candidate {row[2]}, difference {row[3]}, 95 % interval {row[4]}, "
        "gate not worse by 0.01, verdict pass"
    )
    # A metric without a gate is measured, too, and a second gate on a metric does not hide the first.
    assert "gate none" in (said(known, "Evaluation", "accuracy ↑")[0] or "")
    assert "at most 0.7" in (said(known, "Evaluation", "log_loss ↓ (2)")[0] or "")
    assert "clear of the limit" in (said(known, "Evaluation", "check roc_auc: not worse by 0.01")[0] or "")


def test_facts__the_releases_tell_what_replaced_it_and_what_it_replaced(trail: Trail) -> None:
    known = facts(trail, "flights", "3", None)
    releases = [(each.claim, each.evidence) for each in known if each.section == "Releases"]
    assert releases == [
        ("production: live now", "entries up to 12"),
        ("production: promotion", "entry 11"),
        ("production: reason", "entry 11"),
        ("production: previous version", "entry 11"),
        ("production: rollback", "entry 12"),
        ("production: reason", "entry 12"),
        ("production: previous version", "entry 12"),
    ]
    assert said(known, "Releases", "production: live now")[0] == "no"
    assert "(version 2, by hubot, 2026-11-13 15:00:00 UTC)" in (
        said(known, "Releases", "production: rollback")[0] or ""
    )


def test_facts__what_is_not_known_says_why(trail: Trail) -> None:
    known = facts(trail, "flights", "1", None)
    assert said(known, "Identity", "registered as") == (
        None,
        "the registry has no such version, or was not asked",
    )
    assert said(known, "Validation", "validation") == (None, "no entry records it")
    assert said(known, "Approvals", "approval") == (None, "no entry records it")
    assert said(known, "Signature", "signature") == (None, "no entry records it")
    assert said(known, "Packaging", "image") == (None, "no entry records it")
    assert said(known, "Environment", "locked by hashes")[0] == "no, 0 of 0"
    assert said(known, "Justification", "linked issues") == (None, "entry 1 names none")
    assert {each.text for each in known if each.value is None} == {"not known"}
    assert all(each.evidence for each in known)


def test_facts__come_section_by_section(known: tuple[Fact, ...]) -> None:
    order = list(SECTIONS)
    assert [order.index(each.section) for each in known] == sorted(order.index(each.section) for each in known)
    assert {each.section for each in known} == set(order)


def test_facts__every_entry_and_every_file_is_named_with_its_digest(trail: Trail, known: tuple[Fact, ...]) -> None:
    for number in range(4, 10):
        record = trail.records[number]
        event = record.entry.event
        assert (said(known, "Records", f"entry {number}: {event}")[0] or "").startswith(record.digest)
        files = said(known, "Records", f"entry {number}: files")[0] or ""
        for each in record.entry.evidence:
            assert digest(trail.file(record, each.name) or b"") in files


def test_facts__a_version_without_a_training_is_told_from_the_registry(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.place("promotion", "2", day(0))
    known = facts(story.read(), "flights", "2", registered("2"))
    assert said(known, "Code", "commit") == (COMMITS["2"], "registry, tag slipway.commit")
    assert said(known, "Code", "seed") == ("7", "registry, tag slipway.seed")
    assert said(known, "Data", "dataset train") == (f"dvc:md5:{'2' * 32}", "registry, tag slipway.dataset.train")
    assert said(known, "Policy", "policy") == (POLICY["policy_digest"], "registry, tag slipway.policy_digest")
    assert said(known, "Environment", "container base") == ("container: python:3.11-slim", "registry, tag slipway.base")
    assert said(known, "Environment", "hashes checked at installation") == ("true", "registry, tag slipway.hash_locked")
    assert said(known, "Parameters", "parameters") == (None, "no entry records it")


def test_facts__a_registry_that_differs_is_told(trail: Trail) -> None:
    other = registered("2", **{"slipway.model_digest": "sha256:other"})
    known = facts(trail, "flights", "2", other)
    assert said(known, "Identity", "digest in the registry")[0] == "DIFFERS from the ledger's: sha256:other"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """Two models by one number: that of the team's registry, and one of a registry that somebody began anew."""
    story = Story(tmp_path_factory.mktemp("two"))
    story.train("2", day(0))
    story.evaluate("2", "", day(0.1))
    other = story.run("2", title="A try of mine", run_id=7)
    story.validate("2", day(1), other)
    story.train("2", day(1.1), other, model_digest="sha256:other", seed=8)
    return story.read()


def test_facts__two_models_by_one_number_are_not_mixed(two: Trail) -> None:
    for registry_version, seed, reason in (
        (None, "7", "Wider trees\n\nFixes #12"),  # the first on record
        (registered("2"), "7", "Wider trees\n\nFixes #12"),
        (registered("2", **{"slipway.model_digest": "sha256:other"}), "8", "A try of mine\n\nFixes #12"),
    ):
        known = facts(two, "flights", "2", registry_version)
        assert said(known, "Code", "seed")[0] == seed
        assert said(known, "Justification", "reason")[0] == reason
        contradiction = f"entry 4 names the digest sha256:other, entry 1 {DIGESTS['2']}"
        assert said(known, "Identity", "CONTRADICTION") == (contradiction, "entries of the ledger")
        assert len([each for each in known if each.claim == "entry 4: training"]) == 1  # all of them stay on record
    assert len([each for each in known if each.section == "Evaluation"]) == 1  # that of the other model is left out


def test_facts__a_dirty_tree_and_data_that_can_change(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.train("2", day(0), clean=False, changes=("train.py",), seed=None)
    known = facts(story.read(), "flights", "2", None)
    assert said(known, "Code", "work tree was clean")[0] == "no"
    assert said(known, "Code", "uncommitted changes")[0] == "train.py"
    assert said(known, "Code", "seed") == ("none was set", "entry 1, provenance.json")


def test_facts__what_was_taken_away_behind_the_pipelines_back(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.place("promotion", "2", day(0))
    # As `acknowledge` records that the registry's alias is gone.
    story.place("rollback", "", day(1), before="2")
    known = facts(story.read(), "flights", "2", None)
    assert said(known, "Identity", "live now in")[0] == "no environment"
    assert "(version none, by hubot" in (said(known, "Releases", "production: rollback")[0] or "")


def test_facts__image_looks_and_drift(tmp_path: Path) -> None:
    story = Story(tmp_path)
    image = {"role": "image", "name": "ghcr.invalid/flights", "id": f"sha256:{'5' * 64}"}
    base = {"role": "base", "name": "python:3.11-slim", "id": f"sha256:{'6' * 64}"}
    story.event("packaging", "2", day(0), verdict="pass", subjects=[image, base])
    story.event("look", "2", day(1), verdict="inconclusive", details={"requests": 1200})
    story.event("drift", "2", day(2), verdict="fail", reasons=["month drifted"])
    known = facts(story.read(), "flights", "2", None)
    assert said(known, "Packaging", "image ghcr.invalid/flights") == (image["id"], "entry 1")
    assert said(known, "Environment", "container base") == (f"python:3.11-slim {base['id']}", "entry 1")
    assert said(known, "Operation", "requests") == ("1200", "entry 2")
    assert (said(known, "Operation", "drift report")[0] or "").startswith("fail: drift of version 2.")
    assert said(known, "Operation", "reason") == ("month drifted", "entry 3")
    assert said(known, "Operation", "attempts to rebuild it") == (None, "no entry records it")


def test_facts__a_base_that_could_not_be_told(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.train("2", day(0), base=Base(kind="unknown"), base_model="")
    known = facts(story.read(), "flights", "2", None)
    assert said(known, "Environment", "container base") == (None, "entry 1, provenance.json: nothing could be told")
    assert said(known, "Training", "model that it started from") == (None, "entry 1, provenance.json does not say it")


def test_facts__data_of_a_remote_store(tmp_path: Path) -> None:
    story = Story(tmp_path)
    remote = DatasetVersion(
        path="s3://b/a.parquet",
        kind="s3",
        id="v1",
        immutable=True,
        pinned="s3://b/a.parquet?versionId=v1",
        sha256="a" * 64,
    )
    story.train("2", day(0), datasets={"train": remote})
    known = facts(story.read(), "flights", "2", None)
    where = "entry 1, provenance.json"
    assert said(known, "Data", "dataset train") == ("s3://b/a.parquet s3 v1", where)
    assert said(known, "Data", "exact address of train") == ("s3://b/a.parquet?versionId=v1", where)
    assert said(known, "Data", "SHA-256 of train") == ("a" * 64, where)


def test_facts__who_signed(tmp_path: Path) -> None:
    story = Story(tmp_path)
    subjects = (Subject(role="candidate", name="2", id=DIGESTS["2"]),)
    signed = {"signer": "release@example.invalid", "method": "certificate", "policy_digest": "sha256:1"}
    story.report("sign-model", "2", day(0), headline="Signed version 2.", subjects=subjects, provenance=signed)
    known = facts(story.read(), "flights", "2", None)
    assert said(known, "Signature", "signer") == ("release@example.invalid", "entry 1, report.json")
    assert (said(known, "Signature", "result")[0] or "").startswith("pass: Signed version 2.")
    assert not [each for each in known if each.section == "Signature" and each.claim.startswith("policy")]


def test_facts__one_loose_line_makes_a_lock_loose(tmp_path: Path) -> None:
    story = Story(tmp_path)
    environment = Environment(python="3.11.7", packages=(), lock=LOCK + "pandas>=2\n", lock_digest="sha256:1")
    story.train("2", day(0), environment=environment)
    assert said(facts(story.read(), "flights", "2", None), "Environment", "locked by hashes")[0] == "no, 2 of 3"


def test_facts__a_version_that_nobody_knows(trail: Trail) -> None:
    with pytest.raises(InputError, match="says nothing of version 9"):
        facts(trail, "flights", "9", None)


def test_facts__no_machine_path_of_the_store(known: tuple[Fact, ...]) -> None:
    assert not [each for each in known if "/srv/" in f"{each.value} {each.evidence}"]


def test_locked__reads_a_requirements_file() -> None:
    assert list(locked(LOCK)) == [
        Locked("numpy", "2.4.6", (("sha256", "c" * 64), ("sha256", "d" * 64))),
        Locked("scikit_learn", "1.9.1", (("sha256", "e" * 64),)),
    ]
    loose = "# a==1\n--index-url https://i.invalid\n-i x\nuvicorn[standard]==0.5  # why\r\n\nx>=1\n-r other.txt\n-e .\n"
    assert list(locked(loose)) == [
        Locked("uvicorn", "0.5", ()),
        Locked("x>=1", "", ()),
        Locked("-r other.txt", "", ()),
        Locked("-e .", "", ()),
    ]


def test_about__compares_no_records(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look every record up among a version's own takes minutes from some thousand looks of a canary on."""

    def compared(*_: object) -> bool:
        raise AssertionError("two records were compared")

    monkeypatch.setattr(Record, "__eq__", compared)
    assert [record.entry.sequence for record in trail.about("flights", "2")] == [4, 5, 6, 7, 8, 9, 12]
