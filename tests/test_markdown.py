"""Markdown and the comment, rendered by GitHub's own parser: text stays text, the comment fits and says the truth."""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from slipway.report import Check, Column, Report, Subject, Table, Verdict, changes, comment, markdown
from slipway.report.markdown import code, details, escape, link, table

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
TEXT, NUMBER, CODE, VERDICT = (Column(name=kind, kind=kind) for kind in ("text", "number", "code", "verdict"))
DIRECTION = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f", "\u061c"}

HOSTILE = [
    "a|b",
    "a\\|b|",
    "`code`",
    "``` fence",
    "~~~ fence",
    "\\`|",
    "a\\",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</details></td></table>",
    "</summary><h1>x",
    "<!-- slipway:report model=0 run=9.9 -->",
    "--> <!--",
    "--!>",
    "@octo/team @mona me@example.com",
    "(@mona)",
    "#123 GH-1 octo/models#4 gh-22",
    "https://evil.invalid http://evil.invalid ftp://evil.invalid",
    "www.evil.invalid _www.evil.invalid *WWW.evil.invalid (www.evil.invalid",
    "HTTPS://evil.invalid",
    "[text](https://evil.invalid) ![image](https://evil.invalid/x.png)",
    "[ref]: https://evil.invalid",
    "[^1] [ ] [x] task",
    "*bold* __bold__ ~~gone~~ _x_",
    "# heading",
    "1. list",
    "1) list",
    "12345. list",
    "- list",
    "+ list",
    "> quote",
    "---",
    "===",
    "| a | b |",
    "|---|---|",
    ":--",
    "$x^2$ $`x`$",
    ":white_check_mark: :100: 12:30:40 :+1:",
    "&lt;b&gt; &amp; &#35;1 &nbsp;",
    "\u202eevil\u202c \u2066x\u2069 \u200fz",
    "a\x00b\x07c\x1b[31m",
    "first\nsecond\r\nthird\u2028fourth\x0bfifth\x85sixth",
    "    indented code",
    "trailing  ",
    "✅ pass",
    "naïve 🚢 日本語 👩\u200d🔬",
    "x" * 5000,
    "mailto:me@example.com xmpp:me@example.com",
    "**may replace production** ✅ pass",
    "",
    " ",
    "`",
    "` `",
    "Ⓐ＠mona",
]
ANY = st.one_of(
    st.text(max_size=40),
    st.sampled_from(HOSTILE),
    st.lists(
        st.sampled_from([*"|`\\*_[]()<>#@!~$^=:-+&.1 \n\tawx", "www.", "http://", "GH-", "<!--", "-->", "\u200b", "é"]),
        max_size=20,
    ).map("".join),
)


@dataclass
class Page(HTMLParser):
    """Tags and texts of rendered Markdown; the text in `code` is kept apart, since GitHub's filters leave it alone."""

    tags: list[str] = field(default_factory=list)
    text: str = ""
    cells: list[str] = field(default_factory=list)
    outside_code: str = ""
    comments: int = 0
    inside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(" ".join([tag, *(f"{name}={value}" for name, value in attrs)]))
        if tag not in ("br", "hr", "img", "input"):
            self.inside.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.inside, f"</{tag}> closes nothing"
        assert self.inside.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data
        if "td" in self.inside or "th" in self.inside:
            self.cells[-1] += data
        if "code" not in self.inside:
            self.outside_code += data

    def handle_comment(self, _data: str) -> None:
        self.comments += 1


def page(source: str, options: int = Options.CMARK_OPT_UNSAFE) -> Page:
    """`source` as GitHub renders it before it sanitises: raw HTML is let through, so that it would be seen."""
    read = Page()
    read.feed(cmarkgfm.github_flavored_markdown_to_html(source, options))
    read.close()
    assert read.inside == []
    return read


def bare(text: str) -> str:
    """Text without white space, and without what shows nothing and may be left out or put in."""
    return "".join(
        sign
        for sign in text
        if not sign.isspace()
        and sign != "\u200b"
        and sign not in DIRECTION
        and unicodedata.category(sign) not in ("Cc", "Cs")
    )


def live(text: str) -> list[str]:
    """What GitHub's filters would turn into mentions, references, links or emoji in rendered text."""
    patterns = (
        r"(?<![\w/])@[a-z0-9][a-z0-9-]*",
        r"(?<!\w)[\w-]*/?[\w.-]*#\d+",
        r"\bGH-\d+",
        r"(?:https?|ftp)://\S+",
        r"\bwww\.\w+",
        r"\b[\w.]+@[a-z0-9][\w-]*\.\w+",
        r":(?:white_check_mark|100|\+1|x):",
    )
    return [found[0] for pattern in patterns for found in re.finditer(pattern, text, re.IGNORECASE)]


PLACES: dict[str, Callable[[str], str]] = {
    "paragraph": lambda text: f"before {escape(text)} after",
    "start of a paragraph": escape,
    "list": lambda text: markdown.bullets([text, "x"]),
    "strong": lambda text: f"- **{escape('s' + text + 's')}** x",
    "cell": lambda text: table([TEXT, TEXT], [[text, "x"], ["x", text]]),
    "number cell": lambda text: table([NUMBER], [[text], ["1"]]),
    "code cell": lambda text: table([CODE, TEXT], [[text, "x"]]),
    "verdict cell": lambda text: table([VERDICT, TEXT], [[text, "x"]]),
    "heading of a column": lambda text: table([Column(name=text), TEXT], [["x", "x"]]),
    "summary": lambda text: details(text, "body"),
    "inside of details": lambda text: details("t", escape(text) + "\n\n" + table([CODE], [[text]])),
    "code": lambda text: f"before {code(text)} after",
    "heading": lambda text: f"### {code('c' + text)}: {escape(text)}",
}


def structure(place: str, text: str) -> tuple[list[str], int]:
    read = page(PLACES[place](text))
    # In sentences backticks make code, which is as harmless as text.
    return [tag for tag in read.tags if tag != "code" or place != "list"], read.comments


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_text__stays_text_in_every_place(place: str, text: str) -> None:
    read = page(PLACES[place](text))
    if bare(text):
        assert structure(place, text) == structure(place, "benign")
    # Backticks around code of a sentence are not shown.
    hidden = "`" if place == "list" else ""
    whole = bare(page(PLACES[place]("QQQ")).text).replace("QQQ", bare(text))
    assert bare(read.text).replace(hidden, "") == whole.replace(hidden, "")
    assert live(read.outside_code) == []
    assert not DIRECTION & set(read.text)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_text__is_the_same_where_raw_html_is_left_out(place: str, text: str) -> None:
    # A renderer that drops raw HTML drops only our own `<details>`.
    dropped = page(PLACES[place](text), 0)
    assert "script" not in dropped.tags
    assert dropped.comments == (2 if "<details>" in PLACES[place](text) else 0)


@given(ANY)
@example("_www.evil.invalid")
@example("1. x")
@example("a\\|b")
@example(":x:")
def test_escape__shows_exactly_the_text_on_one_line(text: str) -> None:
    assert "\n" not in escape(text)
    read = page(escape(text))
    assert bare(read.text) == bare(text)
    assert read.tags == (["p"] if escape(text).replace("\u200b", "").strip() or "\u200b" in escape(text) else [])
    assert live(read.outside_code) == []


@given(ANY)
def test_escape__in_a_cell_shows_exactly_the_text(text: str) -> None:
    read = page(table([Column(name=text), TEXT], [[text, "x"], ["y", text]]))
    assert [bare(cell) for cell in read.cells] == [bare(text), "text", bare(text), "x", "y", bare(text)]
    assert {tag.split()[0] for tag in read.tags} == {"table", "thead", "tr", "th", "tbody", "td"}


@given(ANY)
@example("a|b")
@example("`a``b`")
def test_code__shows_exactly_the_text(text: str) -> None:
    read = page(f"x {code(text)} y")
    assert "\n" not in code(text)
    assert bare(read.text) == "x" + bare(text) + "y"
    assert read.tags == (["p", "code"] if code(text) else ["p"])
    assert "<!--" not in code(text)


@given(ANY)
@example("a\\|b|")
def test_code__in_a_cell_shows_exactly_the_text(text: str) -> None:
    read = page(table([CODE, TEXT], [[text, "x"]]))
    assert [bare(cell) for cell in read.cells] == ["code", "text", bare(text), "x"]
    assert {tag.split()[0] for tag in read.tags} <= {"table", "thead", "tr", "th", "tbody", "td", "code"}


@given(ANY)
def test_details__summary_is_plain_text(text: str) -> None:
    read = page(details(text, "body"))
    assert read.tags == ["details", "summary", "p"]
    assert bare(read.text) == bare(text) + "body"
    assert live(read.text) == []


def as_it_reads(text: str, *, strip: bool = True) -> str:
    """What `escape` does, without its shortcuts for plain text."""

    def one_line(text: str) -> str:
        text = re.sub(r"\s+", " ", text)
        return "".join(c for c in text if c not in DIRECTION and unicodedata.category(c) not in ("Cc", "Cs")).strip()

    def inert(text: str) -> str:
        text = re.sub(r"(@|#|\bGH-)(?=\w)", "\\1\u200b", text, flags=re.IGNORECASE)
        text = re.sub(r"(https?|ftp)(?=:)", "\\1\u200b", text, flags=re.IGNORECASE)
        text = re.sub(r"(www)(?=\.)", "\\1\u200b", text, flags=re.IGNORECASE)
        return re.sub(r":(?!\d\d?:)(?=[\w+-]+:)", ":\u200b", text)

    text = html.escape(inert(one_line(text) if strip else text), quote=False)
    text = re.sub(r"([\\`*_{}\[\]()#+!|~$^=:-])", r"\\\1", text)
    return re.sub(r"^(\d+)\.", r"\1\\.", text)


@given(ANY, st.booleans())
@example("²3. x", True)
@example("٣. x", True)
@example(" www. GH- http", False)
def test_escape__of_plain_text_takes_a_shorter_way_to_the_same(text: str, strip: bool) -> None:
    assert escape(text, strip=strip) == as_it_reads(text, strip=strip)


def test_escape__leaves_readable_text_readable() -> None:
    assert escape("roc auc 0.93, 5 % of rows; flights/train") == "roc auc 0.93, 5 % of rows; flights/train"
    assert "\u200b" not in escape("12:30:40 late")


def test_link__is_one_where_a_browser_should_open_it() -> None:
    read = page(link("full report", "https://ci.invalid/runs/1?a=b&c=d#x"))
    assert read.tags == ["p", "a href=https://ci.invalid/runs/1?a=b&c=d#x"]
    assert read.text.strip() == "full report"


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "", "//evil.invalid", "https:///x", "x"]
)
def test_link__is_text_otherwise(address: str) -> None:
    assert page(link("full report", address)).tags == ["p"]


@given(ANY)
def test_link__no_address_breaks_out_of_it(rest: str) -> None:
    assume("\x00" not in rest)
    read = page(link("full report", f"https://ci.invalid/{rest}"))
    assert [tag.split(" ")[0] for tag in read.tags] == ["p", "a"]
    assert read.text.strip() == "full report"


def test_table__numbers_stand_right_and_keep_their_digits() -> None:
    read = page(table([TEXT, NUMBER], [["a", 1234567], ["b", 0.1], ["c", None], ["d", "1e5"], ["007", "0.10"]]))
    assert read.tags[3:5] == ["th align=left", "th align=right"]
    assert read.cells == ["text", "number", "a", "1,234,567", "b", "0.1", "c", "", "d", "1e5", "007", "0.10"]


def test_table__verdicts_have_their_signs_and_only_they() -> None:
    cells = page(
        table([VERDICT], [[each] for each in ("pass", "fail", "inconclusive", "passed", "✅ pass", None)])
    ).cells
    assert cells[1:] == ["✅\u00a0pass", "❌\u00a0fail", "⚠️\u00a0inconclusive", "passed", "✅ pass", ""]


def test_table__without_rows_has_its_head() -> None:
    assert page(table([TEXT, NUMBER], [])).cells == ["text", "number"]


def report(stage: str = "evaluate-model", verdict: Verdict = PASS, **said: Any) -> Report:
    checks = (Check(name="c", verdict=verdict),) if stage == "evaluate-model" else ()
    return Report(**{"stage": stage, "model": "flights", "verdict": verdict, "checks": checks, **said})


STAMP = comment.stamp("flights", run_id=12, attempt=3, head_sha="a" * 40)


def body(*reports: Report, **said: Any) -> str:
    return comment.body("flights", reports, **{"stamp_line": STAMP, **said})


def test_stage_page__has_everything_of_the_report() -> None:
    shown = page(
        markdown.stage_page(
            report(
                headline="Candidate 4.",
                reasons=("one", "two"),
                provenance={"git_commit": "abc", "clean": True, "rows": 82609},
                tables=(
                    Table(title="Metrics", columns=(TEXT,), rows=(("roc",),), note="A note."),
                    Table(title="More", columns=(TEXT,), rows=(("detail",),), detail=True),
                    Table(title="Folded", columns=(TEXT,), rows=(("inside",),), folded=True),
                ),
            )
        )
    )
    for text in (
        "✅ evaluate-model: pass",
        "Candidate 4.",
        "one",
        "two",
        "Metrics",
        "roc",
        "A note.",
        "More",
        "detail",
    ):
        assert text in shown.text
    assert [tag for tag in shown.tags if tag == "details"] == ["details", "details"]
    assert shown.cells[-6:] == ["git commit", "abc", "clean", "true", "rows", "82,609"]


def test_stage_page__without_tables_shows_the_checks_that_did_not_pass() -> None:
    checks = (
        Check(name="good", verdict=PASS),
        Check(name="bad", verdict=FAIL, count=1234, detail="too large", examples=("row 1", "row 2")),
        Check(name="open", verdict=OPEN),
    )
    cells = page(markdown.stage_page(report("validate-data", FAIL, checks=checks))).cells
    assert cells[5:] == [
        *("bad", "❌\u00a0fail", "1,234", "too large", "row 1; row 2"),
        *("open", "⚠️\u00a0inconclusive", "", "", ""),
    ]


def rows_of(*texts: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((text, text, ("pass", "fail")[number % 2]) for number, text in enumerate(texts))


def paged(*tables: tuple[tuple[str, str, str], ...], folded: bool = False) -> Report:
    """A report with a table of each of these rows."""
    columns = (TEXT, CODE, VERDICT)
    made = (
        Table(title=f"Table {number}", columns=columns, rows=rows, folded=folded, note="A note.")
        for number, rows in enumerate(tables)
    )
    return report("detect-drift", FAIL, tables=tuple(made), reasons=("because",), provenance={"commit": "abc"})


CUT = "Cut here: a step summary holds 1 MiB. The report's JSON file has everything."


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("text", ["x1", "🚢", "|", "日本"])
def test_stage_page__that_just_fits_is_whole_and_else_loses_rows(text: str, folded: bool) -> None:
    said = paged(rows_of(*[text] * 300), rows_of("last"), folded=folded)
    whole = markdown.stage_page(said)
    size = len(whole.encode())
    assert markdown.stage_page(said, room=size) == whole
    assert markdown.stage_page(said, room=10 * size) == whole
    shortened = markdown.stage_page(said, room=size // 2)
    assert size // 2 - 100 <= len(shortened.encode()) <= size // 2
    read = page(shortened)
    (left_out,) = re.findall(r"and ([\d,]+) more", read.text)
    # Two cells a row; of the second table there may be none.
    assert 2 * (300 - int(left_out)) == read.cells.count(text)
    for kept in ("because", "Table 0", "A note.", "Provenance", CUT):
        assert kept in read.text
    assert read.cells[-2:] == ["commit", "abc"]
    assert [tag for tag in read.tags if tag == "details"] == ["details"] * shortened.count("</details>")


def test_stage_page__a_later_table_that_has_room_is_shown() -> None:
    said = paged(rows_of("a"), rows_of(*["x" * 50] * 500), rows_of("b"))
    read = page(markdown.stage_page(said, room=20_000))
    assert "Table 0" in read.text and "Table 1" in read.text and CUT in read.text
    assert "Table 2" not in read.text, "what was cut has taken all the room"
    wide = paged(rows_of("a"), rows_of("x" * 30_000), rows_of("b"))
    read = page(markdown.stage_page(wide, room=20_000))
    assert "Table 1" not in read.text, "not one of its rows fits"
    assert "Table 0" in read.text and "Table 2" in read.text and CUT in read.text


@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["x", "🚢", "|", "é|", "日"]), st.booleans()), max_size=4),
    st.integers(700, 6000),
)
def test_stage_page__takes_no_more_room_than_there_is(sizes: list[tuple[int, str, bool]], room: int) -> None:
    tables = tuple(
        Table(
            title="t",
            columns=(TEXT, CODE),
            rows=tuple((sign * (length % 9), sign) for length in range(rows)),
            folded=folded,
        )
        for rows, sign, folded in sizes
    )
    said = report("detect-drift", FAIL, tables=tables, provenance={"commit": "abc"})
    whole, shown = markdown.stage_page(said), markdown.stage_page(said, room=room)
    if len(whole.encode()) <= room:
        assert shown == whole
    else:
        # Where what did not fit was smaller than the notice, `outputs.summarise` cuts.
        assert len(shown.encode()) <= room + len(CUT) + 4
        assert CUT in page(shown).text
    page(shown)


def rendered_cells(render: Callable[[], str]) -> tuple[str, int]:
    """What is rendered, and of how many cells of tables."""
    count = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        cell = markdown._cell
        patch.setattr(markdown, "_cell", lambda *given: (next(count), cell(*given))[1])
        return render(), next(count)


def test_stage_page__rows_beyond_the_room_are_not_rendered() -> None:
    said = paged(rows_of(*(f"column {number:05}" for number in range(10_000))))
    shown, rendered = rendered_cells(lambda: markdown.stage_page(said, room=50_000))
    kept = page(shown).cells
    assert len(kept) > 2000
    # The row that did not fit, those whose room the notice took, and one in twenty, since verdicts are padded.
    assert len(kept) <= rendered <= 1.07 * len(kept)
    whole, all_cells = rendered_cells(lambda: markdown.stage_page(said))
    assert all_cells == 30_002 and whole.count("column") == 20_000


def test_body__rows_that_no_comment_has_room_for_are_not_rendered() -> None:
    source, rendered = rendered_cells(lambda: body(report(tables=(wide(50_000, "x"),))))
    assert units(source) <= 65_536
    # A row takes eight signs at least: of the table as a whole so many are rendered, and those of each shorter one.
    assert rendered <= 2 * (65_536 // 8 + 1 + 400)


EVALUATED = {
    (PASS, PASS): "✅ flights: may replace production",
    (PASS, FAIL): "❌ flights: must not replace production",
    (PASS, OPEN): "⚠️ flights: too close to call",
    (FAIL, PASS): "❌ flights: stopped by validate-data",
    (FAIL, FAIL): "❌ flights: must not replace production",
    (FAIL, OPEN): "❌ flights: stopped by validate-data",
    (OPEN, PASS): "⚠️ flights: left open by validate-data",
    (OPEN, FAIL): "❌ flights: must not replace production",
    (OPEN, OPEN): "⚠️ flights: too close to call",
}


@pytest.mark.parametrize(("data", "evaluation"), EVALUATED)
def test_headline__of_two_stages(data: Verdict, evaluation: Verdict) -> None:
    shown = page(body(report("validate-data", data), report(verdict=evaluation))).text
    assert shown.splitlines()[0] == EVALUATED[data, evaluation]


def test_headline__is_the_stages_own_where_it_knows_better() -> None:
    said = report(verdict=PASS, meaning="fairness in order, quality @octo/team not judged" + "x" * 100)
    first = page(body(report("validate-data"), said)).text.splitlines()[0]
    assert first.startswith("✅ flights: fairness in order, quality @\u200bocto/team not judged")
    assert len(first) < 120
    assert page(body(report("validate-data", OPEN), said)).text.splitlines()[0] == EVALUATED[OPEN, PASS]


@pytest.mark.parametrize(
    ("verdict", "headline"),
    [(PASS, "✅ flights: not judged"), (FAIL, "❌ flights: stopped by train-model"), (OPEN, "⚠️ flights: not judged")],
)
def test_headline__without_an_evaluation(verdict: Verdict, headline: str) -> None:
    assert page(body(report("train-model", verdict))).text.splitlines()[0] == headline


def test_headline__of_an_evaluation_that_could_not_take_place() -> None:
    broke = report(verdict=OPEN, checks=(), headline="The registry did not answer.")
    assert page(body(report("train-model"), broke)).text.splitlines()[0] == "⚠️ flights: not judged"
    failed = report(verdict=FAIL, checks=())
    assert page(body(failed)).text.splitlines()[0] == "❌ flights: stopped by evaluate-model"


@pytest.mark.parametrize("verdicts", [*itertools.product([PASS, FAIL, OPEN], repeat=2)])
@pytest.mark.parametrize("missing", ["validate-data", "evaluate-model", "report"])
def test_body__with_a_missing_report_is_never_a_pass(verdicts: tuple[Verdict, Verdict], missing: str) -> None:
    reports = [report("train-model", verdicts[0]), report(verdict=verdicts[1])]
    assert comment.verdict_of(reports, [missing]) is (FAIL if FAIL in verdicts else OPEN)
    shown = page(body(*reports, missing=[missing]))
    first = shown.text.splitlines()[0]
    assert not first.startswith("✅")
    assert "may replace" not in first
    if FAIL not in verdicts:
        assert first == "⚠️ flights: not judged"
        assert f"{missing} left no report" in shown.text


def test_body__with_no_report_at_all_is_no_pass() -> None:
    assert comment.verdict_of([]) is OPEN
    assert page(body(missing=["validate-data"])).text.startswith("⚠️ flights: not judged")


def test_body__is_in_the_order_that_people_read() -> None:
    reports = [
        report("validate-data", OPEN, headline="Data.", reasons=("from data",)),
        report("train-model", PASS, headline="Trained.", provenance={"commit": "abc"}),
        report(
            verdict=FAIL,
            headline="Worse.",
            reasons=("from evaluation",),
            tables=(Table(title="Metrics", columns=(TEXT,), rows=(("roc",),)),),
        ),
    ]
    shown = page(body(*reports, head_sha="0123456789abcdef", full_report="https://ci.invalid/1")).text
    order = [
        "must not replace",
        "Worse.",
        "from evaluation",
        "from data",
        "Metrics",
        "validate-data Data.",
        "train-model Trained.",
        "evaluate-model",  # what it says stands at the top
        "Provenance",
        "Next:",
        "commit 0123456789ab · full report",
    ]
    places = [shown.index(text) for text in order]
    assert places == sorted(places)


def passing_and_failing(*verdicts: str, title: str = "Slices") -> Table:
    rows = tuple((f"row {number}", verdict) for number, verdict in enumerate(verdicts))
    return Table(title=title, columns=(TEXT, VERDICT), rows=rows, note="A note.")


def test_body__shows_what_did_not_pass_worst_first_and_folds_the_rest() -> None:
    verdicts = ("pass", "inconclusive", "fail", "pass", "–", "fail", "pass")
    main = passing_and_failing("pass", "fail", title="Metrics")
    source = body(report(verdict=FAIL, tables=(main, passing_and_failing(*verdicts))))
    read = page(source)
    before, _, after = read.text.partition("Slices: 3 pass, 1 without a gate")
    assert "row 0" in before.partition("Slices")[0], "the comparison is whole"
    shown = before.partition("Slices")[2]
    assert re.findall(r"row \d", shown) == ["row 2", "row 5", "row 1"]
    assert re.findall(r"row \d", after) == ["row 0", "row 3", "row 4", "row 6"]
    assert read.text.count("A note.") == 2


def test_body__where_all_of_a_table_pass_only_its_title_shows() -> None:
    read = page(body(report(tables=(passing_and_failing("pass"), passing_and_failing("pass", "pass", title="Safety")))))
    assert "Safety: 2 pass" in read.text
    assert read.tags.count("details") == 1


def test_body__reasons_from_checks_are_three_and_remarks_are_all_shown() -> None:
    checks = tuple(Check(name=f"c{number}", verdict=FAIL, detail=f"Finding {number}.") for number in range(5))
    remarks = tuple(f"Remark {number}." for number in range(5))
    reasons = (*(check.detail for check in checks), *remarks)
    text = page(body(report(verdict=FAIL, checks=checks, reasons=reasons))).text
    shown, _, folded = text.partition("2 more findings")
    assert re.findall(r"(?:Finding|Remark) \d", shown) == [
        *(f"Finding {number}" for number in range(3)),
        *(f"Remark {number}" for number in range(5)),
    ]
    assert "Finding 3." in folded and "Finding 4." in folded


def test_body__says_what_changed_against_production() -> None:
    old_and_new = changes(
        {"depth": "8", "rate": "0.1", "gone": "1", "same": "x"}, {"depth": "12", "rate": "", "same": "x"}
    )
    assert [each.name for each in old_and_new] == ["depth", "gone", "rate"]
    text = page(body(report(changes=old_and_new))).text
    assert "Changed against production: depth 8 → 12 · gone 1 → absent · rate 0.1 → empty" in text
    assert "Changed against production: no parameter." in page(body(report(changes=()))).text
    assert "Changed" not in page(body(report())).text


def test_body__more_changes_than_three_are_folded() -> None:
    many = changes({}, {f"p{number}": "1" for number in range(9)})
    read = page(body(report(changes=many)))
    assert "p2 absent → 1 · and 6 more" in read.text
    assert read.cells[:3] == ["what", "production", "candidate"] and "p8" in read.cells


def test_body__names_data_and_policy_by_their_digests() -> None:
    said = (
        Subject(role="data", name="train", id="dvc:md5:0123456789abcdef"),
        Subject(role="policy", name="slipway.yml", id="sha256:fedcba9876543210"),
    )
    text = page(body(report(subjects=said), report("train-model", subjects=said), head_sha="a" * 40)).text
    assert "commit aaaaaaaaaaaa · data train 0123456789ab · policy fedcba987654" in text


def test_body__the_list_of_stages_is_not_part_of_the_reasons() -> None:
    assert page(body(report(reasons=("because",)))).tags.count("ul") == 2


def test_prose__code_is_code_and_all_else_is_text() -> None:
    read = page(markdown.prose("Set `min_rows: 5 | *x*` in *slipway.yml*, not ``y``."))
    assert read.tags == ["p", "code"]
    assert read.text.strip() == "Set min_rows: 5 | *x* in *slipway.yml*, not ``y``."


def test_body__leaves_details_to_the_stages_own_page() -> None:
    tables = (
        Table(title="Short", columns=(TEXT,), rows=(("kept",),)),
        Table(title="Long", columns=(TEXT,), rows=(("left",),), detail=True),
    )
    shown = page(body(report(tables=tables))).text
    assert "kept" in shown
    assert "Long" not in shown


def test_body__says_once_what_several_stages_say_alike() -> None:
    said = {"policy": "slipway.yml", "commit": "abc"}
    shown = page(body(report("train-model", provenance=said), report(provenance={**said, "commit": "def"})))
    assert shown.cells == ["what", "value", "policy", "slipway.yml", "commit", "abc", "commit", "def"]


def test_marker__names_the_model_by_its_digest() -> None:
    # printf 'a--b' | sha256sum
    assert comment.marker("a--b") == "<!-- slipway:report model=90827a2e56361a8f "
    assert comment.marker("flights") != comment.marker("flight")


def test_stamp__is_the_last_line_and_hidden() -> None:
    source = body(report(), full_report="https://ci.invalid/1", head_sha="abc")
    last = source.splitlines()[-1]
    assert last == STAMP
    assert last.startswith(comment.marker("flights"))
    assert last.endswith(f"run=12.3 head={'a' * 40} -->")
    assert page(source).comments == 1
    assert "slipway:report" not in page(source).text


def everywhere(text: str) -> list[Report]:
    """Reports that say `text` wherever a report can say anything."""
    return [
        Report(
            stage=stage,
            model=text,
            verdict=FAIL,
            headline=text,
            reasons=(text, text),
            checks=(Check(name=text, verdict=FAIL, detail=text, examples=(text,)),),
            tables=()
            if stage == "validate-data"
            else (
                Table(
                    title=text,
                    columns=(Column(name=text), Column(name=text, kind="code"), Column(name=text, kind="verdict")),
                    rows=((text, text, text),),
                    note=text,
                    folded=stage == "train-model",
                ),
            ),
            provenance={text: text, "b": text},
            links={text: text},
        )
        for stage in ("validate-data", "train-model", "evaluate-model")
    ]


@pytest.mark.parametrize("text", [each for each in HOSTILE if 0 < len(bare(each)) < 1000], ids=map(str, range(99)))
def test_body__no_text_changes_its_structure(text: str) -> None:
    def shape(said: str) -> tuple[list[str], int]:
        read = page(comment.body(said, everywhere(said), missing=[said], head_sha=said, stamp_line=STAMP))
        # Backticks make code of our sentences, and some columns are code: how often is no matter.
        return [tag for tag in read.tags if tag != "code"], read.comments

    source = comment.body(text, everywhere(text), missing=[text], head_sha=text, stamp_line=STAMP)
    assert shape(text) == shape("benign")
    assert live(page(source).outside_code) == []


@pytest.mark.parametrize("text", [STAMP, comment.marker("flights"), f"x\n{STAMP}\n", f"`{STAMP}`", f"```\n{STAMP}"])
def test_body__our_marker_in_somebodys_text_is_not_ours(text: str) -> None:
    source = comment.body(text, everywhere(text), missing=[text], head_sha=text, stamp_line=STAMP)
    assert source.count("<!--") == 1
    assert source.splitlines()[-1] == STAMP


@given(ANY)
@settings(max_examples=60)
def test_body__any_text_leaves_one_marker_and_whole_details(text: str) -> None:
    source = comment.body(text, everywhere(text), missing=[text], head_sha=text, full_report=text, stamp_line=STAMP)
    assert source.count("<!-- slipway:report") == 1
    assert source.splitlines()[-1] == STAMP
    # Ours alone begin a line: text is on one line with what is around it.
    assert page(source).tags.count("details") == source.count("\n\n</details>")


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def wide(rows: int, text: str, *, folded: bool = False, title: str = "Metrics") -> Table:
    return Table(title=title, columns=(TEXT, CODE), rows=((text, text),) * rows, folded=folded)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("full_report", ["", "https://ci.invalid/1"])
@pytest.mark.parametrize("text", ["x" * 50, "🚢" * 25, "|" * 30])
def test_body__that_is_too_long_keeps_whole_rows_and_says_how_many_are_left_out(
    folded: bool, full_report: str, text: str
) -> None:
    long = report(tables=(wide(2000, text, folded=folded),), reasons=("because",), provenance={"commit": "abc"})
    source = body(long, full_report=full_report, head_sha="abc")
    read = page(source)
    assert units(source) <= 65_536
    assert read.text.startswith("✅ flights: may replace production")
    assert "because" in read.text
    (left_out,) = re.findall(r"and ([\d,]+) more", read.text)
    kept = [cell for cell in read.cells if cell == text]
    assert len(kept) == 2 * (2000 - int(left_out.replace(",", "")))
    assert 200 <= len(kept) <= 400
    assert "Shortened or left out for GitHub's limit of length: Metrics. Everything is in the" in read.text
    # What is short is whole, whatever its rank.
    assert read.cells[-2:] == ["commit", "abc"]
    assert ("a href=https://ci.invalid/1" in read.tags) == bool(full_report)
    assert source.splitlines()[-1] == STAMP
    assert read.comments == 1


def test_body__what_matters_least_goes_first() -> None:
    """Nine tables of which even five rows are too long: the last ones go, and what decides stays."""
    filler = "x" * 299
    columns = tuple(Column(name=f"c{number}") for number in range(12))
    tables = tuple(
        Table(title=f"Table {number:02}", columns=columns, rows=((filler,) * 12,) * 9, folded=True)
        for number in range(9)
    )
    long = report(tables=tables, headline="Why.", reasons=("because",), provenance={"commit": "abc"})
    source = body(long, full_report="https://ci.invalid/1", head_sha="abc")
    read = page(source)
    assert units(source) <= 65_536
    shown, _, notice = read.text.partition("Shortened or left out")
    # Five rows of a table take 18,000 characters, and its head as wide as they 7,000: two tables fit.
    assert re.findall(r"Table \d\d", shown) == ["Table 00", "Table 01"]
    assert re.findall(r"Table \d\d", notice) == [f"Table {number:02}" for number in range(9)]
    for said in ("may replace production", "Why.", "because", "Provenance", "Next:"):
        assert said in shown


def test_body__that_just_fits_is_not_cut() -> None:
    def of(extra: int) -> str:
        # A reason longer than 500 characters would be cut itself.
        return body(report(reasons=("x" * 400,) * (extra // 400) + ("x" * (extra % 400 + 1),)))

    smallest = next(extra for extra in range(64_000, 66_000) if "left out" in of(extra))
    assert comment.LIMIT - 4 <= units(of(smallest - 1)) <= comment.LIMIT
    assert units(of(smallest)) <= comment.LIMIT
    assert "x" * 400 not in of(smallest)


def test_body__long_texts_are_cut_and_show_that_they_are() -> None:
    long = report(
        headline="h" * 600,
        reasons=("r" * 600,),
        tables=(Table(title="t" * 600, columns=(Column(name="c" * 600),) * 20, rows=(("x" * 600,) * 20,)),),
    )
    read = page(body(long))
    assert "h" * 499 + "…" in read.text and "r" * 499 + "…" in read.text and "t" * 149 + "…" in read.text
    assert read.cells == ["c" * 99 + "…"] * 12 + ["x" * 299 + "…"] * 12
    assert "8 more columns are in the full report." in read.text


@pytest.mark.parametrize("sign", ["a", "🚢"])
def test_body__leaves_out_an_address_that_would_fill_it(sign: str) -> None:
    address = "https://ci.invalid/"
    fits = address + sign * (2_000 - len(address))
    assert "full report" in page(body(report(), full_report=fits)).text
    source = body(report(), full_report=fits + sign * 65_308)
    assert "full report" not in page(source).text
    assert units(source) <= 65_536


SIZES = st.integers(0, 3000)


@given(
    sizes=st.lists(st.tuples(SIZES, st.sampled_from(["x", "🚢", "|", "<", "`", "é|"]), st.booleans()), max_size=4),
    lengths=st.lists(st.integers(0, 70_000), max_size=3),
    address=st.integers(0, 70_000),
)
@settings(max_examples=25)
def test_body__never_exceeds_the_limit(sizes: list[tuple[int, str, bool]], lengths: list[int], address: int) -> None:
    tables = tuple(wide(rows, sign * 10, folded=folded) for rows, sign, folded in sizes)
    long = report(tables=tables, reasons=tuple("r" * each for each in lengths), headline="h" * (lengths or [0])[0])
    source = body(long, full_report="https://ci.invalid/" + "a" * address, head_sha="abc")
    assert units(source) <= 65_536
    assert source.splitlines()[-1] == STAMP
    assert page(source).tags.count("details") == source.count("</details>")


@pytest.mark.parametrize("model", ["m" * 100_000, "🚢" * 40_000])
def test_body__fits_whatever_the_models_name_is(model: str) -> None:
    source = comment.body(model, everywhere(model), missing=[model], head_sha=model, stamp_line=STAMP)
    assert units(source) <= 65_536
    assert source.splitlines()[-1] == STAMP


def test_length__counts_as_github_does() -> None:
    assert [comment.length(text) for text in ("", "abc", "é", "🚢")] == [0, 3, 1, 2]
