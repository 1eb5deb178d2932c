"""`rightmatch bench regret` and `bench wheel`: every policy on the same problems, in one process, one thread."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.curves import Curve, chart, save
from bench.regret.blended import blended
from bench.regret.heads import Kind
from bench.regret.linear import lin_ts, lin_ucb, uniform
from bench.regret.loop import Maker, Run, play, warm
from bench.regret.ours import policy
from bench.regret.peers import installed, missing
from bench.regret.problem import Norm, Problem, labelled, read_labelled, wheel
from training.domain.errors import ConfigError, StepError
from training.model.threads import steady

DEFAULT = "blended"
"""Chosen by this benchmark, for few arms that are each answered often; the table is in docs/log.md."""
SERVED = Kind.LAPLACE.value
"""The posterior that the decision service draws from, where many arms share texts and products: its heads read the network or the linear part of `wide`,
which is not in this benchmark. What blending is worth there is in docs/log.md.
"""
POINTS = 200
"""Points of a curve."""


def policies() -> dict[str, Maker]:
    """Every policy by name: ours with each posterior and without exploration, the linear ones, and the peers that are installed."""
    ours: dict[str, Maker] = {kind.value: policy(kind, 1.0) for kind in Kind}
    return {DEFAULT: blended(), **ours, "greedy": policy(Kind.LAPLACE, 0.0), "linucb": lin_ucb, "lints": lin_ts, "uniform": uniform, **installed()}


def chosen(names: str | None) -> dict[str, Maker]:
    """The policies that `names` (separated by commas) asks for, all for None. Raises ConfigError for one that is not there, and where none is named."""
    known, absent = policies(), missing()
    if names is None:
        for name, why in absent.items():
            print(f"{name} is left out: {why}", file=sys.stderr)
        return known
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise ConfigError(f"--policies {names!r} names no policy, so nothing was measured. Known are: {', '.join(known)}. Leave it out to play all.")
    for name in wanted:
        if name in absent:
            raise ConfigError(f"The policy {name!r} cannot be compared with: {absent[name]}")
        if name not in known:
            raise ConfigError(f"There is no policy {name!r}, so nothing was measured. Known are: {', '.join(known)}.")
    return {name: known[name] for name in wanted}


def regret(csv: Path, label: str, rounds: int, seeds: int, norm: Norm, names: str | None) -> tuple[dict[str, list[Run]], int]:
    """Each policy's runs, one a seed, on labelled rows, and the number of arms; progress on standard error."""
    features, classes = read_labelled(csv, label)
    return _compared(lambda seed: labelled(features, classes, rounds, norm, seed), seeds, names), int(classes.max()) + 1


def wheels(delta: float, rounds: int, seeds: int, names: str | None) -> tuple[dict[str, list[Run]], int]:
    """Each policy's runs, one a seed, on the wheel, and the number of arms; progress on standard error."""
    return _compared(lambda seed: wheel(delta, rounds, seed), seeds, names), wheel(delta, 1, 0).arms


def _compared(problem: Callable[[int], Problem], seeds: int, names: str | None) -> dict[str, list[Run]]:
    steady()
    runs: dict[str, list[Run]] = {}
    for name, make in chosen(names).items():
        warm(make)
        for seed in range(seeds):
            run = play(problem(seed), make, seed)
            runs.setdefault(name, []).append(run)
            print(f"{name}, seed {seed}: regret {run.regret[-1]:,.1f}, {run.cpu_seconds:.1f} CPU-s", file=sys.stderr, flush=True)
    return runs


def facts(runs: Mapping[str, Sequence[Run]], arms: int) -> dict[str, object]:
    """The JSON object: mean and deviation of the total regret over the seeds, and mean CPU seconds a run."""
    results = [
        {
            "policy": name,
            "regret_mean": float(np.mean([r.regret[-1] for r in found])),
            "regret_sd": float(np.std([r.regret[-1] for r in found], ddof=min(1, len(found) - 1))),
            "cpu_seconds": round(float(np.mean([r.cpu_seconds for r in found])), 2),
        }
        for name, found in runs.items()
    ]
    first = next(iter(runs.values()))
    return {"default": DEFAULT, "served": SERVED, "results": results, "rounds": len(first[0].regret), "arms": arms, "seeds": len(first)}


def show(facts_: Mapping[str, object], plot: Path, as_json: bool) -> None:
    """Print the object, or a table by regret, before the curves are written to `plot`."""
    if as_json:
        print(json.dumps({**facts_, "plot": str(plot)}), flush=True)
        return
    results: list[dict[str, float]] = sorted(facts_["results"], key=lambda r: r["regret_mean"])  # type: ignore[call-overload]  # a list of results
    print(f"{'policy':22}{'regret':>12}{'sd':>9}{'CPU-s':>9}")
    for r in results:
        star = "*" if r["policy"] == facts_["default"] else " "
        deviation = "-" if facts_["seeds"] == 1 else f"{r['regret_sd']:,.1f}"
        print(f"{star}{r['policy']:21}{r['regret_mean']:12,.1f}{deviation:>9}{r['cpu_seconds']:9.1f}")
    ours = " * is our default here;" if facts_["default"] in [r["policy"] for r in results] else ""
    print(f"{facts_['rounds']:,} rounds, {facts_['arms']} arms;{ours} the decision service draws from {facts_['served']}. Curves: {plot}", flush=True)


def picture(runs: Mapping[str, Sequence[Run]], title: str, path: Path) -> int:
    """Write the mean cumulative regret by round, with one deviation over the seeds as a band. Returns exit code 0.

    Raises StepError if it cannot be written, of which the figures that `show` has printed by then know nothing.
    """
    curves = {}
    for name, found in runs.items():
        total: npt.NDArray[np.float64] = np.stack([r.regret for r in found])
        at = np.unique(np.linspace(0, total.shape[1] - 1, min(POINTS, total.shape[1])).astype(int))
        curves[name] = Curve((at + 1).tolist(), total[:, at].mean(axis=0).tolist(), total[:, at].std(axis=0).tolist())
    try:
        save(path, chart(title, "round", "cumulative regret", curves))
    except OSError as error:
        raise StepError(f"The figures are whole, but their curves could not be written to {path} ({error}). Run again with another --plot.") from error
    return 0
