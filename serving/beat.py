"""What is done again and again by a thread of its own, and a last time at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from serving.logs import say


class Beat:
    """Calls `act` every so many `seconds` once it was started; what it raises is said in the log, and ends nothing."""

    def __init__(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        self._name, self._seconds, self._act = name, seconds, act
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Return when it was done for the last time."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._once()
        self._once()

    def _once(self) -> None:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - the next time may do
            say("trouble", part=self._name, error=f"{type(error).__name__}: {error}")
