"""`rightmatch bench ...`. Each command imports what it needs when it is called, so that `--help` answers at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from training.cli.stopping import stoppable

app = typer.Typer(
    name="rightmatch bench",
    help="Benchmarks of the learner, each repeatable by one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PoliciesOption = Annotated[str | None, typer.Option(help="Names separated by commas. Default: all.")]
JobsOption = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Policies that play at once, each in a process of its own of 1 GB or more. Default: the cores. 1: in this process."),
]
PlotOption = Annotated[Path, typer.Option(help="Where the curves go (SVG).")]


@app.callback()
def benchmarks() -> None:
    """Benchmarks of the learner, each repeatable by one command."""


@app.command()
def train(
    rows: Annotated[int, typer.Option(help="Logged decisions to train on.")] = 1_000_000,
    *,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world and of training.")] = 7,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    turn_seconds: Annotated[float, typer.Option(min=0.1, help="How long each plain loop trains after each of the first epochs.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Time training against a plain torch loop with a DataLoader, in one run, and measure its memory."""
    from bench.train.command import train as measure

    return measure(rows, seed, device, turn_seconds, as_json=as_json)


@app.command()
def world(
    *,
    members: Annotated[int, typer.Option(min=50, help="Members of each world.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="Days that each policy decides.")] = 28,
    seeds: Annotated[int, typer.Option(min=1, help="How many worlds.")] = 2,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first world.")] = 1,
    warm_up: Annotated[int, typer.Option(min=29, help="Days of the uniform policy before; retention needs 28 to mature.")] = 42,
    every: Annotated[int, typer.Option(min=1, help="Days between two retrains.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder of the plots.")] = Path("var/bench"),
    jobs: JobsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """What each policy is worth in the simulated world: uniform, siloed, LinTS, ours and the oracle."""
    from bench.curves import roomy
    from bench.world.command import Sizes
    from bench.world.command import run as play

    roomy(out)
    return play(Sizes(members, days, seeds, first, warm_up, every, jobs or len(os.sched_getaffinity(0))), out, as_json=as_json)


@app.command()
def regret(
    csv: Annotated[Path, typer.Option(help="Labelled rows: CSV or CSV.gz with a header.")],
    label: Annotated[str, typer.Option(help="Column of the class; every other one is a feature.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; all rows where there are fewer.")] = 10_000,
    seeds: Annotated[int, typer.Option(min=1, help="Runs a policy.")] = 3,
    policies: PoliciesOption = None,
    norm: Annotated[str, typer.Option(help="l2: rows of length 1. standard: columns by the mean and deviation of past rows.")] = "l2",
    plot: PlotOption = Path("var/bench/regret.svg"),
    *,
    as_json: JsonOption = False,
) -> int:
    """Regret on labelled rows turned into a bandit: one arm a class, reward 1 when right."""
    from bench.curves import writable
    from bench.regret import run as bench
    from bench.regret.problem import norm_of

    writable(plot)
    runs, arms = bench.regret(csv, label, rounds, seeds, norm_of(norm), policies)
    bench.show(bench.facts(runs, arms), plot, as_json)
    return bench.picture(runs, f"Regret on {csv.name}, {norm}, {seeds} seed(s)", plot)


@app.command()
def wheel(
    delta: Annotated[float, typer.Option(min=0.0, max=1.0, help="Radius within which only the safe arm is better.")] = 0.95,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds.")] = 10_000,
    seeds: Annotated[int, typer.Option(min=1, help="Runs a policy.")] = 3,
    policies: PoliciesOption = None,
    plot: PlotOption = Path("var/bench/wheel.svg"),
    *,
    as_json: JsonOption = False,
) -> int:
    """Regret on the wheel bandit, where the best arm is found only by exploring."""
    from bench.curves import writable
    from bench.regret import run as bench

    writable(plot)
    runs, arms = bench.wheels(delta, rounds, seeds, policies)
    bench.show({**bench.facts(runs, arms), "delta": delta}, plot, as_json)
    return bench.picture(runs, f"Regret on the wheel, delta {delta:g}", plot)


@app.command()
def drift(
    *,
    members: Annotated[int, typer.Option(min=50, help="Members of each world.")] = 1_500,
    seeds: Annotated[int, typer.Option(min=1, help="How many worlds.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first world.")] = 1,
    warm_up: Annotated[int, typer.Option(min=36, help="Days of the uniform policy before.")] = 42,
    before: Annotated[int, typer.Option(min=3, help="Days that the policies decide before needs change.")] = 7,
    after: Annotated[int, typer.Option(min=3, help="Days that they decide after it.")] = 28,
    every: Annotated[int, typer.Option(min=1, help="Days between two retrains.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder of the plot.")] = Path("var/bench"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Days until recovery when all members suddenly need something else, with and without forgetting."""
    from bench.curves import roomy
    from bench.world.drift import Change
    from bench.world.drift import run as play

    roomy(out)
    return play(Change(members, seeds, first, warm_up, before, after, every), out, as_json=as_json)


@app.command()
def coldstart(
    seeds: Annotated[int, typer.Option(min=1, help="Worlds to measure in.")] = 2,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first world; the defaults of the learner were chosen on 1 to 3.")] = 11,
    rows: Annotated[int, typer.Option(min=1000, help="Decisions of each world's log.")] = 300_000,
    members: Annotated[int, typer.Option(min=100, help="Members of each world.")] = 20_000,
    creatives: Annotated[int, typer.Option(min=8, max=120, help="Creatives a product in the log.")] = 20,
    learners: Annotated[str | None, typer.Option(help="Names separated by commas (minilm, hashed, one_hot, beta). Default: all that can run.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the plots.")] = Path("var/bench"),
    *,
    as_json: JsonOption = False,
) -> int:
    """Impressions until a new arm's rate is known within a tenth: with text and factors, with one-hot arms, and by counting."""
    from bench.coldstart.learners import named
    from bench.coldstart.run import Plan, measure
    from bench.curves import roomy

    roomy(out)
    return measure(Plan(seeds, first, rows, members, creatives, named(learners)), out, as_json)


@app.command()
def features(
    *,
    members: Annotated[int, typer.Option(min=100, help="Members whose features are materialized.")] = 20_000,
    lookups: Annotated[int, typer.Option(min=100, help="Lookups of one member; a tenth as many of 100.")] = 2_000,
    stock: Annotated[bool, typer.Option(help="Run Feast's own classes beside ours. Without them only our speed and file size are measured.")] = True,
    as_json: JsonOption = False,
) -> int:
    """Materialization and lookups of the feature store against stock Feast, in one run, and whether every value is the same."""
    from bench.features.command import Sizes
    from bench.features.command import features as measure

    return measure(Sizes(members, lookups, stock), as_json=as_json)


@app.command()
def serving(
    *,
    members: Annotated[int, typer.Option(min=100, help="Members online.")] = 20_000,
    arms: Annotated[int, typer.Option(min=2, max=2_000, help="Arms that the champion considers at each decision.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each server.")] = 5,
    requests: Annotated[int, typer.Option(min=20, help="Requests of one connection in each turn, for the latencies.")] = 400,
    seconds: Annotated[float, typer.Option(min=0.2, help="Of 16 connections in each turn, for the throughput.")] = 3.0,
    parts: Annotated[str | None, typer.Option(help="http, in_process, start, workers, arms, during, separated by commas. Default: all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the plot, and of serving.json, which holds each part's figures once it has ended.")] = Path("var/bench"),
    as_json: JsonOption = False,
) -> int:
    """What a decision costs beside Feast's own feature server, stock and tuned: latencies, throughput, start, memory."""
    from datetime import UTC, datetime

    from bench.curves import roomy
    from bench.serving.command import FIGURES, PLOT, Sizes, parts_of
    from bench.serving.command import serving as measure
    from bench.serving.rounds import Plan

    roomy(out, FIGURES, PLOT)
    sizes = Sizes(members, arms, Plan(rounds, requests, seconds))
    return measure(sizes, parts_of(parts), datetime.now(UTC), out, as_json=as_json)


@app.command()
def gate(
    *,
    experiments: Annotated[int, typer.Option(min=100, help="Simulated experiments of each line.")] = 4_000,
    days: Annotated[int, typer.Option(min=10, help="Days on which members enter.")] = 120,
    daily: Annotated[int, typer.Option(min=100, help="Members of both groups together entering on a day.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the experiments.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("var/bench"),
    as_json: JsonOption = False,
) -> int:
    """Error rates of the gate under daily peeking, in experiments of known truth: promotions, roll-backs, coverage."""
    from bench.curves import roomy
    from bench.gate.run import gate as measure
    from bench.gate.worlds import Sizes

    roomy(out)
    return measure(Sizes(experiments, days, daily), seed, out, as_json=as_json)


def run(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns its exit code. SIGTERM and SIGHUP clean up as Ctrl-C does: worlds take tens of MB."""
    with stoppable():
        code = app(list(arguments), prog_name="rightmatch bench", standalone_mode=False)
    return code if isinstance(code, int) else 0
