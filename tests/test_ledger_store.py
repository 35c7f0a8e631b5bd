"""Appending: racing writers, killed writers, no remote, no network, no right, a branch that was rewritten."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import warm_stage
from conftest import GitRepository
from ledger_kit import clone, draft, ledger, served, subjects
from slipway.ledger import place, store
from slipway.ledger.commit import subject
from slipway.ledger.entries import Draft
from slipway.ledger.git import Git
from slipway.ledger.verification import BadEntry, records
from slipway.runner.context import Run
from slipway.runner.errors import ConflictError, InputError, RemoteError
from slipway.runner.inputs import Secret

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "ghs_0123456789abcdef"


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return tmp_path / "up stream ü%41.git"


@pytest.fixture
def here(upstream: Path, tmp_path: Path) -> GitRepository:
    return clone(upstream, tmp_path / "clone")


def command(folder: Path, *numbers: int) -> list[str]:
    """A process that appends."""
    writer = ROOT / "tests" / "ledger_writer.py"
    return [warm_stage.python_for(writer, sys.executable), str(writer), str(folder), *map(str, numbers)]


def verified(folder: Path) -> list[str]:
    """The summaries of the whole ledger, every entry of which was checked."""
    found = ledger(folder)
    return [record.entry.summary for record in records(found.git, found.commits())]


def test_append__one_commit_an_entry(here: GitRepository, upstream: Path) -> None:
    receipt = ledger(here.path).append([draft(1, {"report.json": b"{}"}), draft(2)])
    assert subjects(upstream) == ["Begin the ledger", "Trained 1", "Trained 2"]
    assert [entry.sequence for entry in receipt.entries] == [1, 2]
    assert (receipt.why_not, receipt.waiting) == ("", 0)
    assert receipt.head == receipt.entries[-1].head
    tree = Git(upstream).run("ls-tree", "--name-only", f"{place.BRANCH}~1").decode().split()
    assert tree == ["entry.json", "report.json"]
    trailers = Git(upstream).line("log", "-1", "--format=%(trailers:key=Digest,valueonly)", place.BRANCH)
    assert f"2:{trailers.strip()}" == receipt.head
    assert verified(here.path) == subjects(upstream)


def test_append__touches_nothing_of_the_clone(here: GitRepository) -> None:
    (here.path / "code.py").write_text("changed")
    (here.path / "new.py").write_text("new")
    here.git("add", "new.py")
    before = [here.git("status", "--porcelain"), here.git("for-each-ref"), here.git("rev-parse", "HEAD")]
    index = (here.path / ".git" / "index").read_bytes()
    ledger(here.path).append([draft(1)])
    assert [here.git("status", "--porcelain"), here.git("for-each-ref"), here.git("rev-parse", "HEAD")] == before
    assert (here.path / ".git" / "index").read_bytes() == index


def test_append__the_same_event_twice(here: GitRepository, upstream: Path) -> None:
    ledger(here.path).append([draft(1)])
    receipt = ledger(here.path).append([draft(1), draft(2), draft(1)])
    assert subjects(upstream) == ["Begin the ledger", "Trained 1", "Trained 2"]
    assert [entry.summary for entry in receipt.entries] == ["Trained 2"]


def forge(upstream: Path, summary: bytes) -> str:
    """A commit after the newest entry, by somebody with the right to push, whose entry says something else."""
    git, branch = Git(upstream), f"refs/heads/{place.BRANCH}"
    raw = git.run("show", f"{branch}:entry.json").replace(b"Trained", summary)
    tree = git.line("mktree", given=f"100644 blob {git.store(raw)}\tentry.json\n".encode())
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.invalid"]
    made = git.line(*who, "commit-tree", tree, "-p", branch, "-m", "Looks like an entry")
    git.run("update-ref", branch, made)
    return made


def test_append__after_a_forged_entry_nothing_is_written(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    found = ledger(here.path)
    found.append([draft(1), draft(2)])
    ledger(clone(upstream, tmp_path / "other").path).append([draft(3)])
    assert found.append([draft(4)]).waiting == 0  # what others wrote is checked, and is well
    seen = found.git.commit_of(store.SEEN)
    made = forge(upstream, b"Drained")
    for number in (5, 6):
        with pytest.raises(ConflictError, match=rf"holds what is no entry\. Entry 5 \(commit {made[:12]}\)") as failure:
            found.append([draft(number)])
        assert f"{seen}:refs/heads/slipway-ledger" in failure.value.fix
    assert found.git.commit_of(store.SEEN) == seen
    assert Git(upstream).commit_of(place.BRANCH) == made
    # Reading names it, too, and a clone that sees the branch for the first time.
    with pytest.raises(BadEntry, match="Entry 5"):
        verified(here.path)
    with pytest.raises(ConflictError, match="Entry 5"):
        ledger(clone(upstream, tmp_path / "third").path).append([draft(7)])
    # Once it is mended, what waited is delivered.
    Git(upstream).run("update-ref", f"refs/heads/{place.BRANCH}", seen)
    assert [entry.summary for entry in ledger(here.path).deliver().delivered] == ["Trained 5", "Trained 6"]


def trained(number: int, version: str, digest: str, registry: str = "") -> tuple[Draft, dict[str, bytes]]:
    details = {"registry": registry} if registry else {}
    return draft(number, model="flights", model_version=version, model_digest=digest, details=details)


def test_append__a_version_is_one_model(here: GitRepository, upstream: Path) -> None:
    found = ledger(here.path)
    found.append([trained(1, "1", "sha256:one"), trained(2, "2", "sha256:two")])
    found.append([trained(3, "1", "sha256:one")])  # reused
    before = subjects(upstream)
    with pytest.raises(InputError, match="Version 1 of `flights` is on record as another model") as failure:
        found.append([draft(4, event="validation"), trained(5, "1", "sha256:other")])
    assert "entry 3 sha256:one" in failure.value.why and "`remote`" in failure.value.fix
    assert subjects(upstream) == before
    assert found.append([trained(6, "3", "sha256:three")]).waiting == 0


def test_append__every_registry_counts_from_1(here: GitRepository, upstream: Path) -> None:
    found = ledger(here.path)
    found.append([trained(1, "1", "sha256:one"), trained(2, "7", "sha256:seven", "team")])
    before = subjects(upstream)
    with pytest.raises(InputError, match="is of another registry than those on record"):
        found.append([trained(3, "8", "sha256:eight", "mine")])
    assert subjects(upstream) == before
    # The team moved, and somebody answered for it: the numbers begin anew, and the new ones are held to each other.
    moved = {"registry": "new", "observed_in": "registry"}
    found.append([draft(4, event="override", model="flights", model_version="1", details=moved)])
    found.append([trained(5, "7", "sha256:another seven", "new")])
    with pytest.raises(InputError, match="is on record as another model"):
        found.append([trained(6, "7", "sha256:yet another", "new")])


def test_append__from_a_new_clone_only_the_newest_entries_are_fetched(
    here: GitRepository, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FIRST_LOOK", 1)
    for number in range(20):
        ledger(here.path).append([draft(number)])
    other = ledger(clone(upstream, tmp_path / "other").path)
    other.append([draft(20)])
    # 3 objects of the newest entry, 3 of the new one.
    assert other.git.line("count-objects").startswith("6 objects")
    assert len(verified(tmp_path / "other")) == 22


@pytest.mark.parametrize("shared", [False, True], ids=["clones of their own", "one clone"])
def test_append__twenty_writers_at_once(here: GitRepository, upstream: Path, tmp_path: Path, *, shared: bool) -> None:
    folders = [here.path if shared else clone(upstream, tmp_path / f"writer {n}").path for n in range(20)]
    processes = [
        subprocess.Popen(command(folder, 100 + n), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for n, folder in enumerate(folders)
    ]
    said = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0] * 20, said
    assert sorted(subjects(upstream)[1:]) == [f"Trained {100 + n}" for n in range(20)]
    assert verified(here.path) == subjects(upstream)
    heads = {out.strip() for out, _ in said}
    # Everybody was told a head of their own, and each is in the ledger.
    found = {record.entry.head for record in records(ledger(here.path).git, ledger(here.path).commits())}
    assert heads < found and len(heads) == 20


def killing_git(folder: Path) -> Path:
    """A folder with a `git` that counts its calls in `calls` and kills its caller instead of doing the call `fatal`."""
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    shim = folder / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text(
        textwrap.dedent(f"""\
            #!/bin/bash
            n=$(( $(cat '{folder}/calls') + 1 )); echo $n > '{folder}/calls'
            if [ $n = "$(cat '{folder}/fatal')" ]; then kill -9 $PPID; exit 1; fi
            exec '{real}' "$@"
            """)
    )
    shim.chmod(0o755)
    return shim.parent


@pytest.mark.parametrize("first", [True, False], ids=["first entry", "later entry"])
def test_append__killed_between_every_two_steps(tmp_path: Path, *, first: bool) -> None:
    path = f"{killing_git(tmp_path)}{os.pathsep}{os.environ['PATH']}"
    # Every try starts from the same files at the same place.
    place_of_it, kept = tmp_path / "try", tmp_path / "kept"
    upstream, folder = place_of_it / "up.git", place_of_it / "clone"
    place_of_it.mkdir()
    clone(upstream, folder)
    if not first:
        # Somebody else's entry comes in between, so that the killed writer has one to catch up with.
        ledger(folder).append([draft(1)])
        ledger(clone(upstream, place_of_it / "other").path).append([draft(2)])
    place_of_it.rename(kept)
    fatal, survived = 0, False
    while not survived:
        fatal += 1
        shutil.rmtree(place_of_it, ignore_errors=True)
        shutil.copytree(kept, place_of_it)
        (tmp_path / "calls").write_text("0")
        (tmp_path / "fatal").write_text(str(fatal))
        done = subprocess.run(command(folder, 3), env={**os.environ, "PATH": path}, capture_output=True, check=False)
        survived = done.returncode == 0
        assert survived or done.returncode == -signal.SIGKILL, done.stderr
        receipt = ledger(folder).append([draft(3), draft(4)])
        assert receipt.why_not == ""
        earlier = [] if first else ["Trained 1", "Trained 2"]
        assert subjects(upstream) == ["Begin the ledger", *earlier, "Trained 3", "Trained 4"]
        assert verified(folder) == subjects(upstream)
    assert fatal - 1 == int((tmp_path / "calls").read_text()) > 15


def test_append__lock_files_of_a_git_that_was_killed(here: GitRepository, upstream: Path) -> None:
    found = ledger(here.path)
    found.append([draft(1)])
    for name in (
        "refs/heads/ledger.lock",
        "refs/slipway/upstream.lock",
        "config.lock",
        "packed-refs.lock",
        "HEAD.lock",
    ):
        (found.place.store / f"{name}.lock").touch()
    assert found.append([draft(2)]).why_not == ""
    assert subjects(upstream)[-1] == "Trained 2"


def test_append__offline_and_later(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    ledger(here.path).append([draft(1)])
    other = clone(upstream, tmp_path / "other")
    away = upstream.rename(upstream.with_name("away"))
    receipt = ledger(here.path).append([draft(2)])
    assert "could not be reached" in receipt.why_not
    assert receipt.waiting == 1
    assert ledger(here.path).append([draft(3)]).waiting == 2
    away.rename(upstream)
    ledger(other.path).append([draft(4)])
    receipt = ledger(here.path).deliver()
    assert (receipt.why_not, receipt.waiting) == ("", 0)
    assert subjects(upstream) == ["Begin the ledger", *(f"Trained {n}" for n in (1, 4, 2, 3))]
    assert verified(other.path) == subjects(upstream)


def test_append__offline_from_the_start(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    other = clone(upstream, tmp_path / "other")
    away = upstream.rename(upstream.with_name("away"))
    assert ledger(here.path).append([draft(1)]).waiting == 2  # the beginning and the entry
    away.rename(upstream)
    ledger(other.path).append([draft(2)])
    ledger(here.path).append([draft(3)])
    assert subjects(upstream) == ["Begin the ledger", "Trained 2", "Trained 1", "Trained 3"]
    assert verified(here.path) == subjects(upstream)


def test_append__no_remote_keeps_it_in_a_branch_of_the_clone(repository: GitRepository) -> None:
    repository.commit({"code.py": ""})
    ledger(repository.path).append([draft(1)])
    ledger(repository.path).append([draft(2)])
    assert subjects(repository.path) == ["Begin the ledger", "Trained 1", "Trained 2"]
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("branch", "--show-current") == "main"


def test_append__a_remote_that_is_added_later_gets_it_all(repository: GitRepository, tmp_path: Path) -> None:
    repository.commit({"code.py": ""})
    ledger(repository.path).append([draft(1)])
    up = tmp_path / "later.git"
    Git(up).run("init", "--quiet", "--bare", str(up))
    repository.git("remote", "add", "origin", str(up))
    receipt = ledger(repository.path).append([draft(2)])
    assert receipt.why_not == ""
    assert subjects(up) == ["Begin the ledger", "Trained 1", "Trained 2"]


def test_append__shallow_clone_and_detached_head(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    here.commit({"code.py": "2"})
    here.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    ledger(here.path).append([draft(1)])
    shallow = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", "--branch=main", upstream.as_uri(), str(shallow)], check=True
    )
    subprocess.run(["git", "checkout", "--quiet", "--detach"], cwd=shallow, check=True)
    assert ledger(shallow).append([draft(2)]).why_not == ""
    assert verified(shallow) == ["Begin the ledger", "Trained 1", "Trained 2"]


def test_append__in_a_work_tree_and_below_its_root(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    here.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    (tmp_path / "tree" / "below").mkdir()
    ledger(tmp_path / "tree" / "below").append([draft(1)])
    ledger(here.path).append([draft(2)])
    assert subjects(upstream) == ["Begin the ledger", "Trained 1", "Trained 2"]


def test_append__no_right_to_push(here: GitRepository, upstream: Path) -> None:
    hook = upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'GH013: Repository rule violations found'; exit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    receipt = ledger(here.path).append([draft(1)])
    assert "refused the push" in receipt.why_not
    assert "GH013: Repository rule violations found" in receipt.why_not
    assert receipt.waiting == 2
    hook.unlink()
    assert ledger(here.path).deliver().waiting == 0
    assert subjects(upstream) == ["Begin the ledger", "Trained 1"]


def test_append__a_decision_does_not_wait(here: GitRepository, upstream: Path) -> None:
    """What cannot be delivered now was never written; what waits for other reasons is as it was."""
    hook = upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    receipt = ledger(here.path).append([draft(1)], waits=False)
    assert (receipt.entries, receipt.head, receipt.waiting, receipt.delivered) == ((), "", 1, ())
    assert "refused the push" in receipt.why_not
    assert ledger(here.path).append([draft(2)]).waiting == 2, "the ledger's first entry, and this one"
    assert ledger(here.path).append([draft(3)], waits=False).waiting == 3
    hook.unlink()
    assert ledger(here.path).deliver().waiting == 0
    assert subjects(upstream) == ["Begin the ledger", "Trained 2"]


def test_append__a_decision_after_what_waited(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    away = upstream.rename(tmp_path / "away.git")
    ledger(here.path).append([draft(1)])
    assert "could not be reached" in ledger(here.path).append([draft(2)], waits=False).why_not
    away.rename(upstream)
    receipt = ledger(here.path).append([draft(3)], waits=False)
    assert ([each.summary for each in receipt.entries], receipt.why_not) == (["Trained 3"], "")
    assert receipt.head.startswith("2:")
    again = ledger(here.path).append([draft(3)], waits=False)
    assert (again.entries, again.head, again.waiting) == ((), receipt.head, 0), "it is on record already"
    assert verified(here.path) == ["Begin the ledger", "Trained 1", "Trained 3"] == subjects(upstream)


def test_append__a_decision_takes_its_place_after_a_faster_writer(
    here: GitRepository, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = clone(upstream, tmp_path / "other")
    found, real, faster = ledger(here.path), Git.run, [draft(2), draft(3)]

    def run(self: Git, *arguments: str, **options: bytes) -> bytes:
        if arguments[0] == "push" and self.folder == found.git.folder and faster:
            ledger(other.path).append([faster.pop()])
        return real(self, *arguments, **options)

    monkeypatch.setattr(Git, "run", run)
    receipt = found.append([draft(1)], waits=False)
    assert [each.summary for each in receipt.entries] == ["Trained 1"]
    assert verified(here.path) == ["Begin the ledger", "Trained 3", "Trained 2", "Trained 1"] == subjects(upstream)


@pytest.mark.parametrize("how", ["cut", "rewritten", "deleted"])
def test_append__a_branch_that_somebody_forced(here: GitRepository, upstream: Path, tmp_path: Path, how: str) -> None:
    found = ledger(here.path)
    found.append([draft(1), draft(2)])
    git, branch = Git(upstream), f"refs/heads/{place.BRANCH}"
    old = git.commit_of(branch)
    if how == "cut":
        git.run("update-ref", branch, f"{old}~1")
    elif how == "deleted":
        git.run("update-ref", "-d", branch)
    else:
        git.run("update-ref", "-d", branch)
        ledger(clone(upstream, tmp_path / "forger").path).append([draft(1), draft(9)])
    with pytest.raises(ConflictError, match=r"was rewritten: entry 2 \(commit") as failure:
        found.append([draft(3)])
    # The repair is spelled out, and works as it stands; what happened meanwhile was kept.
    repair = failure.value.fix.split("`")[1]
    subprocess.run(["bash", "-c", repair], check=True, capture_output=True)
    assert git.commit_of(branch) == old
    assert found.deliver().why_not == ""
    assert subjects(upstream) == ["Begin the ledger", "Trained 1", "Trained 2", "Trained 3"]


def test_append__a_branch_that_is_no_ledger(here: GitRepository, upstream: Path) -> None:
    here.git("push", "--quiet", "origin", f"HEAD:refs/heads/{place.BRANCH}")
    with pytest.raises(ConflictError, match="is no entry"):
        ledger(here.path).append([draft(1)])


def test_append__one_megabyte(here: GitRepository, upstream: Path) -> None:
    receipt = ledger(here.path).append([draft(1, {"report.json": b"x" * 2**20}, reasons=("y" * 2**20,))])
    assert receipt.why_not == ""
    assert verified(here.path) == ["Begin the ledger", "Trained 1"]


def test_append__over_http_with_a_token(here: GitRepository, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = upstream.rename(upstream.with_name("models"))
    monkeypatch.chdir(here.path)
    with served(named.parent, token=TOKEN) as address:
        run = Run(repository="models", server_url=address)
        # The clone's own header must not be sent beside ours.
        here.git("config", f"http.{address}/.extraheader", "AUTHORIZATION: basic bm9ib2R5OndvcnNl")
        receipt = ledger(here.path, run=run, token=Secret(TOKEN)).append([draft(1)])
        assert receipt.why_not == ""
        assert subjects(named) == ["Begin the ledger", "Trained 1"]


def test_append__over_http_without_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Git(tmp_path / "models").run("init", "--quiet", "--bare", str(tmp_path / "models"))
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    (tmp_path / "empty").mkdir()
    with served(tmp_path, token=TOKEN) as address:
        run = Run(repository="models", server_url=address)
        receipt = ledger(tmp_path / "empty", run=run, token=Secret(TOKEN)).append([draft(1)])
        assert receipt.why_not == ""
        assert subjects(tmp_path / "models") == ["Begin the ledger", "Trained 1"]


def test_append__over_http_with_a_wrong_token(here: GitRepository, upstream: Path) -> None:
    named = upstream.rename(upstream.with_name("models"))
    with served(named.parent, token=TOKEN) as address:
        receipt = ledger(here.path, run=Run(repository="models", server_url=address), token=Secret("wrong")).append(
            [draft(1)]
        )
    assert "refused the push" in receipt.why_not
    assert receipt.waiting == 2


def test_append__the_token_is_on_no_command_line_and_in_no_file(
    here: GitRepository, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\necho \"$@\" >> '{tmp_path}/argv'\nexec '{real}' \"$@\"\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    named = upstream.rename(upstream.with_name("models"))
    with served(named.parent, token=TOKEN) as address:
        found = ledger(here.path, run=Run(repository="models", server_url=address), token=Secret(TOKEN))
        assert found.append([draft(1)]).why_not == ""
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    said = (tmp_path / "argv").read_text() + repr(found.place) + repr(found.git)
    assert "push" in said and TOKEN not in said and basic not in said
    for file in found.place.store.rglob("*"):
        assert not file.is_file() or basic.encode() not in file.read_bytes()


def test_append__nobody_answers(here: GitRepository) -> None:
    receipt = ledger(here.path, remote="http://user:secret@127.0.0.1:9/models").append([draft(1)])
    assert "could not be reached" in receipt.why_not
    assert receipt.waiting == 2
    assert ledger(here.path, remote="http://user:secret@127.0.0.1:9/models").place.shown == "http://127.0.0.1:9/models"


def test_commits__a_part_is_not_the_whole(
    here: GitRepository, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FIRST_LOOK", 1)
    for number in range(3):
        ledger(here.path).append([draft(number)])
    other = ledger(clone(upstream, tmp_path / "other").path)
    other.append([draft(4)])
    upstream.rename(upstream.with_name("away"))
    with pytest.raises(RemoteError, match="cannot be read as a whole"):
        other.commits()


def test_find__nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no repository for the ledger"):
        place.find(Run(), folder=tmp_path)


def test_find__git_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="git is not installed"):
        place.find(Run(), folder=tmp_path)


def test_subject__one_line_of_at_most_a_hundred_signs() -> None:
    said = draft(1, summary="a\n\nb\u202e\x1b[31m" + "c" * 200)[0]
    line = subject(said)
    assert line.startswith("a b [31mccc") and len(line) == 100 and line.isprintable()


def test_head__of_an_empty_ledger_and_of_one(here: GitRepository) -> None:
    assert ledger(here.path).head() == ""
    assert ledger(here.path).commits() == []
    receipt = ledger(here.path).append([draft(1)])
    assert ledger(here.path).head() == receipt.head == receipt.entries[-1].head
    # What others cannot see is nothing to remember.
    upstream = Path(here.git("remote", "get-url", "origin"))
    upstream.rename(upstream.with_name("away"))
    offline = ledger(here.path).append([draft(2)])
    assert (offline.head, ledger(here.path).head()) == (receipt.head, receipt.head)
    assert offline.entries[-1].head != receipt.head


def test_append__a_clone_that_once_looked_at_the_branch(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    for number in range(3):
        ledger(here.path).append([draft(number)])
    other = clone(upstream, tmp_path / "other")
    other.git("branch", place.BRANCH, f"origin/{place.BRANCH}")
    for number in range(3, 6):
        ledger(here.path).append([draft(number)])
    assert ledger(other.path).append([draft(99)]).why_not == ""
    assert subjects(upstream) == ["Begin the ledger", *(f"Trained {n}" for n in (*range(6), 99))]


def test_append__killed_after_the_push_and_others_went_on(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    found = ledger(here.path)
    found.append([draft(1), draft(2), draft(3)])
    # As a kill between the push and the note of it leaves the store.
    found.git.run("update-ref", "-d", store.SEEN)
    found.git.run("update-ref", "-d", store.INCOMING)
    ledger(clone(upstream, tmp_path / "other").path).append([draft(4)])
    assert found.append([draft(3), draft(5)]).why_not == ""
    assert subjects(upstream) == ["Begin the ledger", *(f"Trained {n}" for n in range(1, 6))]


def test_append__a_password_in_the_address(here: GitRepository, upstream: Path, tmp_path: Path) -> None:
    named = upstream.rename(upstream.with_name("models"))
    with served(named.parent, token=TOKEN) as address:
        remote = address.replace("://", f"://x-access-token:{TOKEN}@") + "/models"
        found = ledger(here.path, remote=remote)
        assert TOKEN not in found.place.upstream
        assert found.append([draft(1)]).why_not == ""
    assert found.place.store == ledger(here.path, remote=f"{address}/models.git").place.store


def test_find__settings_without_a_value_are_true(here: GitRepository) -> None:
    with (here.path / ".git" / "config").open("a") as file:
        file.write("[http]\n\tsslVerify\n")
    assert ("http.sslverify", "true") in ledger(here.path).place.settings


def test_entries_that_wait_for_a_former_address_are_told_and_can_be_delivered(tmp_path: Path) -> None:
    here = clone(tmp_path / "up.git", tmp_path / "clone")
    old = f"file://{tmp_path}/old.git"  # reached no more
    ledger(here.path, remote=old).append([draft(1)])
    now = ledger(here.path)
    assert now.append([draft(2)]).waiting == 0
    (told,) = now.elsewhere()
    assert told.startswith("2 entries wait in") and old in told
    here.git("config", f"url.file://{tmp_path}/up.git.insteadOf", old)
    assert ledger(here.path, remote=old).deliver().waiting == 0
    assert subjects(tmp_path / "up.git") == ["Begin the ledger", "Trained 2", "Trained 1"]
    assert now.elsewhere() == []
