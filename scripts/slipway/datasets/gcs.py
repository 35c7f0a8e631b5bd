"""Google Cloud Storage: object generations. Every object has one, also in a bucket that keeps no older ones."""

from __future__ import annotations

from slipway.datasets.objects import Store

STORE = Store(
    kind="gcs", group="gcs", pin="generation", enable="`gcloud storage buckets update gs://{bucket} --versioning`"
)
