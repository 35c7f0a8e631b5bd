"""Texts from other programs, without what must not stand in a report: the runner masks secrets in its log only."""

from __future__ import annotations

import os
import re

SECRET_NAMES = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ACCOUNT_?KEY|CONNECTION_STRING|_SAS$",
    re.IGNORECASE,
)
"""Names of variables whose values must not be quoted."""

SIGNED = re.compile(
    r"\b(sig|signature|x-(?:amz|goog)-(?:signature|credential|security-token))=[^&\s\"'<>]+", re.IGNORECASE
)
"""What makes an address work without a password."""


def without_secrets(text: str) -> str:
    """`text` without the values of the environment's secrets, without signatures and passwords in addresses."""
    values = {value for name, value in os.environ.items() if SECRET_NAMES.search(name) and len(value) >= 4}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return SIGNED.sub(r"\1=***", re.sub(r"(\w://)[^/\s]*@", r"\1***@", text))
