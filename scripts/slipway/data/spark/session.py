"""The Spark that does the work: one of this process (local mode), or a server reached by Spark Connect."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from slipway.policy.dataset import SPARK_TOKEN
from slipway.runner.errors import InputError, RemoteError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SETTINGS = {
    # What polars does, too: numbers wrap around, and two columns may differ by the case of a letter alone.
    "spark.sql.ansi.enabled": "false",
    "spark.sql.caseSensitive": "true",
    "spark.sql.session.timeZone": "UTC",
    # A column of days in the names of folders is one of days.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "true",
}
LOCAL_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.showConsoleProgress": "false",
    # Else every piece of an expression is made with a look at the stack, to be named in an error.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # On one machine a shuffle into 200 parts costs more than what is shuffled.
    "spark.sql.shuffle.partitions": "8",
}


@cache
def at(remote: str) -> SparkSession:
    """The session on the server at `remote` (`sc://host:port`), or where it is empty in this process; one for all.

    Raises InputError where Spark cannot start here, RemoteError where the server does not answer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what PySpark says of the versions of other packages
        session = _connected(remote) if remote else _local()
    atexit.register(session.stop)
    return session


def _local() -> SparkSession:
    from pyspark.sql import SparkSession

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # Else its workers are the first `python3` on the path, which knows nothing of what a profile needs.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[*]").appName("slipway")
    for name, value in {**LOCAL_SETTINGS, **SETTINGS}.items():
        builder = builder.config(name, value)
    try:
        session: SparkSession = builder.getOrCreate()
    except Exception as error:  # py4j and PySpark raise whatever stopped the Java process
        raise InputError(
            "Spark does not start on this machine.",
            why=first_line(error),
            fix="Spark needs Java 17 or newer: put actions/setup-java before this step. Or name a Spark Connect "
            "server under `spark.remote` of the policy.",
        ) from error
    session.sparkContext.setLogLevel("OFF")
    return session


def _connected(remote: str) -> SparkSession:
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession

    channel = DefaultChannelBuilder(remote)
    if token := os.environ.get(SPARK_TOKEN):
        channel.set(DefaultChannelBuilder.PARAM_TOKEN, token)
    try:
        session: SparkSession = SparkSession.builder.channelBuilder(channel).getOrCreate()
        for name, value in SETTINGS.items():
            session.conf.set(name, value)
    except Exception as error:  # gRPC and PySpark raise whatever stood in the way
        raise RemoteError(
            f"The Spark Connect server {remote} does not answer.",
            why=first_line(error),
            fix=f"Check `spark.remote` of the policy, that the runner reaches it, and the token in {SPARK_TOKEN}.",
        ) from error
    return session


def functions_for(frame: Any) -> Any:
    """PySpark's functions of columns for this frame: those of a server are a module of their own."""
    if _is_remote(frame):
        from pyspark.sql.connect import functions as remote

        return remote
    from pyspark.sql import functions

    return functions


def window_for(frame: Any) -> Any:
    """PySpark's `Window` for this frame."""
    if _is_remote(frame):
        from pyspark.sql.connect.window import Window as Remote

        return Remote
    from pyspark.sql import Window

    return Window


def _is_remote(frame: Any) -> bool:
    return type(frame).__module__.startswith("pyspark.sql.connect")


def first_line(error: BaseException) -> str:
    """What Spark says, without the plan and the Java traces that it adds."""
    said = getattr(error, "desc", None) or str(error) or type(error).__name__
    return str(said).strip().splitlines()[0][:300]
