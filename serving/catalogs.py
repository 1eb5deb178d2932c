"""The catalog under which a decision was taken, kept once beside the log: what a product is worth today changes nothing about a decision of yesterday."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import msgspec

from training.domain.catalog import Catalog
from training.domain.served import NOTED_CATALOG

NOTE = NOTED_CATALOG
"""Under which a decision notes the version."""


class Kept(NamedTuple):
    """A catalog as the log keeps it; its `version` is a digest of its `content`."""

    version: str
    content: str


def kept(catalog: Catalog) -> Kept:
    """`catalog` as JSON."""
    content = msgspec.json.encode(catalog)
    return Kept(f"catalog-{sha256(content).hexdigest()[:16]}", content.decode())
