"""Wires the real adapters. The only place where a profile's choice of tools is made; steps see the ports alone."""

from __future__ import annotations

from training.adapters.dbt_warehouse import DbtWarehouse
from training.adapters.expectations import ExpectationsGate
from training.adapters.experiments import SqlExperiments
from training.adapters.feast_store import FeastStore
from training.adapters.landing import FileLanding
from training.adapters.ledger import SqlLedger
from training.adapters.log_export import LoggedLanding
from training.adapters.ports import Platform
from training.adapters.registry import MlflowRegistry
from training.config.settings import Settings


def platform(settings: Settings) -> Platform:
    """Adapters for `settings`. Cheap: each one imports its tool when it is first used."""
    return Platform(
        landing=LoggedLanding(FileLanding(settings), settings),
        warehouse=DbtWarehouse(settings),
        quality=ExpectationsGate(settings),
        features=FeastStore(settings),
        registry=MlflowRegistry(settings),
        ledger=SqlLedger(settings.ledger_url),
        experiments=SqlExperiments(settings.ledger_url),
    )
