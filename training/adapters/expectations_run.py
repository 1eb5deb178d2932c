"""Runs checks with Great Expectations in a context that lives in memory only, and keeps its Data Docs. Import it on use: it is slow."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.adapters.expectations_docs import write_day, write_index
from training.adapters.expectations_schema import Check
from training.adapters.expectations_suites import Suite
from training.adapters.ports import Expectation, QualityReport

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext

_SITE = "data_docs"
_SAMPLES = 10


def run_suites(suites: Sequence[Suite], day: date, docs: Path) -> QualityReport:
    """Validate each suite's rows by its checks; the pages of a day replace those of an earlier run for it."""
    aside, final = docs / f".{day.isoformat()}.aside", docs / day.isoformat()
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own deprecations; ours are raised elsewhere
        context = _context(aside)
        results = {suite.title: _validate(context, suite, day) for suite in suites if suite.checks}
        context.build_data_docs(site_names=[_SITE])
    write_day(aside, day, results)
    shutil.rmtree(final, ignore_errors=True)
    aside.replace(final)
    write_index(docs)
    return QualityReport(tuple(e for found in results.values() for e in found), final / "index.html")


def _context(folder: Path) -> EphemeralDataContext:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the library is imported
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    context.add_data_docs_site(_SITE, {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}})
    return context


def _validate(context: EphemeralDataContext, wanted: Suite, day: date) -> list[Expectation]:
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier

    title = wanted.title
    batch = context.data_sources.add_pandas(title).add_dataframe_asset(title).add_batch_definition_whole_dataframe(day.isoformat())
    suite = context.suites.add(gx.ExpectationSuite(name=title, expectations=[_expectation(check) for check in wanted.checks]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=title, data=batch, suite=suite))
    result: ExpectationSuiteValidationResult = definition.run(
        batch_parameters={"dataframe": wanted.rows},
        result_format={"result_format": "COMPLETE", "partial_unexpected_count": _SAMPLES},
        run_id=RunIdentifier(run_name=day.isoformat(), run_time=datetime.combine(day, time(), UTC)),
    )
    return [_told(wanted.table.name, r) for r in result.results]


def _expectation(check: Check) -> Any:  # noqa: ANN401 - any of the library's expectation classes
    from great_expectations import expectations as gxe

    return getattr(gxe, check.kind)(**check.arguments, severity="critical" if check.critical else "warning")


def _told(table: str, result: ExpectationValidationResult) -> Expectation:
    config = result.expectation_config
    arguments: dict[str, Any] = dict(config.kwargs) if config else {}
    found: dict[str, Any] = dict(result.result or {})
    return Expectation(
        name=config.type if config else "",
        table=table,
        column=str(arguments.get("column") or ", ".join(arguments.get("column_list", ()))),
        critical=bool(config and config.severity == "critical"),
        passed=bool(result.success),
        unexpected=int(found.get("unexpected_count") or 0),
        samples=() if result.success else _samples(found, result),
    )


def _samples(found: Mapping[str, Any], result: ExpectationValidationResult) -> tuple[str, ...]:
    if found.get("partial_unexpected_list"):
        return tuple(str(value) for value in found["partial_unexpected_list"][:_SAMPLES])
    if found.get("observed_value") is not None:
        return (f"observed {found['observed_value']}",)
    raised = dict(result.exception_info or {})
    return tuple(str(e.get("exception_message", e)) if isinstance(e, dict) else str(e) for e in raised.values() if e)[:1]
