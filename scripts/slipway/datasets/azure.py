"""Azure Blob Storage: blob versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipway.datasets import address as addresses
from slipway.datasets.address import Address
from slipway.datasets.objects import Store
from slipway.runner.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Azure(Store):
    """`az://account/container/blob?versionId=…`."""

    def place(self, address: Address) -> dict[str, Any]:
        """The address as its client takes it."""
        container, _, key = address.path.partition("/")
        if not (container and "/" in address.path):
            raise InputError(
                f"The dataset {address.text} names no container.",
                fix=f"The form is `{addresses.KNOWN[address.scheme]}`; a folder ends with `/`.",
            )
        return {"account": address.host, "bucket": container, "key": key}


STORE = Azure(
    kind="azure",
    group="azure",
    pin="versionId",
    enable="`az storage account blob-service-properties update --account-name {bucket} --enable-versioning true`",
)
