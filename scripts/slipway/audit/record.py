"""The technical record: what the ledger and the registry know, in the order of Annex IV of Regulation (EU) 2024/1689.

Every statement is a fact with its evidence. What the Annex asks for and no entry holds is named as not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slipway.audit.facts import Fact
from slipway.report.markdown import code, escape

NO_STATEMENT = (
    "This is evidence, generated from the ledger and the model registry. It is no statement of conformity: it does not "
    "say that any law or standard is met. What is not known here may be documented elsewhere."
)


@dataclass(frozen=True)
class Point:
    """A point of the Annex. facts: sections, or a section and the beginnings of claims. unrecorded: what else it asks
    for, and no kind of entry holds."""

    number: str
    asks: str
    facts: tuple[str | tuple[str, ...], ...] = ()
    unrecorded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """One of the nine numbers of the Annex."""

    number: int
    title: str
    points: tuple[Point, ...]


ANNEX_IV = (
    Chapter(
        1,
        "General description",
        (
            Point("a", "Purpose, provider and version", ("Identity",), ("the intended purpose", "the provider's name")),
            Point("b", "Interaction with other hardware and software", (), ("what the system interacts with",)),
            Point("c", "Versions of relevant software", (("Environment", "lock", "hashes", "Python", "packages"),)),
            Point("d", "Forms in which it is put into service", ("Packaging",)),
            Point("e", "Hardware that it is intended to run on", (), ("the intended hardware",)),
            Point("f", "Illustrations of the product that it is part of", (), ("any product or illustration",)),
            Point("g", "User interface for the deployer", (), ("the user interface",)),
            Point("h", "Instructions for use", (), ("the instructions for use",)),
        ),
    ),
    Chapter(
        2,
        "Elements of the system and their development",
        (
            Point(
                "a",
                "Methods and steps of the development",
                (
                    "Code",
                    "Parameters",
                    ("Training", "result", "reason", "run", "model that", "started", "finished", "digest"),
                ),
                ("tools of third parties, and how they were used",),
            ),
            Point("b", "Design: logic, choices, assumptions, trade-offs", (), ("the design and its rationale",)),
            Point(
                "c",
                "Architecture and computing resources",
                (("Environment", "machine", "container"), ("Training", "duration", "peak")),
                ("the system's architecture",),
            ),
            Point(
                "d",
                "Data",
                ("Data", "Validation"),
                ("how the data were obtained and selected", "labelling and cleaning"),
            ),
            Point("e", "Human oversight", (("Approvals", "approv", "justification", "override", "reason", "self"),)),
            Point("f", "Changes that were determined beforehand", (), ("the pre-determined changes",)),
            Point(
                "g",
                "Validation and testing: procedures, metrics, dated and signed reports",
                ("Policy", "Evaluation", "Signature"),
            ),
            Point("h", "Cybersecurity", (("Environment", "lock"),), ("the cybersecurity measures",)),
        ),
    ),
    Chapter(
        3,
        "Monitoring, functioning and control",
        (
            Point(
                "",
                "Capabilities and limits, oversight, input data",
                ("Releases", ("Operation", "look", "drift", "result")),
                ("foreseeable unintended outcomes and sources of risk", "accuracy for particular groups of persons"),
            ),
        ),
    ),
    Chapter(
        4,
        "Appropriateness of the performance metrics",
        (Point("", "Why these metrics", (("Policy", "policy"),), ("the reasons for the choice of metrics",)),),
    ),
    Chapter(
        5,
        "Risk management (Article 9)",
        (Point("", "The system", (("Approvals", "risk"),), ("the risk management system",)),),
    ),
    Chapter(6, "Changes through the lifecycle", (Point("", "This version's change", ("Justification", "Releases")),)),
    Chapter(
        7,
        "Harmonised standards",
        (Point("", "Those applied, or other solutions", (), ("any standard that was applied",)),),
    ),
    Chapter(8, "EU declaration of conformity", (Point("", "A copy of it", (), ("any declaration of conformity",)),)),
    Chapter(
        9,
        "Evaluation after placing on the market (Article 72)",
        (Point("", "The system and its plan", ("Operation",), ("the post-market monitoring plan",)),),
    ),
)


def technical_record(facts: Sequence[Fact], *, title: str, as_of: str) -> str:
    """The record as Markdown."""
    parts = [f"# {escape(title)}", escape(NO_STATEMENT), escape(as_of)]
    for chapter in ANNEX_IV:
        parts.append(f"## {chapter.number}. {escape(chapter.title)}")
        for point in chapter.points:
            if point.number:
                parts.append(f"### {chapter.number}({point.number}) {escape(point.asks)}")
            parts.append("\n".join(_lines(point, facts)))
    parts += ["## Entries of the ledger", "\n".join(_statement(each) for each in facts if each.section == "Records")]
    return "\n\n".join(parts) + "\n"


def _lines(point: Point, facts: Sequence[Fact]) -> Iterator[str]:
    for each in facts:
        if any(_chosen(each, wanted) for wanted in point.facts):
            yield _statement(each)
    for what in point.unrecorded:
        yield f"- {escape(what[0].upper() + what[1:])}: **Not known.** No kind of entry records it."


def _chosen(fact: Fact, wanted: str | tuple[str, ...]) -> bool:
    if isinstance(wanted, str):
        return fact.section == wanted
    return fact.section == wanted[0] and fact.claim.startswith(wanted[1:])


def _statement(fact: Fact) -> str:
    said = "**Not known**" if fact.value is None else _shown(fact.value)
    return f"- {escape(fact.claim[:1].upper() + fact.claim[1:])}: {said} ({escape(fact.evidence)})"


def _shown(value: str) -> str:
    """A digest, address or other long word as code: it is there to be copied."""
    return code(value) if len(value) > 20 and not re.search(r"\s", value) else escape(value)
