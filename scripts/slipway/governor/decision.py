"""From all rules' answers to one decision."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from slipway.governor import rules
from slipway.governor.facts import Facts, Unknown
from slipway.governor.rules import Ruling
from slipway.policy.retraining import Retraining as Policy
from slipway.report import Check, Column, Table, Verdict

SAYS = {"go": "go", "hold": "hold", "unknown": "not known"}


@dataclass(frozen=True)
class Decision:
    """What is to be done, and what every rule said.

    deciding: the rule that held; None where all let it go. verdict: pass where it was decided, inconclusive where what
    would have to be known was not: a retraining is held then as well.
    """

    action: Literal["dispatch", "hold"]
    verdict: Verdict
    rulings: tuple[Ruling, ...]
    deciding: Ruling | None
    generation: int

    @property
    def sentence(self) -> str:
        """The decision in one line."""
        if self.deciding is None:
            return f"Retrain. {self.rulings[0].because}"
        return f"Hold ({self.deciding.rule}). {self.deciding.because}"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every rule: a pass where it could be answered, whatever the answer."""
        return tuple(
            Check(
                name=each.rule,
                verdict=Verdict.INCONCLUSIVE if each.answer == "unknown" else Verdict.PASS,
                detail=f"{SAYS[each.answer]}: {each.because}",
                values={"answer": each.answer, **each.values},
            )
            for each in self.rulings
        )

    @property
    def table(self) -> Table:
        """Every rule with its reason, for people."""
        columns = (Column(name="rule"), Column(name="says"), Column(name="because"))
        rows = tuple((each.rule, SAYS[each.answer], each.because) for each in self.rulings)
        return Table(title="What each rule says", columns=columns, rows=rows)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every rule's reason in one line, the deciding one first."""
        first = [self.deciding] if self.deciding else []
        ordered = [*first, *(each for each in self.rulings if each is not self.deciding)]
        return tuple(f"{each.rule} ({SAYS[each.answer]}): {each.because}" for each in ordered)

    @property
    def evidence(self) -> bytes:
        """The decision as JSON, with the numbers behind every rule."""
        rulings = [{**asdict(each), "values": dict(each.values)} for each in self.rulings]
        said = {"action": self.action, "verdict": self.verdict, "generation": self.generation, "rules": rulings}
        return json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False).encode(errors="replace") + b"\n"

    def stopped(self, rule: str, because: str) -> Decision:
        """The decision to start nothing after all, for a reason that no rule knows of."""
        ruling = Ruling(rule, "unknown", because)
        return replace(
            self, action="hold", verdict=Verdict.INCONCLUSIVE, deciding=ruling, rulings=(*self.rulings, ruling)
        )


def decide(facts: Facts, policy: Policy) -> Decision:
    """Ask every rule. A retraining goes only where all let it go.

    The first rule that says *hold* decides; where none does, the first that could not be answered. So what is certain
    counts before what is not known.
    """
    rulings = rules.ask_all(facts, policy)
    holds = [each for each in rulings if each.answer == "hold"]
    unknown = [each for each in rulings if each.answer == "unknown"]
    deciding = next(iter([*holds, *unknown]), None)
    verdict = Verdict.INCONCLUSIVE if unknown and not holds else Verdict.PASS
    next_one = 0 if isinstance(facts.history, Unknown) else rules.generation(facts, facts.history, policy)
    return Decision("hold" if deciding else "dispatch", verdict, rulings, deciding, next_one)
