"""How many processor threads torch may use."""

from __future__ import annotations

import torch


def steady() -> None:
    """Use one thread from here on, in this whole process.

    The network is small: a second thread gains nothing, makes a fit many times slower where another process wants that core, and splits sums
    in another order, so that the same seed would give other bytes on another machine.
    """
    torch.set_num_threads(1)
