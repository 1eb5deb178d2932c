"""`rightmatch bench train`: what was measured, as one JSON object or as a few sentences."""

from __future__ import annotations

import json

from bench.train.measure import measure
from training.domain.errors import ConfigError

FEWEST, MOST = 2_000, 5_000_000


def train(rows: int, seed: int, device: str, turn_seconds: float, *, as_json: bool) -> int:
    """Measure and print. Raises ConfigError for a number of rows that cannot be timed here."""
    if not FEWEST <= rows <= MOST:
        raise ConfigError(f"{rows} rows cannot be timed: below {FEWEST:,} labels lack answers, above {MOST:,} the world takes too long. Give --rows between.")
    found = measure(rows, seed, device, turn_seconds)
    print(json.dumps(found) if as_json else told(found))
    return 0


def told(found: dict[str, float]) -> str:
    """The figures in sentences."""
    f = found
    return (
        f"{f['rows']:,} logged decisions over {f['arms']} arms, batches of {f['batch']:,}, on {f['device']}, one thread.\n"
        f"Training: {f['rows_per_second']:,} rows/s over {f['rows_timed']:,} rows ({f['epochs']} epochs).\n"
        f"DataLoader, a row at a time: {f['dataloader_rows_per_second']:,} rows/s over {f['dataloader_rows_timed']:,} rows; {f['ratio']} times slower "
        f"({f['cpu_ratio']} by CPU time, which other processes on this machine do not touch).\n"
        f"DataLoader on the platform's narrow rows and network: {f['narrow_dataloader_rows_per_second']:,} rows/s; {f['narrow_ratio']} times slower.\n"
        f"Memory: {f['peak_rss_mb']:,} MB at most, {f['peak_over_training_set']} times the training set in memory ({f['training_set_mb']:,} MB as Arrow).\n"
        f"Matrix products: {f['matmul_share']:.1%} of this machine's own float32 peak ({f['matmul_peak_gflops']} GFLOP/s).\n"
        f"Whole fit: {f['fit_seconds']} s = encoding {f['encode_seconds']} + network {f['network_seconds']} "
        f"+ posteriors, crosses and newcomers {f['posterior_seconds']}."
    )
