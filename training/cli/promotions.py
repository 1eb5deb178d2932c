"""`promotions`: the page of promotions as one HTML file, to open or to send by mail."""

from __future__ import annotations

from pathlib import Path


def promotions(out: Path | None) -> int:
    """Write it at `out`, by default beside the reports, and print where."""
    from training.adapters.promotions_page import write_promotions
    from training.bootstrap import platform
    from training.config.settings import load_settings
    from training.steps.in_charge import moment

    settings = load_settings()
    print(write_promotions(settings, platform(settings), moment(settings), out))
    return 0
