"""The delivery figures against numbers computed by hand, from real ledgers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from audit_kit import Story, day, whole
from slipway.audit.delivery import Delivery, Release, measure, plot, prometheus, table, wilson
from slipway.evaluation import formulas
from slipway.report.markdown import table_section
from slipway.runner.errors import InputError

HOUR = timedelta(hours=1)


def release(number: int, lead: timedelta | None, restored: timedelta | None = None) -> Release:
    at = day(number)
    return Release(str(number), at, None if lead is None else at - lead, None if restored is None else at + restored)


def delivery(*releases: Release, days: float = 14, model: str = "flights") -> Delivery:
    return Delivery(model, "production", day(0), day(days), releases)


def values(found: Delivery) -> dict[str, str]:
    return {str(row[0]): str(row[1]) for row in table(found).rows}


def test_measure__a_whole_story(tmp_path: Path) -> None:
    found = measure(whole(tmp_path), "flights")
    # By hand: version 1 is trained on day 0 and promoted on day 1; 2 is validated on day 7 and promoted on day 8.5;
    # 3 is trained on day 10, promoted on day 11 and rolled back on day 11.25.
    assert [(each.version, each.lead, each.rolled_back) for each in found.releases] == [
        ("1", timedelta(days=1), None),
        ("2", timedelta(days=1.5), None),
        ("3", timedelta(days=1), day(11.25)),
    ]
    assert found.lead_median == timedelta(days=1)
    assert found.restores == [timedelta(days=0.25)]
    assert found.per_week == pytest.approx(3 / (11.25 / 7), rel=1e-6)
    assert found.change_failure is not None and found.change_failure.value == pytest.approx(1 / 3)
    # Too few for a percentile or a median.
    assert found.lead_90th is None and found.restore_median is None


def test_measure__a_window(tmp_path: Path) -> None:
    trail = whole(tmp_path)
    found = measure(trail, "flights", since=day(2), until=day(11.1))
    # The rollback on day 11.25 lies beyond the window: as of its end, nothing had failed.
    assert [each.version for each in found.releases] == ["2", "3"] and found.restores == []
    # Weeks before the ledger began are not weeks without a release.
    early = measure(trail, "flights", since=day(-700), until=day(14))
    assert early.since == day(0) and early.per_week == pytest.approx(1.5)
    # The very moment of a release belongs to the window that begins with it, and not to the one that ends with it.
    assert [each.version for each in measure(trail, "flights", since=day(8.5), until=day(11)).releases] == ["2"]


def test_measure__a_canary_and_its_promotion_are_one_release(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.train("1", day(0))
    story.place("deployment", "1", day(1))
    story.place("deployment", "1", day(2))
    story.place("promotion", "1", day(3))
    (found,) = measure(story.read(), "flights").releases
    assert (found.at, found.lead) == (day(3), timedelta(days=3))


def test_measure__a_version_that_is_brought_once_more_was_released_before(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.train("1", day(0))
    story.place("deployment", "1", day(1))
    story.place("deployment", "1", day(40))
    (found,) = measure(story.read(), "flights").releases
    assert (found.at, found.lead) == (day(1), timedelta(days=1))


def test_measure__a_rollback_ends_the_release_that_it_takes_back(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.place("promotion", "1", day(0))
    story.place("promotion", "2", day(1), before="1")
    story.place("promotion", "3", day(2), before="2")
    story.place("rollback", "2", day(3), before="3")
    story.place("rollback", "1", day(4), before="2")
    story.place("promotion", "2", day(5), before="1")
    found = measure(story.read(), "flights")
    assert [(each.version, each.rolled_back) for each in found.releases] == [
        ("1", None),
        ("2", day(4)),
        ("3", day(3)),
        ("2", None),
    ]
    # No entry speaks of a commit.
    assert found.leads == [] and found.lead_median is None


def test_measure__lead_time_begins_with_the_first_word_of_the_commit(tmp_path: Path) -> None:
    story = Story(tmp_path)
    # The pull request's head is seen on day 0 by a run that trained nothing; version 2 comes of it on day 3.
    story.validate("2", day(0), story.run("2", run_id=1))
    story.train("2", day(3))
    story.place("promotion", "2", day(4))
    (found,) = measure(story.read(), "flights").releases
    assert found.lead == timedelta(days=4)


def test_measure__a_release_before_its_commit_has_no_lead_time(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.place("promotion", "2", day(1))
    story.train("2", day(2))
    (found,) = measure(story.read(), "flights").releases
    assert found.lead is None


def test_measure__each_environment_for_itself(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.place("promotion", "1", day(0), environment="staging")
    story.place("promotion", "1", day(1))
    story.place("rollback", "0", day(2), before="1", environment="staging")
    trail = story.read()
    assert measure(trail, "flights").restores == []
    assert measure(trail, "flights", "staging").restores == [timedelta(days=2)]
    nothing = measure(trail, "flights", "nowhere")
    assert set(values(nothing).values()) == {"not known"}


def test_measure__refuses_what_cannot_be_meant(tmp_path: Path) -> None:
    trail = whole(tmp_path)
    with pytest.raises(InputError, match="nothing of the model `fligths`"):
        measure(trail, "fligths")
    with pytest.raises(InputError, match="is empty"):
        measure(trail, "flights", since=day(5), until=day(5))


def test_delivery__percentiles_by_hand() -> None:
    found = delivery(*(release(number, number * HOUR) for number in range(1, 11)))
    # Of 1 to 10 hours: the median is 5.5; the 90th percentile lies at 1 + 0.9 * 9 = 9.1.
    assert found.lead_median == 5.5 * HOUR
    seconds = [each.total_seconds() for each in found.leads]
    assert found.lead_90th is not None
    assert found.lead_90th.total_seconds() == pytest.approx(9.1 * 3600) == pytest.approx(np.quantile(seconds, 0.9))
    assert found.per_week == 5


@pytest.mark.parametrize(("count", "median", "ninetieth"), [(2, None, None), (3, HOUR, None), (9, HOUR, None)])
def test_delivery__few_events_are_not_known(count: int, median: timedelta | None, ninetieth: timedelta | None) -> None:
    found = delivery(*(release(number, HOUR, HOUR) for number in range(count)))
    assert (found.lead_median, found.restore_median, found.lead_90th) == (median, median, ninetieth)
    assert (found.change_failure is None) == (count < 3)


def test_delivery__less_than_a_week_has_no_weekly_rate() -> None:
    assert delivery(release(1, HOUR), days=6.9).per_week is None
    assert delivery(release(1, HOUR), days=7).per_week == 1


def test_delivery__nothing_is_not_known_and_never_zero() -> None:
    found = delivery()
    assert set(values(found).values()) == {"not known"}
    said = {sample.name for family in text_string_to_metric_families(prometheus([found])) for sample in family.samples}
    assert said == {f"slipway_delivery_{name}" for name in ("window_seconds", "releases", "rollbacks")}


def test_table__says_what_was_counted() -> None:
    found = delivery(*(release(number, number * 12 * HOUR, HOUR if number < 4 else None) for number in range(1, 11)))
    assert table(found).rows == (
        ("deployment frequency", "5 a week", "10 releases in 14.0 days"),
        ("lead time, median", "2.8 days", "10 lead times"),
        ("lead time, 90th percentile", "4.5 days", "10 lead times"),
        ("change-failure rate", "30% (95 % interval 11% to 60%)", "3 rolled back of 10 releases"),
        ("time to restore, median", "1.0 hours", "3 rollbacks"),
    )
    few = {str(row[0]): row[2] for row in table(delivery(release(1, HOUR))).rows}
    assert few["lead time, median"] == "1 lead times; at least 3 are needed"


@pytest.mark.parametrize(("events", "trials"), [(0, 1), (1, 3), (3, 10), (10, 10), (7, 1000)])
def test_wilson__is_that_of_the_evaluation(events: int, trials: int) -> None:
    ours, theirs = wilson(events, trials), formulas.wilson(events, trials, 0.95)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-12)


def test_wilson__published_value() -> None:
    # Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E), table I: 81 of 263.
    found = wilson(81, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_prometheus__its_own_parser_reads_the_figures() -> None:
    found = delivery(*(release(number, number * HOUR, HOUR if number < 4 else None) for number in range(1, 11)))
    hostile = delivery(release(1, HOUR), model='a"} 1\n# TYPE \\x')
    text = prometheus([found, hostile])
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    said = {
        (each.name, each.labels.get("quantile")): each.value for each in samples if each.labels["model"] == "flights"
    }
    prefix = "slipway_delivery_"
    assert said[f"{prefix}releases", None] == 10 and said[f"{prefix}rollbacks", None] == 3
    assert said[f"{prefix}frequency_per_week", None] == 5
    assert said[f"{prefix}lead_time_seconds", "0.5"] == 5.5 * 3600
    assert said[f"{prefix}lead_time_seconds", "0.9"] == pytest.approx(9.1 * 3600)
    assert said[f"{prefix}change_failure_ratio", None] == 0.3
    assert said[f"{prefix}change_failure_ratio_low", None] == wilson(3, 10).low
    assert said[f"{prefix}time_to_restore_seconds", "0.5"] == 3600
    assert {each.labels["model"] for each in samples} == {"flights", hostile.model}
    assert {each.labels["environment"] for each in samples} == {"production"}
    assert all(family.type == "gauge" for family in text_string_to_metric_families(text))
    assert prometheus([found, hostile]) == text


def test_plot__shows_every_release_and_what_failed() -> None:
    found = delivery(release(1, HOUR), release(2, 50 * HOUR, 12 * HOUR), release(3, None), model="<script>&\u202e")
    picture = plot(found)
    root = ET.fromstring(picture)
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "Releases of <script>& to production"
    assert [text for text in texts if text in ("1", "2", "3")] == ["1", "2", "3"]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3
    assert "\u202e" not in picture and plot(found) == picture


def test_plot__of_nothing_is_still_a_picture() -> None:
    assert ET.fromstring(plot(delivery())).tag.endswith("svg")


def test_table__survives_markdown() -> None:
    page = table_section(table(delivery(model="@team | <b>")))
    assert "<b>" not in page and "@team" not in page
