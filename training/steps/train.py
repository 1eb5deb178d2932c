"""`train`: fit a challenger on the members that are not held out, measure it on those that are, and register it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pandas as pd

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import CHALLENGER
from training.domain.catalog import Catalog, load_catalog
from training.domain.errors import NotReadyError
from training.domain.nouns import Label

if TYPE_CHECKING:
    from training.model.calibration import Calibration
    from training.model.matching import MatchingModel


@dataclass(frozen=True)
class TrainReport:
    """`rows` were learned from, `holdout_rows` were not; `errors` is the calibration error of each label on the latter."""

    version: str
    rows: int
    holdout_rows: int
    parameters: int
    seconds: float
    errors: dict[str, float]
    path: Path


def run(day: date, settings: Settings, platform: Platform) -> TrainReport:
    """Write `model/` of the run of `day` and register it as `challenger`. The same day, data and seed give the same bytes and the same version.

    Raises NotReadyError without a training set, without train members, or while no label has matured, DataError if the set lacks columns.
    """
    from training.model.fit import fit
    from training.model.split import is_holdout
    from training.model.threads import steady
    from training.model.width import ROWS, with_width

    steady()
    started = monotonic()
    path = settings.run_dir(day.isoformat()) / "training_set.parquet"
    frame = read(path)
    catalog = load_catalog(settings.catalog)
    held = is_holdout(frame["member_id"], settings.training.holdout)
    learned, unseen = frame[~held].reset_index(drop=True), frame[held].reset_index(drop=True)
    about = described(day, settings, frame, unseen)
    some = with_menus(path, frame, ROWS)
    del frame  # what follows needs its two halves only, and no third copy
    print(f"Training on {len(learned):,} decisions of {learned['member_id'].nunique():,} members; {len(unseen):,} decisions are held out.", flush=True)
    model = fit(learned, catalog, settings.training, settings.seed, partial(print, flush=True))
    model = with_width(model, learned, some, catalog, settings)
    print(f"Exploration width nu = {model.nu}; mean regrets under the posterior: {model.manifest['regrets']}.", flush=True)
    found = reliability(model, unseen, catalog)
    folder = settings.run_dir(day.isoformat()) / "model"
    replace(model, manifest={**model.manifest, **about, "calibration": [asdict(c) for c in found]}).save(folder)
    version = platform.registry.register(folder, facts(day, settings, len(learned), found))
    platform.registry.point(CHALLENGER, version)
    report = TrainReport(
        version=version,
        rows=len(learned),
        holdout_rows=len(unseen),
        parameters=sum(p.numel() for p in model.towers.parameters()),
        seconds=round(monotonic() - started, 1),
        errors={c.label: c.error for c in found},
        path=folder,
    )
    print(f"Challenger: version {version}, {report.parameters:,} parameters, {report.seconds} s.", flush=True)
    return report


def read(path: Path) -> pd.DataFrame:
    """What training needs of the training set of a run: repeated texts as categories, which take a byte or two a row, and no list of feasible arms.

    Raises NotReadyError if it was not written or has no row. A column that it lacks is missing here too.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from training.model.matching import NEEDED

    if not path.is_file():
        raise NotReadyError(f"There is no training set {path}, so nothing can be learned. Run `training_set` for that day first.")
    schema = pq.read_schema(path)
    columns = [name for name in (*NEEDED, *Label) if name in schema.names]
    texts = [name for name in columns if pa.types.is_string(schema.field(name).type)]
    table = pq.read_table(path, columns=columns, read_dictionary=texts)
    if not table.num_rows:
        raise NotReadyError(f"The training set {path} has no row, so nothing can be learned. Land more days, then run `training_set` again.")
    frame: pd.DataFrame = table.to_pandas(self_destruct=True, split_blocks=True)
    return frame


def with_menus(path: Path, frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """An even sample of the decisions of `frame`, as `read` gave it, with their feasible arms."""
    import numpy as np
    import pyarrow.parquet as pq

    picked = np.unique(np.linspace(0, len(frame) - 1, min(rows, len(frame))).astype(np.int64))
    menus = pq.read_table(path, columns=["feasible_arms"], read_dictionary=["feasible_arms.list.element"]).take(picked)
    return frame.iloc[picked].reset_index(drop=True).assign(feasible_arms=menus["feasible_arms"].to_pylist())


def reliability(model: MatchingModel, frame: pd.DataFrame, catalog: Catalog) -> list[Calibration]:
    """How well each label's predictions come true on `frame`, printed and returned; empty where no member was held out."""
    from training.model.calibration import calibrate
    from training.model.encode import numbers

    if frame.empty:
        return []
    found = [calibrate(label.value, p, numbers(frame[label.value])) for label, p in model.predict(frame, catalog).items()]
    for c in found:
        print(f"{c.label}: predicted {c.predicted:.4%}, observed {c.observed:.4%}, calibration error {c.error:.4%} on {c.rows:,} held-out rows", flush=True)
    return found


def described(day: date, settings: Settings, frame: pd.DataFrame, unseen: pd.DataFrame) -> dict[str, Any]:
    """What a reader of the manifest must know besides the fit: window, split and versions of the tools."""
    import numpy as np
    import torch

    return {
        "run_id": day.isoformat(),
        "as_of": datetime.combine(day + timedelta(days=1), time(), UTC).isoformat(),
        "window": {"first": str(frame["decided_at"].min()), "last": str(frame["decided_at"].max())},
        "holdout": {"share": settings.training.holdout, "rows": len(unseen), "members": int(unseen["member_id"].nunique())},
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "pandas": pd.__version__},
    }


def facts(day: date, settings: Settings, rows: int, found: list[Calibration]) -> Mapping[str, str]:
    """Tags of the registered version."""
    errors = {f"calibration_error_{c.label}": f"{c.error:.6f}" for c in found}
    return {"run_id": day.isoformat(), "source": settings.source, "seed": str(settings.seed), "rows": str(rows), **errors}
