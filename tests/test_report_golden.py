"""What people see, word for word: golden files, and the browser's view of them in light and in dark.

`make golden` writes the files anew; read their difference before you commit it.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence

import pytest

from report_kit import (
    CASES,
    GOLDEN,
    HOSTILE,
    PAGES,
    browse,
    chromium,
    comment_of,
    github_page,
    page_of,
    visible_text,
)
from slipway.report import comment, plots
from slipway.report.page import TEMPLATES, Page, render

SCHEMES = {"light": 1, "dark": 0}


@pytest.mark.parametrize("name", CASES)
def test_golden__comment(name: str) -> None:
    assert comment_of(name) + "\n" == (GOLDEN / f"{name}.md").read_text(encoding="utf-8"), "make golden"


@pytest.mark.parametrize("name", PAGES)
def test_golden__page(name: str) -> None:
    assert page_of(name) == (GOLDEN / f"{name}.html").read_text(encoding="utf-8"), "make golden"


def test_golden__there_is_no_other_file() -> None:
    known = {f"{name}.md" for name in CASES} | {f"{name}.html" for name in PAGES}
    assert {file.name for file in GOLDEN.iterdir()} == known


@pytest.mark.parametrize("name", CASES)
def test_comment__is_one_that_github_takes(name: str) -> None:
    assert comment.length(comment_of(name)) <= comment.LIMIT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pass", "Next: Merge."),
        ("fail", "Next: “roc_auc: not worse by 0.005”, “roc_auc, carrier = FL: not worse by 0.02” and 2 more stand in"),
        ("fail", "Look first at what changed against production (model.max_depth, model.learning_rate and 2 more)"),
        ("inconclusive", "Next: Give the holdout more rows: about 210,000 would settle “roc_auc: not worse by 0.005”"),
        ("first-release", "Next: Merge."),
        ("stage-failure", "Next: See the step's log; it is also kept with the MLflow run 8d1f."),
        ("huge", "Shortened or left out for GitHub's limit of length: "),
    ],
)
def test_comment__ends_with_what_to_do(name: str, said: str) -> None:
    shown = re.sub(r"\s+", " ", visible_text(github_page(comment_of(name))))
    assert said in shown


# The browser -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> str:
    """The program; without it a person's tests are skipped, and those of CI fail."""
    found = chromium()
    if found:
        return found
    reason = "chromium is not on the PATH"
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def tables_of(dom: str) -> list[tuple[int, int]]:
    """Rows and cells of every table."""
    tables = re.findall(r"<table\b.*?</table>", dom, flags=re.DOTALL)
    return [(each.count("<tr"), len(re.findall(r"<t[dh]\b", each))) for each in tables]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("name", "tables"),
    [
        # Rows with the head, times columns: the comparison, then slices and latency.
        ("fail", [(4, 28), (3, 15), (3, 15)]),
        ("pass", [(4, 28)]),
        ("inconclusive", [(4, 28)]),
        ("first-release", [(2, 14)]),
        ("stage-failure", []),
    ],
)
def test_browser__shows_tables_and_no_stray_signs(
    browser: str, name: str, tables: Sequence[tuple[int, int]], scheme: str
) -> None:
    option = f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"
    dom = browse(browser, github_page(comment_of(name)), option, "--dump-dom")
    assert tables_of(re.sub(r"<details>.*?</details>", "", dom, flags=re.DOTALL)) == list(tables)
    shown = visible_text(re.sub(r"<pre\b.*?</pre>", "", dom, flags=re.DOTALL))
    for stray in ("\\", "|", "**", "`", "<br>", "</", "&amp;", "##"):
        assert stray not in shown, stray


@pytest.mark.parametrize("scheme", SCHEMES)
def test_browser__the_page_needs_no_network_and_its_script_runs(browser: str, scheme: str) -> None:
    """A page that its own policy had stopped would have no buttons."""
    option = f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"
    dom = browse(browser, page_of("fail"), option, "--dump-dom")
    first = dom[: dom.index("</thead>")]
    assert len(re.findall(r'<th scope="col"[^>]*><button>', first)) == 7
    # Comparison, slices, latency; then the numbers of three charts, changes and all checks.
    assert tables_of(dom)[:3] == [(4, 28), (13, 65), (3, 15)]
    assert tables_of(dom) == tables_of(page_of("fail")), "without the script all is there, too"


def test_browser__tables_are_sorted_by_their_heads(browser: str) -> None:
    """Three clicks by a script that the page's own policy would not let in: by rows, by rows again, by verdict."""
    source = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_of("fail"))
    shown = []
    for column, clicks in ((1, 1), (1, 2), (4, 1)):
        click = f"document.querySelectorAll('table')[1].querySelectorAll('button')[{column}].click();"
        dom = browse(browser, source.replace("</html>", f"<script>{click * clicks}</script></html>"), "--dump-dom")
        slices = re.findall(r"<table\b.*?</table>", dom, flags=re.DOTALL)[1]
        shown.append(re.findall(r"carrier = (\w\w)", slices))
    assert shown[0][:3] == ["HA", "FL", "VX"]
    assert shown[1] == shown[0][::-1]
    assert set(shown[2][:2]) == {"HA", "FL"}


def test_browser__hostile_text_stays_text(browser: str) -> None:
    for source in (github_page(comment_of("hostile"), opened=True), page_of("hostile")):
        dom = browse(browser, source, "--dump-dom")
        assert not re.search(r"<(?:img|iframe|base|form)\b", dom)
        assert dom.count("<script") == source.count("<script>") <= 1
        assert "<script>alert(1)</script>" in html.unescape(visible_text(dom))


# The page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_page__allows_nothing_but_itself(name: str) -> None:
    source = page_of(name)
    assert "default-src 'none'; style-src 'sha256-" in source
    assert not re.search(r"\b(?:src|style|onclick)=|url\(|@import", re.sub(r">[^<]*<", "><", source))
    links = re.findall(r'href="([^"#][^"]*)"', source)
    assert set(links) <= {"https://github.com/octo/models/actions/runs/4711#artifacts"}
    assert all('scope="col"' in head for head in re.findall(r"<th\b[^>]*>", source))
    assert source.count("<svg") == len(re.findall(r"<svg\b[^>]*role=\"img\"", source))
    assert source.count("<title>") == 1 + source.count("<svg") + len(re.findall(r"<circle[^>]*>\s*<title>", source))


def test_page__says_what_the_comment_leaves_out() -> None:
    source = page_of("huge")
    assert "metric_299" in source and "metric_299" not in comment_of("huge")
    # 3,000 rows are more than a browser likes: the page says so.
    assert "and 1,000 more in the report's file" in source


def test_page__a_link_is_none_that_a_browser_should_not_open() -> None:
    reports = tuple(CASES["pass"]())
    for address in ("javascript:alert(1)", "data:text/html,x", ""):
        source = render(Page(model="m", reports=reports, run_page=address))
        assert set(re.findall(r'href="([^"]*)"', source)) == {f"#stage-{number}" for number in (1, 2, 3)}


def test_page__hostile_text_is_escaped_once() -> None:
    source = page_of("hostile")
    assert html.escape("</details><script>alert(1)</script>", quote=False) in source
    assert "&amp;lt;" not in source
    assert HOSTILE not in source


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` or `#rgb`, by WCAG 2.2."""
    digits = colour.removeprefix("#")
    digits = "".join(sign * 2 for sign in digits) if len(digits) == 3 else digits
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_page__text_has_contrast_in_light_and_in_dark() -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 for text."""
    assert contrast("#000000", "#fff") == pytest.approx(21.0)
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    light, dark, *_ = (dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{[^}]*\}", style))
    for colours in (light, dark):
        for text in ("ink", "faint", "good", "bad", "open"):
            for ground in ("back", "band", "note"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground, colours)


def test_page__every_colour_of_a_drawing_has_one_for_dark_pages() -> None:
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    drawn = "".join(page_of(name) for name in PAGES)
    used = set(re.findall(r'(?:fill|stroke)="(#\w+)"', drawn)) - set(plots.PALETTE)
    assert used
    assert {colour for colour in used if f'="{colour}"]' not in style} == set()
