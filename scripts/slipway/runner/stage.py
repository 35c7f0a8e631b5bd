"""Runs one stage: reads its inputs, does its work, and turns every failure into one annotation and an exit code."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from slipway.runner import commands, context, inputs
from slipway.runner.errors import SlipwayError

T = TypeVar("T")

PASSED, REFUSED, DEFECT = 0, 1, 2
CANCELLED = 130


def run(
    main: Callable[[T], None],
    inputs_type: type[T],
    environ: Mapping[str, str] | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Call `main` with the stage's inputs and return the exit code of the step.

    0: the stage did its work and no gate objects. 1: a verdict, or something that the user can mend. 2: our defect.
    """
    # To look through all modules for what could be freed takes Python half a second at its end, where MLflow is used.
    atexit.register(gc.freeze)
    # A cancelled workflow sends SIGINT, then SIGTERM 7.5 s later; both must run the `finally` blocks. A shell starts
    # its background jobs with SIGINT ignored, so Python's own handler may not be there.
    signal.signal(signal.SIGINT, _cancel)
    signal.signal(signal.SIGTERM, _cancel)
    try:
        # Reports and comments carry any language, whatever the machine's locale is.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="replace")
        context.export_credentials(os.environ)
        context.keep_out_of_git()
        given = inputs.read(
            inputs_type,
            os.environ if environ is None else environ,
            sys.argv[1:] if argv is None else argv,
        )
        main(given)
    except SlipwayError as failure:
        commands.report_error(failure)
        return REFUSED
    except KeyboardInterrupt:
        commands.warning("Cancelled: the stage stopped before its end.")
        return CANCELLED
    except Exception as defect:  # the one place that may catch everything: it decides the exit code
        with commands.group("Traceback"), commands.commands_stopped():
            traceback.print_exc(file=sys.stdout)
        commands.error(
            f"Defect in Slipway: {type(defect).__name__}: {defect}\n"
            "What to do: this is not your fault. Open an issue with the traceback in the log above.",
            title="Slipway",
        )
        return DEFECT
    return PASSED


def _cancel(_signal: int, _frame: Any) -> None:
    # The second signal must not break off what the first one started; a person at a keyboard can still insist.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
