"""The four delivery figures of DORA (https://dora.dev/guides/dora-metrics-four-keys/) for one model and environment,
counted from the ledger alone. What too few events can say is not known; it is never zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import NormalDist, median, quantiles

from slipway.audit import drawing
from slipway.audit.trail import Trail
from slipway.ledger.entries import Entry
from slipway.report import Column, Table
from slipway.runner.errors import InputError

WEEK = timedelta(weeks=1)
FEWEST = 3
"""Events that a median or a share needs: of one or two it would say what the next one changes altogether."""

FEWEST_FOR_90TH = 10
"""Below it the 90th percentile would be little else than the largest value."""

CONFIDENCE = 0.95
RELEASING = ("promotion", "deployment")
CANARY = ("deployment", "promotion")
"""How a canary begins and ends."""

ROLLBACK = "rollback"


@dataclass(frozen=True)
class Release:
    """A version that came to the environment, and what became of it.

    at: when it came. committed: when the ledger first speaks of its commit; None where it does not, or only later.
    rolled_back: when it was taken back; None where it was not.
    """

    version: str
    at: datetime
    committed: datetime | None
    rolled_back: datetime | None = None

    @property
    def lead(self) -> timedelta | None:
        """From the first word of its commit to its release."""
        return self.at - self.committed if self.committed else None


@dataclass(frozen=True)
class Share:
    """A share with its interval: failures of so many releases."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Delivery:
    """The figures over a window [since, until). None where too few events are on record.

    per_week: releases a week. lead_*, restore_*: durations. change_failure: share of releases that were rolled back.
    """

    model: str
    environment: str
    since: datetime
    until: datetime
    releases: tuple[Release, ...]

    @property
    def per_week(self) -> float | None:
        """Releases divided by the weeks of the window; None for no release, or a window shorter than a week."""
        weeks = (self.until - self.since) / WEEK
        return len(self.releases) / weeks if self.releases and weeks >= 1 else None

    @property
    def leads(self) -> list[timedelta]:
        """The lead times that are on record."""
        return [each.lead for each in self.releases if each.lead is not None]

    @property
    def restores(self) -> list[timedelta]:
        """From release to rollback, of each release that was rolled back."""
        return [each.rolled_back - each.at for each in self.releases if each.rolled_back is not None]

    @property
    def lead_median(self) -> timedelta | None:
        """The median lead time."""
        return _median(self.leads)

    @property
    def lead_90th(self) -> timedelta | None:
        """The 90th percentile of the lead time."""
        return _90th(self.leads)

    @property
    def restore_median(self) -> timedelta | None:
        """The median time to restore."""
        return _median(self.restores)

    @property
    def change_failure(self) -> Share | None:
        """The share of releases that were rolled back, with Wilson's interval."""
        return wilson(len(self.restores), len(self.releases)) if len(self.releases) >= FEWEST else None


def measure(
    trail: Trail,
    model: str,
    environment: str = "production",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Delivery:
    """Count a model's releases to an environment. Times are those at which things happened (`occurred_at`).

    since, until: the window, in UTC; the whole ledger of the model where they are not given. It begins with the model's
    first entry at the earliest, so that weeks before the ledger do not dilute the frequency.

    - A release is a promotion or deployment that brings another version than the one that was there: the steps of one
      canary, and the promotion that ends it, are one release. Its time is that of its promotion, or else of its first
      deployment.
    - Lead time runs from the first entry that speaks of the version's commit (its own, or the head of the pull request
      that it was trained for). That is when the pipeline first saw the change, not when somebody began or committed
      it: the ledger does not know that, so the true lead time is longer.
    - A release failed if the version was rolled back in that environment before `until`. A bad version that nobody
      rolled back, or that a new release repaired, is not seen.
    - Time to restore runs from the release to its rollback: the ledger does not know when the harm began, so the true
      time is shorter.

    Raises InputError where the ledger has no entry of the model, or the window is empty.
    """
    times = [record.entry.occurred_at for record in trail.of(model)]
    if not times:
        known = ", ".join(trail.models())
        raise InputError(
            f"The ledger says nothing of the model `{model}`.",
            why=f"It knows the models {known}." if known else "It knows no model.",
            fix="Check `model`.",
        )
    start = max(since, min(times)) if since else min(times)
    end = until or max(times)
    if end <= start:
        raise InputError(
            f"The window from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC is empty.",
            fix="Give an end that is later than the beginning and than the model's first entry.",
        )
    # An event at the very end belongs to a window that nobody bounded.
    found = _releases(trail, model, environment, until or end + timedelta(milliseconds=1))
    return Delivery(model, environment, start, end, tuple(each for each in found if start <= each.at))


def _releases(trail: Trail, model: str, environment: str, until: datetime) -> Iterator[Release]:
    """Every release before `until`, in its order, with the rollback that ended it."""
    placings = [live for live in trail.placings(model, environment, begun=True) if live.entry.occurred_at < until]
    found: list[_Open] = []
    there = ""
    for live in placings:
        entry = live.entry
        if entry.event == ROLLBACK:
            gone = str(entry.details.get("previous_version") or there)
            ended = next((each for each in reversed(found) if each.version == gone), None)
            if ended and ended.rolled_back is None:
                ended.rolled_back = entry.occurred_at
        elif entry.event in RELEASING and live.version != there:
            found.append(_Open(live.version, entry))
        elif found and (found[-1].version, found[-1].entry.event, entry.event) == (live.version, *CANARY):
            # A version that is deployed or promoted once more keeps the time of its release.
            found[-1].entry = entry
        there = live.version
    began_by_version = _first_words(trail, model)
    for each in found:
        began, at = began_by_version.get(each.version), each.entry.occurred_at
        yield Release(each.version, at, began if began and began <= at else None, each.rolled_back)


@dataclass
class _Open:
    """A release that may still be promoted or rolled back."""

    version: str
    entry: Entry
    rolled_back: datetime | None = None


def _first_words(trail: Trail, model: str) -> dict[str, datetime]:
    """When an entry first spoke of each version's commit, in one pass."""
    first: dict[str, datetime] = {}
    commits: dict[str, set[str]] = {}
    for entry in (record.entry for record in trail.of(model)):
        named = _commits(entry)
        for commit in named:
            first[commit] = min(first.get(commit, entry.occurred_at), entry.occurred_at)
        if entry.event == "training" and entry.model_version:
            commits.setdefault(entry.model_version, set()).update(named)
    return {version: min(first[commit] for commit in named) for version, named in commits.items() if named}


def _commits(entry: Entry) -> set[str]:
    named = {subject.id for subject in entry.subjects if subject.role == "commit"}
    return {commit for commit in (*named, entry.trigger.sha) if commit}


def _median(spans: Sequence[timedelta]) -> timedelta | None:
    seconds = [span.total_seconds() for span in spans]
    return timedelta(seconds=median(seconds)) if len(seconds) >= FEWEST else None


def _90th(spans: Sequence[timedelta]) -> timedelta | None:
    """By linear interpolation between the two nearest values (type 7 of Hyndman & Fan 1996, as NumPy has it)."""
    seconds = [span.total_seconds() for span in spans]
    if len(seconds) < FEWEST_FOR_90TH:
        return None
    return timedelta(seconds=quantiles(seconds, n=10, method="inclusive")[-1])


def wilson(events: int, trials: int, confidence: float = CONFIDENCE) -> Share:
    """Wilson's score interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = events / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # At the ends rounding could leave a bound a hair outside.
    return Share(share, max(0.0, middle - half), min(1.0, middle + half))


def table(delivery: Delivery) -> Table:
    """The four figures for people."""
    count, leads, restores = len(delivery.releases), len(delivery.leads), len(delivery.restores)
    often, share = delivery.per_week, delivery.change_failure
    failed = f"{share.value:.0%} (95 % interval {share.low:.0%} to {share.high:.0%})" if share else None
    days = (delivery.until - delivery.since) / timedelta(days=1)
    in_days = f"{count} releases in {days:.1f} days"
    said = (
        ("deployment frequency", None if often is None else f"{often:.2g} a week", in_days),
        ("lead time, median", _long(delivery.lead_median), _of(leads, "lead times", FEWEST)),
        ("lead time, 90th percentile", _long(delivery.lead_90th), _of(leads, "lead times", FEWEST_FOR_90TH)),
        ("change-failure rate", failed, f"{restores} rolled back of {_of(count, 'releases', FEWEST)}"),
        ("time to restore, median", _long(delivery.restore_median), _of(restores, "rollbacks", FEWEST)),
    )
    return Table(
        title=f"Delivery of {delivery.model} to {delivery.environment}",
        columns=(Column(name="figure"), Column(name="value"), Column(name="from")),
        rows=tuple((name, value or "not known", counted) for name, value, counted in said),
        note=f"From {delivery.since:%Y-%m-%d} to {delivery.until:%Y-%m-%d}, by the ledger. Lead time begins when the "
        "pipeline first saw the commit; time to restore runs from the release to its rollback.",
    )


def _of(count: int, what: str, fewest: int) -> str:
    return f"{count} {what}" if count >= fewest else f"{count} {what}; at least {fewest} are needed"


def _long(span: timedelta | None) -> str | None:
    """A duration in its largest fitting unit, with one digit after the point."""
    if span is None:
        return None
    seconds = span.total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def plot(delivery: Delivery) -> str:
    """Every release with its lead time, and its rollback if it had one, as SVG."""
    releases = [drawing.Release(each.version, each.at, each.lead, each.rolled_back) for each in delivery.releases]
    title = f"Releases of {delivery.model} to {delivery.environment}"
    return drawing.deliveries(releases, delivery.since, delivery.until, title)


def prometheus(deliveries: Sequence[Delivery]) -> str:
    """The figures as Prometheus reads them, for the Pushgateway or the node exporter's text files.

    All are gauges over the window. What is not known has no sample: an absent figure raises no false alarm, as a zero
    would. https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    for name, (about, quantile) in GAUGES.items():
        labels = ["model", "environment", *(["quantile"] if quantile else [])]
        gauge = Gauge(f"slipway_delivery_{name}", f"{about} Absent where it is not known.", labels, registry=registry)
        for each in deliveries:
            for which, value in _samples(each)[name].items():
                if value is not None:
                    gauge.labels(each.model, each.environment, *([which] if quantile else [])).set(value)
    return generate_latest(registry).decode()


GAUGES = {
    "window_seconds": ("Length of the window.", False),
    "releases": ("Releases in the window.", False),
    "rollbacks": ("Releases of the window that were rolled back.", False),
    "frequency_per_week": ("Releases a week.", False),
    "lead_time_seconds": ("From the first entry about a version's commit to its release.", True),
    "change_failure_ratio": ("Share of releases that were rolled back.", False),
    "change_failure_ratio_low": ("Lower end of its 95 % interval (Wilson).", False),
    "change_failure_ratio_high": ("Upper end of its 95 % interval (Wilson).", False),
    "time_to_restore_seconds": ("From a release to its rollback.", True),
}
"""What each gauge says, and whether it has a label `quantile`."""


def _samples(delivery: Delivery) -> dict[str, dict[str, float | None]]:
    """Each gauge's value, by quantile where it has several."""
    share = delivery.change_failure
    return {
        "window_seconds": {"": (delivery.until - delivery.since).total_seconds()},
        "releases": {"": len(delivery.releases)},
        "rollbacks": {"": len(delivery.restores)},
        "frequency_per_week": {"": delivery.per_week},
        "lead_time_seconds": {"0.5": _seconds(delivery.lead_median), "0.9": _seconds(delivery.lead_90th)},
        "change_failure_ratio": {"": share.value if share else None},
        "change_failure_ratio_low": {"": share.low if share else None},
        "change_failure_ratio_high": {"": share.high if share else None},
        "time_to_restore_seconds": {"0.5": _seconds(delivery.restore_median)},
    }


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
