"""The evidence pack: complete, the same bytes every time, checked against its schema, and safe to open."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import cmarkgfm
import pytest
import rfc8785
from hypothesis import given, strategies

from audit_kit import COMMITS, DIGESTS, MODEL, POLICY, Story, dataset, day, provenance, registered, whole
from slipway.audit import bom, drawing
from slipway.audit.facts import facts
from slipway.audit.measured import measured
from slipway.audit.pack import write_pack
from slipway.audit.record import ANNEX_IV, NO_STATEMENT
from slipway.audit.trail import Trail
from slipway.datasets import DatasetVersion
from slipway.ledger.entries import digest
from slipway.report import Check, Column, Report, Subject, Table, Verdict
from slipway.report import drawing as plots
from slipway.report.model import Value
from slipway.runner.errors import InputError
from slipway.training.provenance import Environment

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "<script>alert(1)</script> | a\nb @team #1 \u202egpj.exe `x` ![i](https://evil.invalid/x.png) =1+1 {{ 7 * 7 }}"
)
ALONE = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    return whole(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def pack(trail: Trail, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "pack"
    write_pack(folder, trail, MODEL, "2", registered("2"))
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack in which everything that somebody else may write is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    story = Story(folder, model=HOSTILE)
    address = 'https://evil.invalid/%zz [x](y) "><script>'
    run = story.run("2", title=HOSTILE, body=HOSTILE, url=address, actor="@team", ref=HOSTILE)
    data = {HOSTILE: next(iter(provenance(HOSTILE, "2").datasets.values()))}
    story.train("2", day(0), run, parameters={HOSTILE: HOSTILE}, command=[HOSTILE], datasets=data, remarks=(HOSTILE,))
    numbers: dict[str, Value] = {
        "value": 0.1,
        "low": 0.0,
        "high": 0.2,
        "limit": -0.1,
        "candidate": 0.9,
        "production": 0.8,
    }
    story.evaluate(
        "2",
        "1",
        day(1),
        run,
        headline=HOSTILE,
        reasons=(HOSTILE,),
        checks=(Check(name=HOSTILE, verdict=Verdict.FAIL, detail=HOSTILE, values=numbers),),
        tables=(Table(title=HOSTILE, columns=(Column(name=HOSTILE), Column(name="b")), rows=((HOSTILE, HOSTILE),)),),
    )
    details = {"environment": HOSTILE, "approver": HOSTILE}
    story.event("approval", "2", day(2), run, summary=HOSTILE, details=details, reasons=(HOSTILE,))
    write_pack(folder / "pack", story.read(), HOSTILE, "2", registered("2", HOSTILE))
    return folder / "pack"


class Page(html.parser.HTMLParser):
    """The elements and the text of a page; raises where elements are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ALONE:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


def test_write_pack__has_everything_and_its_digests(pack: Path) -> None:
    assert set(contents(pack)) == {
        *("model-card.md", "model-card.html", "metrics.svg", "timeline.svg", "ml-bom.cdx.json"),
        *("technical-record.md", "approvals.csv", "entries.json", "SHA256SUMS"),
        *(f"evidence/entry-{number}/report.json" for number in (4, 5, 6, 7)),
        "evidence/entry-5/provenance.json",
        "evidence/entry-5/provenance.intoto.json",
    }
    # As `sha256sum --check` reads it.
    sums = [line.split("  ", 1) for line in (pack / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in sums} == set(contents(pack)) - {"SHA256SUMS"}
    assert all(said == hashlib.sha256((pack / name).read_bytes()).hexdigest() for said, name in sums)


def test_write_pack__says_what_it_wrote(trail: Trail, tmp_path: Path) -> None:
    written = write_pack(tmp_path / "new" / "pack", trail, MODEL, "1", None)
    assert {file.relative_to(tmp_path / "new" / "pack").as_posix() for file in written} == set(
        contents(tmp_path / "new" / "pack")
    )
    assert written[-1].name == "SHA256SUMS"


def test_write_pack__the_same_ledger_makes_the_same_bytes(trail: Trail, pack: Path, tmp_path: Path) -> None:
    again = Trail(tuple(trail.records), trail.git)
    write_pack(tmp_path / "again", again, MODEL, "2", registered("2"))
    assert contents(tmp_path / "again") == contents(pack)


def test_write_pack__the_evidence_is_that_of_the_entries(trail: Trail, pack: Path) -> None:
    for record in trail.records[4:10]:
        for each in record.entry.evidence:
            raw = (pack / "evidence" / f"entry-{record.entry.sequence}" / each.name).read_bytes()
            assert digest(raw) == each.digest
    said = json.loads((pack / "entries.json").read_text())
    # What replaced version 2 and brought it back belongs to its story.
    assert [each["entry"]["sequence"] for each in said["entries"]] == [4, 5, 6, 7, 8, 9, 11, 12]
    assert said["head"] == trail.head
    assert all(each["digest"] == digest(rfc8785.dumps(each["entry"])) for each in said["entries"])


def test_write_pack__never_mixes_with_other_files(trail: Trail, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old.txt").write_text("")
    for place in (tmp_path / "full", tmp_path / "full" / "old.txt"):
        with pytest.raises(InputError, match="not an empty folder"):
            write_pack(place, trail, MODEL, "2", None)
    assert set(contents(tmp_path / "full")) == {"old.txt"}
    (tmp_path / "empty").mkdir()
    assert write_pack(tmp_path / "empty", trail, MODEL, "2", None)


def test_write_pack__of_a_version_that_nobody_knows_writes_nothing(trail: Trail, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing of version 9"):
        write_pack(tmp_path / "pack", trail, MODEL, "9", None)
    assert not (tmp_path / "pack").exists()


def test_write_pack__names_no_place_on_a_machine_and_no_present_time(trail: Trail, pack: Path) -> None:
    whole = b"\n".join(contents(pack).values()).decode()
    assert "/srv/mlruns" not in whole
    times = set(re.findall(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", whole))
    known = {
        f"{when:%Y-%m-%d %H:%M:%S} UTC" for r in trail.records for when in (r.entry.recorded_at, r.entry.occurred_at)
    }
    assert times and times <= known


def test_bom__is_what_the_provenance_says(pack: Path, trail: Trail) -> None:
    text = (pack / "ml-bom.cdx.json").read_text()
    bom.validate(text)
    said = json.loads(text)
    model = said["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", MODEL, "2")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "2" * 64}]
    assert model["pedigree"] == {
        "ancestors": [{"type": "machine-learning-model", "name": "models:/flights-base/1"}],
        "commits": [{"uid": COMMITS["2"]}],
    }
    components = {each["bom-ref"]: each for each in said["components"]}
    train = components[f"data:train@dvc:md5:{'2' * 32}"]
    assert (train["type"], train["hashes"]) == ("data", [{"alg": "MD5", "content": "2" * 32}])
    assert components["data:holdout@dvc:md5:0123"]["hashes"] == []
    numpy = components["pkg:pypi/numpy@2.4.6"]
    assert (numpy["type"], numpy["purl"]) == ("library", "pkg:pypi/numpy@2.4.6")
    assert [each["content"] for each in numpy["hashes"]] == ["c" * 64, "d" * 64]
    # The lock writes this name with a bar, the environment with a hyphen: it is one package.
    assert components["pkg:pypi/scikit-learn@1.9.1"]["hashes"] == [{"alg": "SHA-256", "content": "e" * 64}]
    assert components["pkg:pypi/pip@26.0"]["hashes"] == []
    assert components["python@3.11.7"]["type"] == "platform"
    (needs,) = said["dependencies"]
    assert needs == {"ref": "model", "dependsOn": list(components)}
    assert [each["ref"] for each in model["modelCard"]["modelParameters"]["datasets"]] == list(components)[:2]
    assert {"name": "slipway:parameter:model.depth", "value": "3"} in model["modelCard"]["properties"]
    assert said["metadata"]["timestamp"] == f"{trail.records[-1].entry.recorded_at:%Y-%m-%dT%H:%M:%SZ}"


def test_bom__a_version_of_a_folder_is_no_digest_of_its_content(tmp_path: Path) -> None:
    """`?versions=sha256:…` is taken over names and versions: whoever hashes the data would find another value."""
    pin, content = f"sha256:{'5' * 64}", "6" * 64
    made = DatasetVersion(path="s3://flights/train/", kind="s3", id=pin, immutable=True, sha256=content)
    story = Story(tmp_path)
    story.validate("2", day(0), subjects=(Subject(role="data", name="holdout", id=f"s3:{pin}"),))
    story.train("2", day(0), datasets={"train": made})
    write_pack(tmp_path / "pack", story.read(), MODEL, "2", None)
    said = json.loads((tmp_path / "pack" / "ml-bom.cdx.json").read_text())
    found = {each["name"]: each["hashes"] for each in said["components"] if each["type"] == "data"}
    assert found == {"train": [{"alg": "SHA-256", "content": content}], "holdout": []}


def test_bom__metrics_have_the_intervals_of_the_report(pack: Path, trail: Trail) -> None:
    card = json.loads((pack / "ml-bom.cdx.json").read_text())["metadata"]["component"]["modelCard"]
    metrics = {each["type"]: each for each in card["quantitativeAnalysis"]["performanceMetrics"]}
    report = trail.report(trail.records[6])
    assert report is not None
    values = {check.name: check.values for check in report.checks}["roc_auc: not worse by 0.01"]
    difference = metrics["roc_auc, candidate minus production"]
    assert float(difference["value"]) == values["value"]
    assert {name: float(said) for name, said in difference["confidenceInterval"].items()} == {
        "lowerBound": values["low"],
        "upperBound": values["high"],
    }
    assert float(metrics["roc_auc"]["value"]) == values["candidate"]
    assert set(metrics) == {
        *(
            name
            for metric in ("roc_auc", "log_loss", "accuracy")
            for name in (metric, f"{metric}, candidate minus production")
        ),
    }
    # log_loss has an absolute gate, so its own value has an interval, too.
    assert "confidenceInterval" in metrics["log_loss"] and "confidenceInterval" not in metrics["roc_auc"]


def test_bom__a_broken_one_is_noticed(pack: Path) -> None:
    said = json.loads((pack / "ml-bom.cdx.json").read_text())
    said["metadata"]["component"]["modelCard"]["invented"] = 1
    with pytest.raises(ValueError, match="breaks the schema of CycloneDX"):
        bom.validate(json.dumps(said))


def test_measured__numbers_and_directions(trail: Trail) -> None:
    report = trail.report(trail.records[6])
    assert report is not None
    found = {(each.metric, each.gate): each for each in measured(report)}
    assert list(found) == [
        ("roc_auc", "not worse by 0.01"),
        ("log_loss", "not worse by 0.02"),
        ("log_loss", "at most 0.7"),
        ("accuracy", ""),
    ]
    more, less = found["roc_auc", "not worse by 0.01"], found["log_loss", "not worse by 0.02"]
    assert (more.relative, more.limit, more.above, more.level) == (True, -0.01, True, "95 %")
    assert (less.relative, less.limit, less.above) == (True, 0.02, False)
    own = found["log_loss", "at most 0.7"]
    assert (own.relative, own.above, own.value) == (False, False, own.candidate)
    plain = found["accuracy", ""]
    assert plain.relative and plain.limit is None and plain.low < plain.value < plain.high
    assert plain.candidate is not None and plain.production is not None
    assert plain.value == pytest.approx(plain.candidate - plain.production, abs=2e-4)


@pytest.mark.parametrize(
    ("gate", "limit", "above"),
    [("not worse by 1", -1.0, True), ("not worse by 1", 1.0, False), ("better by 1", 1.0, True), ("better", 0.0, None)],
)
def test_measured__without_a_table_the_limit_tells_the_direction(gate: str, limit: float, above: bool | None) -> None:
    values: dict[str, Value] = {"value": 0.1, "low": 0.0, "high": 0.2, "limit": limit}
    check = Check(name=f"f1: {gate}", verdict=Verdict.PASS, values=values)
    (found,) = measured(Report(stage="evaluate-model", model="m", verdict=Verdict.PASS, checks=(check,)))
    assert found.above is above


@pytest.mark.parametrize(
    ("name", "limit", "metric", "relative", "above"),
    [
        ("noise: roc_auc: worse by at most 0.02", -0.02, "noise: roc_auc", True, True),
        ("p95_ms: at most 50", 50.0, "p95_ms", False, False),
        ("p95_ms: at most 1.2 × production", 1.2, "p95_ms × production", False, False),
    ],
)
def test_measured__robustness_and_latency(name: str, limit: float, metric: str, relative: bool, above: bool) -> None:
    values: dict[str, Value] = {"value": 0.1, "low": 0.0, "high": 0.2, "limit": limit}
    check = Check(name=name, verdict=Verdict.PASS, values=values)
    (found,) = measured(Report(stage="evaluate-model", model="m", verdict=Verdict.PASS, checks=(check,)))
    assert (found.metric, found.relative, found.above) == (metric, relative, above)


def test_model_card__html_stands_alone(pack: Path) -> None:
    text = (pack / "model-card.html").read_text()
    page = Page(text)
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    # Two plots, and one of each interval in the tables.
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 2 + 4
    links = [said["href"] or "" for tag, said in page.elements if tag == "a"]
    anchors = {said["id"] for _, said in page.elements if said.get("id")}
    assert {link.removeprefix("#") for link in links} <= anchors
    assert {f"#entry-{number}" for number in (4, 5, 6, 7, 8, 9)} <= set(links)
    assert not re.search(r"url\(|@import|src=", text)
    assert (pack / "metrics.svg").read_text() in text and (pack / "timeline.svg").read_text() in text


@pytest.mark.parametrize("file", ["model-card.html", "model-card.md", "technical-record.md"])
def test_model_card__says_every_fact(pack: Path, trail: Trail, file: str) -> None:
    text = (pack / file).read_text()
    shown = "".join(Page(text if file.endswith("html") else cmarkgfm.github_flavored_markdown_to_html(text)).text)
    shown = " ".join(shown.split()).replace("\u200b", "")
    assert NO_STATEMENT in shown and "As of entry 12 of the ledger" in shown
    left_out = ("Comment",) if file.startswith("technical") else ("Records",) if file.endswith("html") else ()
    for each in facts(trail, MODEL, "2", registered("2")):
        if each.section not in left_out and each.claim not in ("note on Candidate against production",):
            assert " ".join(each.text.split()).lower() in shown.lower(), each
    for value in (COMMITS["2"], DIGESTS["2"], POLICY["policy_digest"], "Wider trees", "mona"):
        assert value in shown


def test_technical_record__has_the_nine_numbers_of_the_annex(pack: Path) -> None:
    text = (pack / "technical-record.md").read_text()
    heads = re.findall(r"^## (\d)\. ", text, re.MULTILINE)
    assert heads == [str(number) for number in range(1, 10)]
    points = re.findall(r"^### (\d\([a-h]\))", text, re.MULTILINE)
    assert points == [f"1({each})" for each in "abcdefgh"] + [f"2({each})" for each in "abcdefgh"]
    assert "The intended purpose: **Not known.**" in text
    # A point without a statement would read as if nothing were asked for.
    for part in re.split(r"^##.*$", text, flags=re.MULTILINE)[1:]:
        assert part.strip() == "" or part.strip().startswith("- ")
    assert [chapter.number for chapter in ANNEX_IV] == list(range(1, 10))


def test_approvals__who_allowed_it(pack: Path) -> None:
    (row,) = csv.DictReader(io.StringIO((pack / "approvals.csv").read_text(), newline=""))
    assert (row["entry"], row["event"], row["environment"], row["verdict"]) == ("8", "approval", "production", "pass")
    assert row["approver"] == "ada"
    assert json.loads(row["details"]) == {
        "environment": "production",
        "approver": "ada",
        "approver_id": 42,
        "self_approval": False,
    }


def test_hostile__html_shows_it_as_text(hostile: Path) -> None:
    text = (hostile / "model-card.html").read_text()
    page = Page(text)
    assert not {tag for tag, _ in page.elements} & {"script", "img", "iframe", "i"}
    assert not [name for _, said in page.elements for name in said if name.startswith("on")]
    assert "<script>alert(1)</script>" in "".join(page.text)
    assert "{{ 7 * 7 }}" in "".join(page.text)
    assert "\u202e" not in text


@pytest.mark.parametrize("file", ["model-card.md", "technical-record.md"])
def test_hostile__markdown_shows_it_as_text(hostile: Path, file: str) -> None:
    text = (hostile / file).read_text()
    page = Page(cmarkgfm.github_flavored_markdown_to_html(text))
    assert not {tag for tag, _ in page.elements} & {"script", "a"}
    pictures = [said["src"] for tag, said in page.elements if tag == "img"]
    assert set(pictures) <= {"metrics.svg", "timeline.svg"}
    assert "@team" not in text and "\u202e" not in text
    assert "<script>alert(1)</script>" in "".join(page.text).replace("\u200b", "")


def test_hostile__every_row_of_a_table_keeps_its_cells(hostile: Path) -> None:
    page = Page(cmarkgfm.github_flavored_markdown_to_html((hostile / "model-card.md").read_text()))
    cells: list[int] = []
    for tag, _ in page.elements:
        if tag == "tr":
            cells.append(0)
        elif tag in ("td", "th"):
            cells[-1] += 1
    assert set(cells) == {3, 2}


def test_hostile__pictures_and_tables_are_well_formed(hostile: Path) -> None:
    for name in ("metrics.svg", "timeline.svg"):
        root = ET.fromstring((hostile / name).read_text())
        assert not list(root.iter(f"{SVG}script"))
    bom.validate((hostile / "ml-bom.cdx.json").read_text())
    (row,) = csv.DictReader(io.StringIO((hostile / "approvals.csv").read_text(), newline=""))
    assert row["actor"] == "'@team" and row["environment"] == HOSTILE


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"clean": "false"}, "clean: "),
        ({"datasets": {"train": "data.csv"}}, "datasets.train: "),
        ({"datasets": ["train"]}, "datasets: "),
        ({"environment": {"packages": 5}}, "environment.packages: "),
        ({"parameters": {"depth": 3}}, "parameters.depth: "),
        ({"peak_memory": "much"}, "peak_memory: "),
    ],
)
def test_hostile__a_provenance_of_another_form_is_not_believed(
    tmp_path: Path, content: dict[str, object], problem: str
) -> None:
    story = Story(tmp_path)
    subjects = (Subject(role="candidate", name="2", id=DIGESTS["2"]),)
    raw = json.dumps({"commit": "c" * 40, **content}).encode()
    story.report("train-model", "2", day(0), subjects=subjects, files={"provenance.json": raw})
    trail = story.read()
    said = {(each.section, each.claim): each for each in facts(trail, MODEL, "2", None)}
    assert said["Training", "provenance"].value is None and problem in said["Training", "provenance"].evidence
    assert said["Code", "commit"].value is None
    write_pack(tmp_path / "pack", trail, MODEL, "2", None)
    # It is evidence all the same.
    assert (tmp_path / "pack" / "evidence" / "entry-1" / "provenance.json").read_bytes() == raw


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"{", "is no JSON: "),
        (b"\xff", "is no JSON: "),
        (b"[]", "is no object"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"parameters": {"x": ' + b"[" * 600 + b"]" * 600 + b"}}", "is nested too deeply"),
        (b'{"seed": ' + b"9" * 5_000 + b"}", "is no JSON: "),
    ],
    ids=["cut off", "bytes", "list", "deep", "less deep", "long number"],
)
def test_hostile__a_provenance_that_is_none_hides_nothing_else(tmp_path: Path, raw: bytes, problem: str) -> None:
    story = Story(tmp_path)
    subjects = (Subject(role="candidate", name="2", id=DIGESTS["2"]),)
    story.report("train-model", "2", day(0), subjects=subjects, files={"provenance.json": raw})
    trail = story.read()
    said = {(each.section, each.claim): each for each in facts(trail, MODEL, "2", None)}
    assert said["Training", "provenance"].value is None and problem in said["Training", "provenance"].evidence
    write_pack(tmp_path / "pack", trail, MODEL, "2", None)
    assert (tmp_path / "pack" / "evidence" / "entry-1" / "provenance.json").read_bytes() == raw


@pytest.mark.parametrize("interval", ["1.2.3 to 4", ". to 1", "1e999 to 2", "-1 to 1e999"])
@pytest.mark.parametrize("candidate", ["0.5", "inf", "nan", "1e999"])
def test_hostile__a_table_without_numbers_measures_nothing(tmp_path: Path, interval: str, candidate: str) -> None:
    columns = tuple(Column(name=name) for name in ("metric", "candidate", "95 % interval"))
    table = Table(title="", columns=columns, rows=(("f1", candidate, interval), ("f2", candidate, "0 to 1")))
    story = Story(tmp_path)
    story.evaluate("2", "", day(0), checks=(), tables=(table,))
    write_pack(tmp_path / "pack", story.read(), MODEL, "2", None)
    picture = tmp_path / "pack" / "metrics.svg"
    assert picture.exists() is (candidate == "0.5")
    assert not picture.exists() or not re.search("nan|inf|f1", picture.read_text())


@pytest.mark.parametrize(
    "values",
    [
        {"value": 0.0, "low": -1e308, "high": 1e308},
        {"value": 0.0, "low": 0.0, "high": 5e-324},
        {"value": 10**400, "low": 0.0, "high": 1.0},
        {"value": "inf", "low": 0.0, "high": 1.0},
        {"value": 0.0, "low": "nan", "high": 1.0},
    ],
)
def test_hostile__numbers_at_the_end_of_their_range_can_be_drawn(tmp_path: Path, values: dict[str, Value]) -> None:
    story = Story(tmp_path)
    check = Check(name="f1: at least 0.1", verdict=Verdict.PASS, values={**values, "limit": 0.1})
    story.evaluate("2", "", day(0), checks=(check,), tables=())
    write_pack(tmp_path / "pack", story.read(), MODEL, "2", None)
    picture = tmp_path / "pack" / "metrics.svg"
    assert not picture.exists() or not re.search(r'="(nan|-?inf)', picture.read_text())


def test_hostile__half_a_sign_is_shown_as_a_question_mark(tmp_path: Path) -> None:
    story = Story(tmp_path)
    subjects = (Subject(role="candidate", name="2", id=DIGESTS["2"]),)
    raw = json.dumps({"parameters": {"\ud800": "\ud800"}}).encode()
    story.report("train-model", "2", day(0), subjects=subjects, files={"provenance.json": raw})
    trail = story.read()
    assert ("?", "?") in {(each.claim, each.value) for each in facts(trail, MODEL, "2", None)}
    assert write_pack(tmp_path / "pack", trail, MODEL, "2", None)


def test_hostile__names_that_are_no_packages(tmp_path: Path) -> None:
    story = Story(tmp_path)
    names = ("==1", "a/b==1", "numpy==" + "1" * 2000, "numpy==1", "numpy==1", HOSTILE, "")
    datasets = {"a@b": dataset("1"), "a": dataset("1")}
    story.train("2", day(0), environment=Environment(python="3" * 2000, packages=names), datasets=datasets)
    write_pack(tmp_path / "pack", story.read(), MODEL, "2", None)
    said = json.loads((tmp_path / "pack" / "ml-bom.cdx.json").read_text())
    references = [each["bom-ref"] for each in said["components"]]
    assert len(set(references)) == len(references) == 2 + 6 + 1
    assert [each.get("purl") for each in said["components"]].count("pkg:pypi/numpy@1") == 1


def test_write_pack__without_an_evaluation(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.place("promotion", "2", day(0))
    write_pack(tmp_path / "pack", story.read(), MODEL, "2", None)
    assert not (tmp_path / "pack" / "metrics.svg").exists()
    assert "Not known: no entry records an evaluation" in (tmp_path / "pack" / "model-card.html").read_text()
    said = json.loads((tmp_path / "pack" / "ml-bom.cdx.json").read_text())
    assert said["components"] == [] and said["metadata"]["component"]["hashes"] == [
        {"alg": "SHA-256", "content": "2" * 64}
    ]


def test_intervals__bars_lie_where_their_numbers_are() -> None:
    bar = plots.Bar("f1", "not worse by 1", "pass", value=1.0, low=0.0, high=2.0, reference=0.0, limit=-1.0, above=True)
    root = ET.fromstring(plots.intervals([bar], "Title"))
    # The scale runs from -1.36 to 2.36 (12 % of 3 on both sides) over 250 to 590: value 1 lies at 465.7.
    (dot,) = root.iter(f"{SVG}circle")
    assert float(dot.attrib["cx"]) == pytest.approx(250 + 340 * 2.36 / 3.72)
    (shade,) = root.iter(f"{SVG}rect")
    assert float(shade.attrib["x"]) == 250 and float(shade.attrib["width"]) == pytest.approx(340 * 0.36 / 3.72)


@given(text=strategies.text())
def test_drawing__any_text_leaves_it_well_formed(text: str) -> None:
    bar = plots.Bar(text, text, text, value=1.0, low=1.0, high=1.0)
    for picture in (
        drawing.timeline([drawing.Event(day(0), text, text, text)], text),
        plots.intervals([bar], text),
        drawing.deliveries([drawing.Release(text, day(1), None, day(2))], day(0), day(3), text),
    ):
        assert ET.fromstring(picture).tag == f"{SVG}svg"


def test_timeline__the_looks_of_a_canary_are_one_line() -> None:
    looks = [drawing.Event(day(number), "look", "continue", "inconclusive") for number in range(40)]
    root = ET.fromstring(drawing.timeline([*looks, drawing.Event(day(41), "promotion", "x")], "Title"))
    texts = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    assert "look ×40: inconclusive" in texts and "+2 d" in texts
    assert len(list(root.iter(f"{SVG}circle"))) == 2
