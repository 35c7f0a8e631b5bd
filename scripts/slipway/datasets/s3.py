"""Amazon S3, and what speaks its protocol (MinIO, Ceph, R2): object versions."""

from __future__ import annotations

from slipway.datasets.objects import Store

STORE = Store(
    kind="s3",
    group="s3",
    pin="versionId",
    enable="`aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`",
)
