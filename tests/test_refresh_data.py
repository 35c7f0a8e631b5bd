"""refresh-data as its step runs it: a real command in a real repository, and the patch that it leaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from conftest import GitRepository
from governor_kit import MODEL
from retraining_kit import KEY, Retraining, begin, dispatched, event_of
from slipway.policy.source import file_digest
from slipway.report import Report, Verdict


@pytest.fixture
def retraining(repository: GitRepository, tmp_path: Path, environments_cache: Path) -> Retraining:
    return begin(repository, tmp_path, environments_cache)


def report_of(path: str) -> Report:
    return Report.read(Path(path))


def applied(patch: Path, repository: GitRepository) -> str:
    """What the work tree has after the patch."""
    subprocess.run(["git", "apply", str(patch)], cwd=repository.path, check=True)
    return repository.git("status", "--porcelain", "--untracked-files=all")


def test_refresh_data__takes_what_the_command_changed(retraining: Retraining) -> None:
    commit = retraining.policy()

    done = retraining.refresh()

    report = report_of(done.outputs["report"])
    patch = Path(done.outputs["report"]).with_name("refresh.patch")
    assert (done.code, done.outputs["verdict"], done.outputs["changed"]) == (0, "pass", "1")
    assert done.outputs["commit"] == commit == report.provenance["commit"]
    assert report.attachments == {"refresh.patch": file_digest(patch)}
    assert (report.provenance["retraining"], report.provenance["generation"]) == (KEY, 1)
    assert applied(patch, retraining.repository) == "M data/train.dvc"
    assert (retraining.repository.path / "data/train.dvc").read_text() == "new"


def test_refresh_data__takes_new_removed_and_binary_files_and_leaves_ignored_ones(retraining: Retraining) -> None:
    code = (
        "from pathlib import Path; Path('data/train.dvc').unlink();"
        "Path('data/ä b.bin').write_bytes(bytes(range(256)));"
        "Path('run.sh').write_text('true'); Path('run.sh').chmod(0o755); Path('data/x.log').write_text('no')"
    )
    retraining.policy(command=["python3", "-c", code])
    retraining.repository.commit({".gitignore": "*.log\n"})

    done = retraining.refresh()

    patch = Path(done.outputs["report"]).with_name("refresh.patch")
    assert done.outputs["changed"] == "3"
    said = applied(patch, retraining.repository)
    assert len(said.splitlines()) == 3
    assert (retraining.repository.path / "data/ä b.bin").read_bytes() == bytes(range(256))
    assert (retraining.repository.path / "run.sh").stat().st_mode & 0o111
    assert not (retraining.repository.path / "data/x.log").exists()


def test_refresh_data__in_a_changed_work_tree_says_what_is_wrong_with_that(retraining: Retraining) -> None:
    retraining.policy()
    (retraining.repository.path / "notes.txt").write_text("mine")
    done = retraining.refresh()
    assert (done.code, done.outputs["verdict"]) == (1, "inconclusive")
    assert "What would be proposed is not what the command did." in done.log
    assert "To train anyway" not in done.log


def test_refresh_data__leaves_the_index_as_it_is(retraining: Retraining) -> None:
    retraining.policy()

    done = retraining.step("refresh-data", {})

    assert done.code == 0
    assert retraining.repository.git("diff", "--cached", "--name-only") == ""
    assert retraining.repository.git("diff", "--name-only") == "data/train.dvc"


def test_refresh_data__tells_the_command_why_and_gives_it_no_token(retraining: Retraining) -> None:
    code = (
        "import json, os; from pathlib import Path;"
        "said = json.loads(Path(os.environ['SLIPWAY_RETRAINING']).read_text());"
        "Path('data/train.dvc').write_text(json.dumps({'window': said['cause']['window'],"
        "'seen': [n for n in os.environ if n.startswith('INPUT_') or n == 'GITHUB_TOKEN'], 'key': os.environ['KEY']}))"
    )
    retraining.policy(command=["python3", "-c", code])

    done = retraining.step("refresh-data", {}, GITHUB_TOKEN="ghs_secret", SLIPWAY_CREDENTIALS="KEY=value-of-the-store")

    assert done.code == 0, done.log
    said = json.loads((retraining.repository.path / "data/train.dvc").read_text())
    assert said == {"window": "dvc:july", "seen": [], "key": "value-of-the-store"}


def test_refresh_data__that_changes_nothing_fails(retraining: Retraining) -> None:
    retraining.policy(command=["python3", "-c", "print('no new month')"])

    done = retraining.refresh()

    assert (done.code, done.outputs["verdict"]) == (1, "fail")
    assert "nothing new to learn from" in done.messages("error")[0]
    assert report_of(done.outputs["report"]).attachments == {}


def test_refresh_data__that_breaks_leaves_no_patch(retraining: Retraining) -> None:
    retraining.policy()
    assert retraining.refresh().code == 0
    broken = (
        "from pathlib import Path; Path('data/train.dvc').write_text('half'); raise SystemExit('the store is down')"
    )
    retraining.policy(command=["python3", "-c", broken])

    done = retraining.refresh()

    report = report_of(done.outputs["report"])
    assert (done.code, report.verdict) == (1, Verdict.FAIL)
    assert "the store is down" in report.reasons[0]
    assert not Path(done.outputs["report"]).with_name("refresh.patch").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import subprocess as s; s.run(['git', '-c', 'user.name=x', '-c', 'user.email=x@x', 'commit', '--allow-empty',"
         "'-mx'], check=True)", "made a commit"),
        ("import os, pathlib; pathlib.Path('big.bin').write_bytes(os.urandom(17 * 2**20))", "DVC or Git LFS"),
    ],
    ids=["a commit", "the data themselves"],
)  # fmt: skip
def test_refresh_data__refuses_what_is_no_change_of_pins(retraining: Retraining, code: str, says: str) -> None:
    retraining.policy(command=["python3", "-c", code])

    done = retraining.refresh()

    assert done.code == 1
    assert says in done.messages("error")[0]
    assert done.outputs["verdict"] == "inconclusive"


def test_refresh_data__refuses_a_work_tree_with_changes(retraining: Retraining) -> None:
    retraining.policy()
    (retraining.repository.path / "left.txt").write_text("left")

    done = retraining.step("refresh-data", {})

    assert done.code == 1
    assert "left.txt" in done.messages("error")[0]


def test_refresh_data__without_its_section_says_what_to_add(retraining: Retraining) -> None:
    retraining.repository.commit(
        {"slipway.yml": f"version: 1\nmodel: {MODEL}\nretraining: {{workflow: retrain.yml}}\n"}
    )

    done = retraining.step("refresh-data", {})

    assert done.code == 1
    assert "retraining.refresh" in done.messages("error")[0]


def test_refresh_data__refuses_the_payload_of_another_model(retraining: Retraining) -> None:
    retraining.policy()
    retraining.event = event_of(dispatched(model="another"))

    done = retraining.step("refresh-data", {})

    assert done.code == 1
    assert "`another`" in done.messages("error")[0]


def test_refresh_data__refuses_a_key_without_a_valid_payload(retraining: Retraining) -> None:
    retraining.policy()
    retraining.event = {"inputs": {"payload": json.dumps({"key": KEY, "model": MODEL})}}

    done = retraining.step("refresh-data", {})

    assert done.code == 1
    assert "not started with a retraining's payload" in done.messages("error")[0]


def test_refresh_data__started_by_a_person_has_their_reason(retraining: Retraining) -> None:
    retraining.policy()
    retraining.event = {"inputs": {"reason": "The summer timetable.", "key": "", "payload": ""}}

    done = retraining.refresh()

    report = report_of(done.outputs["report"])
    assert (done.code, report.reasons, report.provenance["retraining"]) == (0, ("The summer timetable.",), "1000")
