"""What attest.yml gives to actions/attest: the statement that training wrote, and no other."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fetch_statement import MOST_SUBJECTS, Inputs, checksums, read, require_digest
from runner_double import machine_environ, parse_file_command
from slipway.policy.source import file_digest
from slipway.registry.mlflow import ModelVersion
from slipway.runner.errors import GateError, InputError
from slipway.training.statement import PREDICATE_TYPE
from test_training_statement import hold_to_the_protobufs
from test_training_toy import MODEL, QUIET, ROOT, SCRIPTS, Toy, make_toy

VERSION = ModelVersion(MODEL, "1", "run", "models:/m-1")


def as_the_action_reads(text: str) -> list[dict[str, Any]]:
    """Subjects of a list of checksums: https://github.com/actions/attest/blob/v4.2.2/src/subject.ts."""
    subjects = []
    for record in filter(None, text.replace("\r\n", "\n").split("\n")):
        digest, _, name = record.partition(" ")
        name = name[1:] if name[:1] in ("*", " ") else name
        assert len(digest) == 64
        subjects.append({"name": name, "digest": {"sha256": digest}})
    return subjects


def subject(name: str, number: int = 1) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": f"{number:064x}"}}


def test_checksums__say_what_the_statement_says() -> None:
    subjects = [subject("toy", 1), subject("toy/a b", 2), subject("toy/ü*.json", 3), subject("toy/ x", 4)]
    assert as_the_action_reads(checksums(subjects)) == subjects


@pytest.mark.parametrize(
    "files",
    [["toy/a\nb"], ["toy/a\rb"], [f"toy/{number}" for number in range(MOST_SUBJECTS)]],
    ids=["lf", "cr", "many"],
)
def test_checksums__name_the_whole_alone_where_its_files_do_not_fit(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    subjects = [subject("toy"), *map(subject, files)]
    assert as_the_action_reads(checksums(subjects)) == [subject("toy")]
    assert "names the model as a whole" in capsys.readouterr().err
    assert len(as_the_action_reads(checksums([subject("toy"), *map(subject, ["toy/a"] * (MOST_SUBJECTS - 1))]))) > 1


def test_require_digest__refuses_another_statement(tmp_path: Path) -> None:
    file = tmp_path / "provenance.intoto.json"
    file.write_text("{}")
    require_digest(file, file_digest(file), VERSION)
    for expected in ("", f"sha256:{'0' * 64}"):
        with pytest.raises(GateError, match="is not the one that training wrote"):
            require_digest(file, expected, VERSION)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not a provenance statement"),
        ("[]", "is not a provenance statement"),
        ("{}", "is not a provenance statement"),
        ('{"_type": "https://in-toto.io/Statement/v1", "predicateType": "x"}', "is a statement of another type"),
    ],
)
def test_read__refuses(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(InputError, match=said):
        read(tmp_path / "file")


def test_attest__runs_the_script_and_attests_what_it_gives() -> None:
    attest, unattested = yaml.safe_load((ROOT / ".github" / "workflows" / "attest.yml").read_text())["jobs"].values()
    steps = {step["id"]: step for step in attest["steps"] if "id" in step}
    given = {name.removeprefix("INPUT_").lower() for name in steps["statement"]["env"] if name.startswith("INPUT_")}
    assert given == {field.name for field in dataclasses.fields(Inputs)} - {"folder"}
    assert steps["attest"]["with"] == {
        "subject-checksums": "${{ steps.statement.outputs.subjects }}",
        "predicate-type": PREDICATE_TYPE,
        "predicate-path": "${{ steps.statement.outputs.predicate }}",
    }
    assert steps["attest"]["continue-on-error"] == "${{ !inputs.required }}"
    # Wherever the one job does not run, the other does.
    hosts = re.compile(r"github\.server_url (==|!=) 'https://github\.com' (\|\||&&) (!?)endsWith\(.*, '\.ghe\.com'\)")
    here, elsewhere = (hosts.search(job["if"]) for job in (attest, unattested))
    assert here and elsewhere
    assert (here.groups(), elsewhere.groups()) == (("==", "||", ""), ("!=", "&&", "!"))


@QUIET
def test_fetch__gives_what_training_wrote(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, environments_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")
    toy = make_toy(tmp_path, tmp_path_factory.getbasetemp(), environments_cache)
    done = toy.train()
    assert done.code == 0, done.log
    given = done.outputs["statement-digest"]
    assert toy.registry().by_version(MODEL, "1").tags["slipway.statement_digest"] == given

    code, found, log = fetch(toy, given)
    assert code == 0, log
    said = json.loads(Path(found["statement"]).read_text(encoding="utf-8"))
    hold_to_the_protobufs(said)
    assert f"sha256:{said['subject'][0]['digest']['sha256']}" == done.report["provenance"]["model_digest"]
    assert json.loads(Path(found["predicate"]).read_text(encoding="utf-8")) == said["predicate"]
    assert as_the_action_reads(Path(found["subjects"]).read_text(encoding="utf-8")) == said["subject"]

    (stored,) = toy.folder.glob("mlruns/**/slipway/provenance.intoto.json")
    stored.write_text(stored.read_text().replace(said["predicate"]["buildDefinition"]["buildType"], "x"))
    code, found, log = fetch(toy, given)
    assert (code, found) == (1, {})
    assert "is not the one that training wrote" in log
    stored.unlink()
    code, found, log = fetch(toy, given)
    assert (code, found) == (1, {})
    assert "has no provenance statement" in log


def fetch(toy: Toy, digest: str) -> tuple[int, dict[str, str], str]:
    """Run the script as attest.yml does."""
    output = toy.temp / "output"
    output.write_text("")
    inputs = {"MODEL": MODEL, "MODEL_VERSION": "1", "STATEMENT_DIGEST": digest, "TRACKING_URI": toy.uri}
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "fetch_statement.py")],
        cwd=toy.temp,
        env={
            **machine_environ(),
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(toy.temp),
            **{f"INPUT_{name}": value for name, value in inputs.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, parse_file_command(output.read_text()), done.stdout + done.stderr
