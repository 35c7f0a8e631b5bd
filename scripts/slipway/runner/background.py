"""Work that goes on beside the caller's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """One call in a thread of its own, begun at once. No exit waits for it: a cancelled stage ends at once, too."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._done: Future[T] = Future()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def result(self) -> T:
        """What the call returned, or raised, once it has."""
        return self._done.result()

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._done.set_result(work())
        except BaseException as error:  # whatever it is, it belongs to whom waits for the result
            self._done.set_exception(error)
