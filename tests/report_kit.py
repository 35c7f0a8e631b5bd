"""Reports as the stages leave them, and a page that shows Markdown as GitHub does: for golden files and for looking.

`python tests/report_kit.py` writes the golden files anew.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from math import exp
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options

from slipway.report import Change, Chart, Check, Column, Point, Report, Series, Span, Subject, Table, Verdict, comment
from slipway.report.page import Page, render

GOLDEN = Path(__file__).with_name("golden")
PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
STARTED = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
SHA = "3f33fc240d77e1c09be1a6a4b0f8b3d0c1c8c9f4"
RUN_PAGE = "https://github.com/octo/models/actions/runs/4711#artifacts"

COMPARISON = (
    Column(name="metric", kind="code"),
    Column(name="production", kind="number"),
    Column(name="candidate", kind="number"),
    Column(name="difference", kind="number"),
    Column(name="95 % interval", kind="number"),
    Column(name="gate"),
    Column(name="verdict", kind="verdict"),
)
HOSTILE = "| **x** </details><script>alert(1)</script> `a` \\ @octo/team #1 www.evil.invalid ![i](https://evil.invalid)"


def metric(
    name: str, before: float, after: float, error: float, limit: float, verdict: Verdict, *, up: bool = True
) -> tuple[tuple[object, ...], Check]:
    """A row of the comparison and its check, for a margin of |limit|."""
    difference = after - before
    low, high = difference - 1.96 * error, difference + 1.96 * error
    gate = f"not worse by {abs(limit):g}"
    said = f"{low:+.4f} to {high:+.4f}"
    span = Span(text=said, low=low, value=difference, high=high, limit=limit, above=up)
    ends = {
        PASS: f"clear of the limit {limit:+g}.",
        FAIL: f"all of it is beyond the limit {limit:+g} of “{gate}”.",
        OPEN: f"the limit {limit:+g} of “{gate}” lies inside. About 210,000 rows would settle it if the value stays "
        "(82,609 so far).",
    }
    check = Check(
        name=f"{name}: {gate}",
        verdict=verdict,
        detail=f"{name} changed by {difference:+.4f} (95 % interval {said}): {ends[verdict]}",
        values={
            "production": before,
            "candidate": after,
            "value": difference,
            "low": low,
            "high": high,
            "limit": limit,
            "rows_needed": 203_512 if verdict is OPEN else None,
        },
    )
    arrow = "↑" if up else "↓"
    cells = (f"{before:.4f}", f"{after:.4f}", f"{difference:+.4f}")
    return (f"{name}\u00a0{arrow}", *cells, span, gate, verdict.value), check


def slices(worst: Verdict) -> Table:
    """The area under the curve by carrier; the last ones are the worst."""
    rows = []
    for number, carrier in enumerate(("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "HA")):
        verdict = worst if number >= 10 else PASS
        value = -0.061 if verdict is FAIL else -0.004 if verdict is OPEN else 0.004 + 0.001 * (number % 4)
        error = 0.004 + 0.0006 * number
        low, high = value - 1.96 * error, value + 1.96 * error
        span = Span(text=f"{low:+.3f} to {high:+.3f}", low=low, value=value, high=high, limit=-0.02, above=True)
        rows.append((f"carrier = {carrier}", 9000 - 740 * number, f"{value:+.3f}", span, verdict.value))
    columns = (
        *(Column(name="slice", kind="code"), Column(name="rows", kind="number")),
        *(Column(name="difference", kind="number"), Column(name="95 % interval", kind="number")),
        Column(name="verdict", kind="verdict"),
    )
    return Table(title="roc_auc by slice", columns=columns, rows=tuple(rows), note="Holm's correction over 12 slices.")


def latency(verdict: Verdict) -> Table:
    columns = (
        *(Column(name="latency"), Column(name="production", kind="number"), Column(name="candidate", kind="number")),
        *(Column(name="gate"), Column(name="verdict", kind="verdict")),
    )
    p99 = ("p99 of one row", "8.1 ms", "21.7 ms" if verdict is FAIL else "8.4 ms", "at most 15 ms", verdict.value)
    rows = (("p50 of one row", "3.2 ms", "3.9 ms", "none", "–"), p99)
    return Table(title="Latency", columns=columns, rows=rows, note="2,000 requests of one row each.")


def curves() -> tuple[Chart, ...]:
    """Calibration and ROC of both models, made up smoothly."""

    def observed(x: float, bend: float) -> Point:
        y = round(x + bend * x * (1 - x), 4)
        half = round(0.012 + 0.03 * x, 4)
        rows = round(20_000 * exp(-3 * x)) + 40
        return Point(x=x, y=y, low=max(0.0, y - half), high=min(1.0, y + half), count=rows)

    bins = (0.04, 0.12, 0.21, 0.3, 0.39, 0.48, 0.57, 0.66, 0.74)
    rates = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
    return (
        Chart(
            kind="reliability",
            title="Calibration",
            series=(
                Series(name="candidate", points=tuple(observed(x, 0.06) for x in bins)),
                Series(name="production", points=tuple(observed(round(x + 0.01, 2), -0.22) for x in bins)),
            ),
            note="Ten bins of equal width; Wilson's intervals.",
        ),
        Chart(
            kind="roc",
            title="ROC curve",
            series=(
                Series(name="candidate", points=tuple(Point(x=x, y=round(x**0.31, 4)) for x in rates)),
                Series(name="production", points=tuple(Point(x=x, y=round(x**0.36, 4)) for x in rates)),
            ),
        ),
        Chart(
            kind="history",
            title="roc_auc of the last releases",
            series=(
                Series(
                    name="roc_auc",
                    points=tuple(
                        Point(y=y, label=f"version {number}")
                        for number, y in enumerate((0.702, 0.713, 0.711, 0.726, 0.731, 0.7352), start=1)
                    ),
                ),
            ),
        ),
    )


def validated(verdict: Verdict = PASS, **said: object) -> Report:
    subjects = (Subject(role="data", name="flights-train", id="dvc:md5:6cf1e8b0a9d4c3f27b1e5a90d8f7c6b5"),)
    return Report.model_validate(
        {
            "stage": "validate-data",
            "model": "flight-delays",
            "verdict": verdict,
            "headline": "All 37 checks of 2 datasets passed.",
            "subjects": subjects,
            "provenance": {"policy": "slipway.yml", "policy_digest": f"sha256:{'9ac1' * 16}"},
            "started": STARTED,
            "seconds": 1.8,
            **said,
        }
    )


def trained(**said: object) -> Report:
    return Report.model_validate(
        {
            "stage": "train-model",
            "model": "flight-delays",
            "verdict": PASS,
            "headline": f"Trained version 8 in 9 s from commit {SHA[:12]}.",
            "provenance": {
                "model_version": "8",
                "commit": SHA,
                "clean": True,
                "data_flights-train": "data/train.csv, DVC 6cf1e8b0a9d4",
                "python": "3.11.9",
                "command": "python train.py --params params.yaml",
                "seed": "7",
                "policy": "slipway.yml",
                "policy_digest": f"sha256:{'9ac1' * 16}",
            },
            "subjects": (Subject(role="commit", name="clean", id=SHA),),
            "started": STARTED,
            "seconds": 12.4,
            **said,
        }
    )


def evaluated(verdict: Verdict, rows: tuple[tuple[tuple[object, ...], Check], ...], **said: object) -> Report:
    checks = tuple(check for _, check in rows)
    note = "82,609 rows, the same for both models. ↑ more is better, ↓ less is better."
    cells = tuple(row for row, _ in rows)
    main = Table.model_validate(
        {"title": "Candidate against production", "columns": COMPARISON, "rows": cells, "note": note}
    )
    return Report.model_validate(
        {
            "stage": "evaluate-model",
            "model": "flight-delays",
            "verdict": verdict,
            "headline": "Candidate version 8 against production version 6 on 82,609 rows.",
            "reasons": tuple(check.detail for check in checks if check.verdict is not PASS),
            "checks": checks,
            "tables": (main, slices(PASS), latency(PASS)),
            "charts": curves(),
            "changes": (
                Change(name="model.max_depth", production="8", candidate="12"),
                Change(name="model.learning_rate", production="0.1", candidate="0.05"),
                Change(name="features.weather", production=None, candidate="true"),
                Change(name="model.early_stopping", production="false", candidate="true"),
            ),
            "provenance": {"candidate": "8", "production": "6", "policy": "slipway.yml"},
            "subjects": (
                Subject(role="policy", name="slipway.yml", id=f"sha256:{'9ac1' * 16}"),
                Subject(role="data", name="flights-holdout", id="dvc:md5:0b7d11aa93be45c6d2f8e1a07c5b9d34"),
            ),
            "started": STARTED,
            "seconds": 41.0,
            **said,
        }
    )


GOOD = (
    metric("roc_auc", 0.7352, 0.7418, 0.0012, -0.005, PASS),
    metric("log_loss", 0.5121, 0.5043, 0.0011, 0.01, PASS, up=False),
    metric("recall", 0.6214, 0.6287, 0.0031, -0.01, PASS),
)


def passing() -> list[Report]:
    return [validated(), trained(), evaluated(PASS, GOOD)]


def failing() -> list[Report]:
    rows = (
        metric("roc_auc", 0.7352, 0.7213, 0.0013, -0.005, FAIL),
        metric("log_loss", 0.5121, 0.5188, 0.0022, 0.01, OPEN, up=False),
        metric("recall", 0.6214, 0.6287, 0.0031, -0.01, PASS),
    )
    report = evaluated(FAIL, rows)
    slow = Check(name="latency p99: at most 15 ms", verdict=FAIL, detail="Latency p99 is 21.7 ms: over 15 ms.")
    bad = [
        Check(name=f"roc_auc, carrier = {carrier}: not worse by 0.02", verdict=FAIL, detail=f"Worse for {carrier}.")
        for carrier in ("FL", "HA")
    ]
    checks = (*report.checks, *bad, slow)
    order = {FAIL: 0, OPEN: 1}
    reasons = [
        check.detail for check in sorted(checks, key=lambda each: order.get(each.verdict, 2)) if check.verdict in order
    ]
    remark = "This pull request changes `slipway.yml`. It was judged by the base branch's gates."
    tables = (report.tables[0], slices(FAIL), latency(FAIL))
    update = {"checks": checks, "tables": tables, "reasons": (*reasons, remark)}
    return [validated(), trained(), report.model_copy(update=update)]


def inconclusive() -> list[Report]:
    rows = (metric("roc_auc", 0.7352, 0.7314, 0.0012, -0.005, OPEN), GOOD[1], GOOD[2])
    return [validated(), trained(), evaluated(OPEN, rows)]


def first_release() -> list[Report]:
    span = Span(text="0.7325 to 0.7381", low=0.7325, value=0.7352, high=0.7381, limit=0.7, above=True)
    row = ("roc_auc\u00a0↑", "–", "0.7352", "–", span, "at least 0.7", "pass")
    report = evaluated(PASS, ((row, Check(name="roc_auc: at least 0.7", verdict=PASS)),))
    update = {
        "headline": "Candidate version 1 against no production version (first release) on 82,609 rows.",
        "meaning": "may go into production",
        "reasons": ("First release: no version is in production yet, so only absolute gates (`min`, `max`) apply.",),
        "tables": (report.tables[0],),
        "charts": (),
        "changes": None,
        "provenance": {"candidate": "1", "production": "none", "policy": "slipway.yml"},
    }
    return [validated(), trained(), report.model_copy(update=update)]


def stage_failure() -> list[Report]:
    broke = trained(
        verdict=FAIL,
        headline="The training command ended with exit code 1.",
        reasons=("ValueError: could not convert string to float: 'NA'",),
        advice="See the step's log; it is also kept with the MLflow run 8d1f. No version was registered.",
        provenance={"policy": "slipway.yml"},
        subjects=(),
    )
    return [validated(), broke]


def huge() -> list[Report]:
    rows = tuple(metric(f"metric_{number:03}", 0.7, 0.69, 0.001, -0.005, FAIL) for number in range(300))
    report = evaluated(FAIL, rows)
    big = Table(
        title="By customer",
        columns=(Column(name="customer"), Column(name="finding"), Column(name="verdict", kind="verdict")),
        rows=tuple((f"customer {number}", "x" * 80, "fail" if number % 7 == 0 else "pass") for number in range(3000)),
    )
    tables = (*report.tables, big)
    return [validated(), trained(), report.model_copy(update={"tables": tables})]


def hostile() -> list[Report]:
    said = HOSTILE
    table = Table(
        title=said,
        columns=(Column(name=said), Column(name=said, kind="code"), Column(name="verdict", kind="verdict")),
        rows=((said, said, "fail"), (said, said, "pass")),
        note=said,
    )
    point = Point(x=0.5, y=0.5, low=0.4, high=0.6, label=said, limit=0.45, above=True, verdict=FAIL)
    kinds = ("reliability", "roc", "intervals", "bars", "history")
    return [
        Report.model_validate(
            {
                "stage": "evaluate-model",
                "model": said,
                "verdict": FAIL,
                "headline": said,
                "reasons": (said,),
                "checks": (Check(name=said, verdict=FAIL, detail=said, examples=(said,)),),
                "tables": (table, table),
                "charts": [
                    {"kind": kind, "title": said, "note": said, "series": [{"name": said, "points": [point]}]}
                    for kind in kinds
                ],
                "changes": (Change(name=said, production=said, candidate=None),),
                "provenance": {said: said},
                "links": {said: said},
                "subjects": (Subject(role="data", name=said, id=said), Subject(role="policy", name=said, id=said)),
                "attachments": {"provenance.json": "sha256:0"},
                "started": STARTED,
            }
        )
    ]


CASES: dict[str, Callable[[], list[Report]]] = {
    "pass": passing,
    "fail": failing,
    "inconclusive": inconclusive,
    "first-release": first_release,
    "stage-failure": stage_failure,
    "huge": huge,
    "hostile": hostile,
}
PAGES = ("pass", "fail", "hostile")
"""Cases whose page is kept, too; the others have the same parts."""


def comment_of(name: str) -> str:
    reports = CASES[name]()
    model = reports[0].model
    stamp = comment.stamp(model, run_id=4711, attempt=1, head_sha=SHA)
    missing = ["evaluate-model"] if name == "stage-failure" else []
    return comment.body(model, reports, missing=missing, head_sha=SHA, full_report=RUN_PAGE, stamp_line=stamp)


def page_of(name: str) -> str:
    reports = CASES[name]()
    missing = ("evaluate-model",) if name == "stage-failure" else ()
    return render(
        Page(model=reports[0].model, reports=tuple(reports), missing=missing, head_sha=SHA, run_page=RUN_PAGE)
    )


# As GitHub shows it ------------------------------------------------------------------------------------------------

GITHUB_CSS = """
:root { --ink: #1f2328; --back: #fff; --line: #d1d9e0; --row: #f6f8fa; --code: #818b981f; --link: #0969da; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f6fc; --back: #0d1117; --line: #3d444d; --row: #151b23; --code: #656c7633; --link: #4493f8; }
}
body { margin: 0; background: var(--back); color: var(--ink); color-scheme: light dark;
  font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
main { margin: 16px auto; max-width: 860px; box-sizing: border-box; padding: 16px; border: 1px solid var(--line);
  border-radius: 6px; overflow-wrap: break-word; }
h3 { font-size: 1.25em; margin: 0 0 16px; } p, ul, table, details { margin: 0 0 16px; } ul { padding-left: 2em; }
table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse;
  font-variant: tabular-nums; }
td, th { padding: 6px 13px; border: 1px solid var(--line); } tr:nth-child(2n) { background: var(--row); }
code { font: 85% ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  padding: .2em .4em; background: var(--code); border-radius: 6px; white-space: break-spaces; }
pre { padding: 16px; background: var(--row); overflow: auto; }
pre code { background: none; padding: 0; white-space: pre; }
a { color: var(--link); } sub { font-size: 75%; line-height: 0; } summary { cursor: pointer; }
"""


def github_page(source: str, *, opened: bool = False) -> str:
    """Markdown as a page that looks like GitHub's, by GitHub's own parser."""
    shown = cmarkgfm.github_flavored_markdown_to_html(source, Options.CMARK_OPT_UNSAFE)
    if opened:
        shown = shown.replace("<details>", "<details open>")
    head = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><style>{GITHUB_CSS}</style>'
    return f"{head}<title>Comment</title><main>{shown}</main></html>"


def chromium() -> str | None:
    """The browser; None where this machine has none."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def browse(browser: str, page: str, *options: str) -> str:
    """What the browser prints for a page; it may reach no network."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += [f"--user-data-dir={folder}/profile", "--host-resolver-rules=MAP * ~NOTFOUND", *options]
        done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def visible_text(dom: str) -> str:
    """The text of a page's body."""
    inside = re.sub(r"<(style|script|title)\b.*?</\1>", "", dom, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", inside))


def write_golden() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in CASES:
        (GOLDEN / f"{name}.md").write_text(comment_of(name) + "\n", encoding="utf-8")
    for name in PAGES:
        (GOLDEN / f"{name}.html").write_text(page_of(name), encoding="utf-8")


if __name__ == "__main__":
    write_golden()
