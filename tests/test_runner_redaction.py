"""What must not be quoted from other programs."""

from __future__ import annotations

import pytest

from slipway.runner import redaction


def test_without_secrets__values_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "geheim")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim-und-lang")
    monkeypatch.setenv("EMPTY_TOKEN", "")
    text = "401 for geheim and geheim-und-lang at https://user:pa55@host/x and sqlite:////a@b/c.db"
    assert redaction.without_secrets(text) == "401 for *** and *** at https://***@host/x and sqlite:////a@b/c.db"


def test_without_secrets__signatures_and_connection_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=k==")
    text = (
        "GET /b/k?versionId=7&X-Amz-Signature=abc&X-Amz-Credential=def&x=1 and ?sv=1&sig=a%2Fb' "
        "with AccountName=a;AccountKey=k=="
    )
    assert redaction.without_secrets(text) == (
        "GET /b/k?versionId=7&X-Amz-Signature=***&X-Amz-Credential=***&x=1 and ?sv=1&sig=***' with ***"
    )
