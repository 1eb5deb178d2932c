"""The commands. Each one imports what it needs when it is called, so that `rightmatch --help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from training.cli import living, serving
from training.domain.errors import RightmatchError

app = typer.Typer(
    name="rightmatch",
    help="Decides what to offer to whom, learns from the answers, and promotes a model only when the evidence says so.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SourceOption = Annotated[str | None, typer.Option(help="simulated, hillstrom, or the name of your own data. Default: RIGHTMATCH_SOURCE, else simulated.")]
DataOption = Annotated[Path | None, typer.Option(help="The file that the source imports.")]
MembersOption = Annotated[int | None, typer.Option(min=1, help="Members of the simulated world.")]
DaysOption = Annotated[int | None, typer.Option(min=1, help="Days of history at the first run.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the world and of training.")]
STOPPED = 130
"""The exit code of a command that a signal ended."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def run(source: SourceOption = None, data: DataOption = None, members: MembersOption = None, days: DaysOption = None, seed: SeedOption = None) -> int:
    """Run the whole loop once on Airflow, show the verdict, stop everything."""
    from training.cli.run import run as loop

    return loop(source, data, {"members": members, "days": days, "seed": seed}, keep=False)


@app.command()
def up(source: SourceOption = None, data: DataOption = None, members: MembersOption = None, days: DaysOption = None, seed: SeedOption = None) -> int:
    """Run the loop, then keep Airflow (UI and schedules) running until Ctrl-C, which is then exit code 0."""
    from training.cli.run import run as loop

    return loop(source, data, {"members": members, "days": days, "seed": seed}, keep=True)


@app.command()
def lookup(member_id: str, *, as_json: JsonOption = False) -> int:
    """Show a member's online features."""
    from training.cli.lookup import lookup as show

    return show(member_id, as_json)


@app.command()
def decide(
    member_id: str,
    surface: Annotated[str, typer.Option(help="web, app or outbound.")],
    *,
    seed: Annotated[int | None, typer.Option(help="Seed of the draw; the same seed gives the same decision.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Let the champion decide for one member, with the propensity of every feasible arm."""
    from training.cli.decide import decide as show

    return show(member_id, surface, seed, as_json)


@app.command()
def ope(
    log: Annotated[Path, typer.Option(help="Logged decisions: decision_id, action, propensity, reward, any x_* features, optional cluster.")],
    target: Annotated[Path, typer.Option(help="The policy to value: decision_id, action, probability (long).")],
    *,
    as_json: JsonOption = False,
) -> int:
    """Estimate what another policy would have earned, from any logged bandit data."""
    from training.cli.judging import ope as estimate

    return estimate(log, target, as_json)


@app.command()
def gate(
    *,
    data: Annotated[Path, typer.Option(help="One row a unit: parquet, csv or csv.gz.")],
    group: Annotated[str, typer.Option(help="Column that names the group.")],
    control: Annotated[str, typer.Option(help="Value of the control group.")],
    treatment: Annotated[str, typer.Option(help="Value of the treatment group.")],
    success: Annotated[str, typer.Option(help="Column that must rise.")],
    guardrail: Annotated[list[str], typer.Option(help="Column that must not fall. Repeatable.")],
    margin: Annotated[list[float], typer.Option(help="Fall of the guardrail that is still harmless (absolute). Once for all, or once for each.")],
    lower_is_better: Annotated[list[str] | None, typer.Option(help="A judged column whose fall is good, such as opt-outs. Repeatable.")] = None,
    ratio: Annotated[str, typer.Option(help="Planned sizes, CONTROL:TREATMENT.")] = "1:1",
    alpha: Annotated[float, typer.Option(help="One-sided error rate of each rule.")] = 0.05,
    planned: Annotated[int | None, typer.Option(min=2, help="Rows planned in both groups: the file grows, and is judged as often as one likes.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Judge any randomised experiment: PROMOTE, REJECT or HOLD."""
    from training.cli.judging import Plan
    from training.cli.judging import gate as judge

    return judge(data, group, control, treatment, Plan(success, guardrail, margin, alpha, ratio, lower_is_better or (), planned), as_json=as_json)


@app.command()
def plan(
    *,
    daily: Annotated[float, typer.Option(help="Members who enter on a day.")],
    effect: Annotated[float, typer.Option(help="Rise of the success metric that is to be found (absolute); guardrails are assumed unchanged, but for --gain.")],
    base: Annotated[list[str] | None, typer.Option(help="NAME=RATE of a 0/1 metric today, such as retained=0.95. A guardrail without one is left out.")] = None,
    deviation: Annotated[list[str] | None, typer.Option(help="NAME=SD of a metric that is not 0 or 1. Repeatable.")] = None,
    margin: Annotated[list[str] | None, typer.Option(help="NAME=MARGIN instead of the settings' one. Repeatable.")] = None,
    gain: Annotated[list[str] | None, typer.Option(help="NAME=RISE of a guardrail, such as the money that more conversions bring. Repeatable.")] = None,
    control: Annotated[float, typer.Option(help="Share of members in control.")] = 0.5,
    treatment: Annotated[float, typer.Option(help="Share of members in treatment.")] = 0.5,
    alpha: Annotated[float | None, typer.Option(help="One-sided error rate of each rule. Default: judging.alpha.")] = None,
    power: Annotated[float, typer.Option(help="Probability that all rules pass.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Seed of the simulated experiments.")] = 7,
    as_json: JsonOption = False,
) -> int:
    """Say how many members and days a live experiment needs, before it starts."""
    from training.cli.plan import Wanted
    from training.cli.plan import plan as show

    return show(Wanted(daily, effect, base or (), deviation or (), margin or (), gain or (), (control, treatment), alpha, power, seed), as_json=as_json)


@app.command()
def ledger(*, as_json: JsonOption = False) -> int:
    """List what was judged and why."""
    from training.cli.judging import ledger as show

    return show(as_json)


@app.command()
def rollback(
    *,
    to: Annotated[str | None, typer.Option(help="Version to put in charge. Default: the one that the champion replaced.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "by hand",
    yes: living.YesOption = False,
) -> int:
    """Put an earlier version in charge; the running service follows within a second."""
    return living.rollback(to, reason, yes)


@app.command()
def anchor(version: str, *, yes: living.YesOption = False) -> int:
    """Let the long-term holdback get another version, which promotions are then watched against."""
    return living.anchor(version, yes)


@app.command()
def promotions(out: Annotated[Path | None, typer.Option(help="Where to write it. Default: promotions.html beside the reports.")] = None) -> int:
    """Write the page of promotions as one HTML file: who is in charge, what is tried, and why."""
    from training.cli.promotions import promotions as write

    return write(out)


app.add_typer(living.experiment, name="experiment")
app.add_typer(serving.keys, name="keys")
app.add_typer(serving.arm, name="arm")
app.add_typer(serving.consent, name="consent")


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: serving.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one and prints it. Default: serving.port.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that answer. Default: serving.workers.")] = None,
) -> int:
    """Run the decision service until Ctrl-C."""
    return serving.serve({"host": host, "port": port, "workers": workers})


@app.command()
def replay(decision_id: str, *, as_json: JsonOption = False) -> int:
    """Take a decision of the service again from what it stored, and compare to the bit."""
    return serving.replay(decision_id, as_json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(context: typer.Context) -> int:
    """Measure the learner: regret, speed, and what it is worth in a world of known truth."""
    from importlib import import_module  # by name: benchmarks know sources and peers, which the platform must not import

    run: Callable[[list[str]], int] = import_module("bench.commands").run
    return run(context.args)


world = typer.Typer(help="The simulated world of this home.", no_args_is_help=True)
app.add_typer(world, name="world")


@world.command("play")
def world_play(
    days: Annotated[int, typer.Option(min=1, help="Days that follow the last one.")],
    *,
    url: Annotated[str | None, typer.Option(help="Of the decision service. Default: serving.host and serving.port.")] = None,
    key: Annotated[str | None, typer.Option(help="API key with the scopes decide and outcomes. Default: the variable RIGHTMATCH_KEY.")] = None,
    connections: Annotated[int, typer.Option(min=1, max=512, help="Members who ask at the same time.")] = 32,
    between: Annotated[
        str, typer.Option(help="Before each day: features (build them here), loop (and retrain), wait (until Airflow built them), nothing.")
    ] = "features",
    as_json: JsonOption = False,
) -> int:
    """Let the simulated world go on for some days, with the decision service in charge over HTTP."""
    from training.cli.play import Played
    from training.cli.play import play as go_on

    return go_on(Played(days, url, key, connections, between), as_json=as_json)


@world.callback()
def worlds() -> None:
    """The simulated world of this home."""


def main(arguments: list[str] | None = None) -> None:
    """The console script. Our own errors are a message and exit code 1, without a traceback; Ctrl-C, SIGTERM and SIGHUP are 130."""
    try:
        code = app(arguments, standalone_mode=False)
    except RightmatchError as error:
        _complain(f"rightmatch: {error}")
        sys.exit(1)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "show"):  # usage error: click's own text
            error.show()
            sys.exit(2)
        raise
    if code == STOPPED:  # typer too turns Ctrl-C into this code
        exec("")  # noqa: S102 - a Ctrl-C that met an `exec` of a string (dataclasses have one) makes `python -m` kill itself at its end, until another one succeeds
        _complain("rightmatch: stopped; everything that it started has ended")
    sys.exit(code if isinstance(code, int) else 0)


def _complain(text: str) -> None:
    """To standard error: broken between words on a terminal, as it is elsewhere."""
    if not sys.stderr.isatty():
        print(text, file=sys.stderr)
        return
    from rich.console import Console

    Console(stderr=True).print(text, markup=False, highlight=False)


if __name__ == "__main__":
    main()
