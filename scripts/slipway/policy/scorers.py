"""The policy's section `evaluation.scorers`: how the texts of a language model are scored."""

from __future__ import annotations

import re
from typing import Self

from pydantic import StrictBool, model_validator

from slipway.policy.strict import Strict

BUILT_IN_SCORERS = {
    "exact_match": True,
    "token_f1": True,
    "regex": True,
    "json_valid": True,
    "refusal": False,
    "leak": False,
}
"""Whether more is better, by name."""


class Scorer(Strict):
    """How the texts of a language model are scored: a number for each row, whose mean is the metric."""

    use: str
    """A built-in (`exact_match`, `token_f1`, `regex`, `json_valid`, `refusal`, `leak`), or `module:function` of a file
    beside the policy."""

    pattern: str | None = None
    """For `regex`: what a text must hold. For `refusal` and `leak`: what counts as one besides the known forms."""

    greater_is_better: StrictBool | None = None
    """Direction of a function of your own, true by default; built-ins know theirs."""

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        own = re.fullmatch(r"[A-Za-z_]\w*:[A-Za-z_]\w*", self.use) is not None
        if not own and self.use not in BUILT_IN_SCORERS:
            raise ValueError(
                f"`{self.use}` is no scorer: take one of {', '.join(BUILT_IN_SCORERS)}, or `module:function`"
            )
        if self.greater_is_better is not None and not own:
            raise ValueError(f"the direction of `{self.use}` is known: leave `greater_is_better` out")
        if self.use == "regex" and self.pattern is None:
            raise ValueError("`use: regex` needs `pattern`")
        if self.pattern is not None and self.use not in ("regex", "refusal", "leak"):
            raise ValueError(f"`{self.use}` takes no `pattern`")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"`pattern` is no regular expression: {error}") from None
        return self
