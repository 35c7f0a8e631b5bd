"""The rules, each by itself. Every rule is asked, also after one that holds, and every answer has its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from slipway.governor import keys
from slipway.governor.facts import SETTLING, Facts, History, Unknown, Window
from slipway.policy.retraining import Retraining as Policy
from slipway.report import Report, Verdict
from slipway.report.model import Value

Answer = Literal["go", "hold", "unknown"]
DAY = timedelta(days=1)
QUALITY = "quality"
"""Role of a check of the drift report on the data themselves: its failure blocks, as that of validate-data does."""

AHEAD = timedelta(hours=1)
"""How far a report's clock may be ahead of ours."""


@dataclass(frozen=True)
class Ruling:
    """What one rule says. values: the numbers behind it, for machines."""

    rule: str
    answer: Answer
    because: str
    values: Mapping[str, Value] = field(default_factory=dict)


Said = tuple[Answer, str, dict[str, Value]]


def found(facts: Facts, policy: Policy) -> Said:
    """Whether the report found drift, of a kind that counts."""
    drift = facts.drift
    failed = [check for check in drift.checks if check.verdict is Verdict.FAIL]
    roles = sorted(keys.failed_roles(drift) - {QUALITY})
    values: dict[str, Value] = {"verdict": drift.verdict.value, "failed": len(failed), "roles": ", ".join(roles)}
    if drift.verdict is Verdict.INCONCLUSIVE:
        return "unknown", f"The drift report is inconclusive: {_headline(drift)}", values
    if drift.verdict is Verdict.PASS:
        return "hold", f"No drift was found: {_headline(drift)}", values
    if roles and not set(roles) & set(policy.causes):
        wanted = ", ".join(policy.causes)
        return "hold", f"Drift was found in {', '.join(roles)}, and the policy's causes are {wanted}.", values
    return "go", f"Drift was found: {_headline(drift)}", values


def fresh(facts: Facts, policy: Policy) -> Said:
    """Whether the report is of now: a job that is run again weeks later delivers an old one."""
    age = facts.now - facts.drift.started
    limit = policy.max_report_age_hours
    values: dict[str, Value] = {"age_hours": _hours(age), "max_report_age_hours": limit}
    if -age > AHEAD:
        return "unknown", f"The drift report says that it was made in {_lasting(-age)}: a clock is wrong.", values
    if age > timedelta(hours=limit):
        return "hold", f"The drift report is {_lasting(age)} old; the limit is {limit:g} h.", values
    return "go", f"The drift report is {_lasting(max(age, timedelta()))} old; the limit is {limit:g} h.", values


def data_quality(facts: Facts, policy: Policy) -> Said:
    """Whether the data are good: what a broken delivery looks like must be mended, not learned."""
    doubted = [check for check in facts.drift.checks if keys.role_of(check) == QUALITY]
    bad = [check.name for check in doubted if check.verdict is Verdict.FAIL]
    open_ones = [check.name for check in doubted if check.verdict is Verdict.INCONCLUSIVE]
    report = facts.validation
    values: dict[str, Value] = {"validation": report.verdict.value if report else None, "bad_checks": len(bad)}
    if report and report.verdict is Verdict.FAIL:
        return "hold", f"The data are not valid: {_headline(report)}", values
    if bad:
        return "hold", f"The drift report doubts the data: {', '.join(bad[:5])}.", values
    if open_ones:
        return "unknown", f"The drift report could not tell whether the data are good: {open_ones[0]}.", values
    if report and report.verdict is Verdict.INCONCLUSIVE:
        return "unknown", f"Whether the data are valid is open: {_headline(report)}", values
    if report:
        return "go", f"The data are valid: {_headline(report)}", values
    if policy.data_quality == "required":
        return (
            "unknown",
            "Whether the data are valid is not known: no report of validate-data was given (`validation-report`).",
            values,
        )
    return "go", "No report of validate-data was given, and the policy asks for none.", values


def persistent(facts: Facts, policy: Policy, history: History) -> Said:
    """Whether drift of a kind that counts was found often enough, in what the present version saw."""
    wanted, of = policy.persistence.drifted, policy.persistence.windows
    version = keys.production_among(facts.drift.subjects)
    this = Window(facts.window, facts.drift.verdict, frozenset(keys.failed_roles(facts.drift)), version)
    earlier = [each for each in history.windows if each.name != this.name and _same(each.production, version)]
    newest = [*earlier, this][-of:]
    drifted = sum(_counts(each, policy) for each in newest)
    values: dict[str, Value] = {"drifted": drifted, "looked_at": len(newest), "wanted": wanted, "windows": of}
    said = f"{drifted} of the newest {len(newest)} windows drifted; the policy asks for {wanted} of {of}."
    if not earlier and wanted > 1:
        said += " No earlier window is on record: record-reports puts drift reports there."
    if facts.drift.verdict is Verdict.INCONCLUSIVE and drifted == wanted - 1:
        return "unknown", f"{said} This one is inconclusive.", values
    return ("go" if drifted >= wanted else "hold"), said, values


def _same(production: str, other: str) -> bool:
    return not (production and other) or production == other


def _counts(window: Window, policy: Policy) -> bool:
    """Whether a window drifted in one of the policy's causes: a broken delivery is none, and what does not say in what
    it drifted counts."""
    return window.verdict is Verdict.FAIL and (not window.roles or bool(window.roles & set(policy.causes)))


def new(facts: Facts, _policy: Policy, history: History) -> Said:
    """Whether this drift has set off no retraining yet."""
    # One that is open may have started nothing: it is in flight until that is known.
    same = [each for each in history.retrainings if each.key == facts.key and each.state != "open"]
    values: dict[str, Value] = {"key": facts.key, "run_id": same[-1].run_id if same else None}
    if not same:
        return "go", "This drift has set off no retraining yet.", values
    doubt = "" if same[-1].state == "made" else " or may have set one off"
    return "hold", f"This drift has set off a retraining already{doubt}, on {_moment(same[-1].at)}.", values


def none_in_flight(facts: Facts, policy: Policy, history: History) -> Said:
    """Whether no retraining of the model is under way."""
    waiting = [each for each in history.retrainings if each.state == "open" or facts.now - each.at < SETTLING]
    if waiting:
        last = waiting[-1]
        what = "was decided" if last.state == "open" else "was started"
        said = f"A retraining {what} on {_moment(last.at)}, and GitHub may not show its run yet."
        return "hold", said, {"in_flight": len(waiting), "run_id": last.run_id}
    if isinstance(facts.in_flight, Unknown):
        return "unknown", f"Whether a retraining is under way is not known: {facts.in_flight.why}", {"in_flight": None}
    # A run whose title has no key may be anybody's, so also this model's.
    ours = [each for each in facts.in_flight if not each.key or each.key.startswith(keys.prefix(facts.model))]
    values: dict[str, Value] = {"in_flight": len(ours), "run_id": ours[0].run_id if ours else None}
    if ours:
        known = "" if ours[0].key else " (its title has no key, so it may be of this model)"
        return "hold", f"Run {ours[0].run_id} of {policy.workflow} is {ours[0].status}{known}.", values
    return "go", "No retraining of the model is under way.", values


def generation(facts: Facts, history: History, policy: Policy) -> int:
    """One more than that of the retraining which this one follows from: the one that started this run, or the model's
    last one, if that was not long ago and no person has looked since."""
    last = history.retrainings[-1] if history.retrainings else None
    follows = last is not None and facts.now - last.at < timedelta(days=policy.generation_days)
    if last and history.reviewed and history.reviewed > last.at:
        follows = False
    return 1 + max(facts.caused_by, last.generation if last and follows else 0)


def generations(facts: Facts, policy: Policy, history: History) -> Said:
    """Whether a person has looked often enough: retrainings must not feed on each other."""
    this, most = generation(facts, history, policy), policy.generations
    values: dict[str, Value] = {"generation": this, "generations": most}
    if this > most:
        return (
            "hold",
            f"{most} retrainings followed from each other, and the policy allows no more before a person has looked.",
            values,
        )
    return "go", f"It is retraining {this} of at most {most} that follow from each other.", values


def cooled_down(facts: Facts, policy: Policy, history: History) -> Said:
    """Whether the last retraining is long enough ago."""
    wait = timedelta(hours=policy.cooldown_hours)
    return _waited(facts, history, wait, f"the cooldown is {policy.cooldown_hours:g} h", {})


def within_budget(facts: Facts, policy: Policy, history: History) -> Said:
    """Whether the last 24 hours had few enough retrainings."""
    spent = [each for each in history.retrainings if facts.now - each.at < DAY]
    values: dict[str, Value] = {"spent": len(spent), "per_day": policy.per_day}
    said = f"{len(spent)} of {policy.per_day} retrainings of 24 hours were used"
    if len(spent) >= policy.per_day:
        free = spent[-policy.per_day].at + DAY
        return "hold", f"{said}; the next is free on {_moment(free)}.", values
    return "go", f"{said}.", values


def backed_off(facts: Facts, policy: Policy, history: History) -> Said:
    """Whether the wait is long enough after retrainings that did not help."""
    in_vain = 0
    for each in reversed(history.retrainings):
        if each.helped:
            break
        in_vain += 1
    if not in_vain:
        return "go", "The last retraining helped." if history.retrainings else "There was none before.", {"in_vain": 0}
    longest = timedelta(days=policy.back_off.max_days)
    wait = longest
    # The power of a long row would be larger than any number that a time can hold.
    if in_vain < 64:
        hours = min(policy.cooldown_hours * policy.back_off.factor**in_vain, longest / timedelta(hours=1))
        wait = max(timedelta(hours=hours), timedelta(hours=policy.cooldown_hours))
    said = f"the last {in_vain} did not help ({history.retrainings[-1].result}), so the wait is {_lasting(wait)}"
    return _waited(facts, history, wait, said, {"in_vain": in_vain})


def _waited(facts: Facts, history: History, wait: timedelta, why: str, more: dict[str, Value]) -> Said:
    values: dict[str, Value] = {"wait_hours": _hours(wait), **more}
    if not history.retrainings:
        return "go", "There was none before.", values
    last = history.retrainings[-1].at
    since = facts.now - last
    values["since_hours"] = _hours(since)
    said = f"The last retraining was {_lasting(max(since, timedelta()))} ago; {why}"
    if since < wait:
        return "hold", f"{said}, until {_moment(last + wait)}.", values
    return "go", f"{said}.", values


WITHOUT_HISTORY: dict[str, Callable[[Facts, Policy], Said]] = {
    "drift": found,
    "age": fresh,
    "data quality": data_quality,
}
WITH_HISTORY: dict[str, Callable[[Facts, Policy, History], Said]] = {
    "persistence": persistent,
    "duplicate": new,
    "in flight": none_in_flight,
    "generation": generations,
    "cooldown": cooled_down,
    "budget": within_budget,
    "back-off": backed_off,
}
ORDER = (*WITHOUT_HISTORY, *WITH_HISTORY)
"""The rules in the order in which they decide."""


def ask_all(facts: Facts, policy: Policy) -> tuple[Ruling, ...]:
    """Every rule's answer, in the order in which they decide."""
    rulings = [Ruling(name, *rule(facts, policy)) for name, rule in WITHOUT_HISTORY.items()]
    for name, with_history in WITH_HISTORY.items():
        if isinstance(facts.history, Unknown):
            rulings.append(Ruling(name, "unknown", f"The ledger was not read: {facts.history.why}"))
        else:
            rulings.append(Ruling(name, *with_history(facts, policy, facts.history)))
    return tuple(rulings)


def _headline(report: Report) -> str:
    return report.headline or f"{report.stage} says {report.verdict.value}."


def _hours(time: timedelta) -> float:
    return round(time / timedelta(hours=1), 3)


def _lasting(time: timedelta) -> str:
    hours = time / timedelta(hours=1)
    if hours < 1:
        return f"{time / timedelta(minutes=1):.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
