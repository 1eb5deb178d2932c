"""Names by which the registry points to versions."""

from __future__ import annotations

CHAMPION = "champion"
"""In charge."""
CHALLENGER = "challenger"
"""Trained last; the one that an experiment tries stands in the ledger."""
PREVIOUS = "previous"
"""The champion that the last promotion replaced."""
ANCHOR = "anchor"
"""What the holdback gets, and what a champion that does harm is replaced by."""
