"""The policy's section `data`: one dataset, and the Spark that reads it where it is too large for the runner."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from slipway.policy.against import Against
from slipway.policy.strict import Strict

TRAINING_NAMES = ("train", "training")
"""What a policy calls the dataset that its model is trained on."""


class Dataset(Strict):
    """One dataset of the model."""

    path: str
    """File, folder or glob of parquet or CSV, relative to the repository; or a URI: `s3://`, `gs://`, `az://`,
    `lakefs://`, `hf://`."""

    schema_: str | None = Field(default=None, alias="schema")
    """Path of the pandera schema (YAML) that the dataset must satisfy, and by which files without types are read."""

    against: Against | None = None
    """What the dataset is held against beside its schema; nothing by default."""

    engine: Literal["polars", "spark"] = "polars"
    """What holds the dataset against its schema: polars on the runner, or Spark for data past one machine."""

    @property
    def stays(self) -> bool:
        """Whether Spark reads the data where they are, so that nobody need bring them to the runner."""
        return self.engine == "spark" and "://" in self.path


SPARK_TOKEN = "SLIPWAY_SPARK_TOKEN"  # noqa: S105 - the variable's name
"""Variable with the token of the Spark Connect server. The training's own command never sees it."""


class Spark(Strict):
    """The Spark of the datasets with `engine: spark`."""

    remote: str | None = None
    """Address of a Spark Connect server: `sc://host:15002`, with `/;name=value` after it what the server wants. Its
    token stands in SLIPWAY_SPARK_TOKEN. Without it Spark runs on the runner."""

    @field_validator("remote")
    @classmethod
    def _is_an_address_without_a_secret(cls, given: str | None) -> str | None:
        if given is None:
            return None
        found = re.fullmatch(
            r"sc://[\w.-]+(:\d{1,5})?(/|/;(?P<said>[\w.-]+=[^;\s]+(;[\w.-]+=[^;\s]+)*))?", given, re.ASCII
        )
        if not found:
            raise ValueError("must be `sc://host:port`, or `sc://host:port/;name=value;name=value`")
        if any(each.partition("=")[0].lower() == "token" for each in (found["said"] or "").split(";")):
            raise ValueError("must not carry the token: give it to the step as SLIPWAY_SPARK_TOKEN, from a secret")
        return given
