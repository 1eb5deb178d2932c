"""What all groups of settings have in common."""

from __future__ import annotations

from pydantic import BaseModel


class Strict(BaseModel, extra="forbid", allow_inf_nan=False):
    """Refuses names that it does not know and numbers that cannot be compared."""
