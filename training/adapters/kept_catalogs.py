"""The catalogs that the log keeps beside the arms' features, by the version that decisions note."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine, select

from training.adapters.log_engine import reading
from training.adapters.log_tables import arms_table
from training.domain.catalog import Catalog
from training.domain.errors import DataError


def kept_catalog(engine: Engine, version: str) -> Catalog | None:
    """That of `version`; None where the log does not have it. Raises as `read`."""
    with reading(engine) as connection:
        content = connection.execute(select(arms_table.c.content).where(arms_table.c.version == version)).scalar()
    return None if content is None else read(content)


def read(content: str) -> Catalog:
    """A catalog from its JSON. Raises DataError for what is none."""
    try:
        return msgspec.json.decode(content, type=Catalog)
    except msgspec.MsgspecError as error:
        raise DataError(f"The catalog that the log keeps for a decision is damaged: {error}. Restore the log from a backup.") from error
