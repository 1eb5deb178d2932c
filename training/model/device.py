"""Where tensors are trained. Models are saved and served on the CPU, wherever they were trained."""

from __future__ import annotations

import torch

from training.domain.errors import ConfigError

CPU = torch.device("cpu")


def device(name: str) -> torch.device:
    """`auto` is the accelerator where torch sees one, else the CPU; other names are torch's own. ConfigError for one that is not here or computes nothing."""
    if name == "auto":
        return (torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None) or CPU
    try:
        found = torch.device(name)
        torch.zeros(1, device=found).item()  # `meta` makes tensors without values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        told = str(error).splitlines()[0]
        raise ConfigError(
            f"Training cannot run on the device {name!r} here ({told}), so nothing was trained. Use auto, cpu, or one that torch sees."
        ) from error
    return found
