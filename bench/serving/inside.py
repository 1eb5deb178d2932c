"""Without HTTP: a whole decision, durable, against one lookup of stock Feast, each in a process of its own and in turns.

`python -m bench.serving.inside decision|lookup ...` answers each line on standard input with the milliseconds of one block of calls, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import uvloop

from bench.serving import feast_server, marts
from bench.serving.rounds import say
from bench.serving.setup import SURFACE, Home, without_disk
from training.config.settings import ROOT

BLOCK, ROUNDS = 300, 4
"""Calls of one block, of which the first tenth is not counted; blocks of each, after one to warm up."""


def in_process(home: Home, feast: Path) -> dict[str, Any]:
    """Median milliseconds of both, and their ratio. Feast reads its own SQLite store; `optimized` is the same under PYTHONOPTIMIZE=1, as ours runs."""
    repository = str(feast / feast_server.name_of(feast_server.Variant(feast_server.STOCK, tuned=False)))
    lookup = ["lookup", repository]
    times: dict[str, list[float]] = {}
    with without_disk(home) as other, contextlib.ExitStack() as stack:
        asked = {
            "decision": _start(stack, home, True, ["decision"]),
            "lookup": _start(stack, home, False, lookup),
            "optimized": _start(stack, home, True, lookup),
        }
        if other is not None:
            asked["without_disk"] = _start(stack, other, True, ["decision"])
        for turn in range(ROUNDS + 1):
            for name, process in asked.items():
                found = _block(process)
                if turn:
                    times.setdefault(name, []).extend(found)
            say(f"in process, block {turn} of {ROUNDS}: " + ", ".join(f"{n} {median(t):.2f} ms" for n, t in times.items()))
    middle = {name: round(median(found), 3) for name, found in times.items()}
    return {
        "decision_ms": middle["decision"],
        "get_online_features_ms": middle["lookup"],
        "ratio": round(middle["decision"] / middle["lookup"], 3),
        "get_online_features_optimized_ms": middle["optimized"],
        **({"decision_without_disk_ms": middle["without_disk"]} if "without_disk" in middle else {}),
    }


def _start(stack: contextlib.ExitStack, home: Home, optimized: bool, words: Sequence[str]) -> subprocess.Popen[str]:
    """A process that lives as long as `stack`."""
    command = [sys.executable, *(["-O"] if optimized else []), "-m", "bench.serving.inside", *words, str(home.members)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **home.env, **one}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _block(process: subprocess.Popen[str]) -> list[float]:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101 - same
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended, so there is nothing to compare. Its own words are above.")
    found: list[float] = json.loads(line)
    return found


def _decision(members: int) -> None:
    """Decisions through the service's own core, one after the other, each answered once it is durable."""
    from serving import decisions
    from serving.core import Core
    from serving.messages import DecisionRequest
    from training.bootstrap import platform
    from training.config.settings import load_settings
    from training.domain.nouns import Surface
    from training.model.threads import steady

    steady()
    settings = load_settings()
    wired = platform(settings)
    core = Core(settings, wired.registry, wired.features)

    async def block(chosen: Sequence[int]) -> list[float]:
        """On one loop, as in the service: to start and stop one costs a good part of a decision."""
        taken = []
        for i in chosen:
            begin = perf_counter()
            await core.decider.ask(decisions.question(DecisionRequest(marts.member(i), Surface(SURFACE)), core.now()))
            taken.append(perf_counter() - begin)
        return taken

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        core.start(runner.get_loop())
        _answer(lambda chosen: runner.run(block(chosen)), members)
        core.stop()


def _lookup(repository: str, members: int) -> None:
    """`get_online_features(...).to_dict()` by a list of references."""
    from feast import FeatureStore

    store = FeatureStore(repo_path=repository)

    def block(chosen: Sequence[int]) -> list[float]:
        taken = []
        for i in chosen:
            begin = perf_counter()
            store.get_online_features(feast_server.REFERENCES, [{"member_id": marts.member(i)}]).to_dict()
            taken.append(perf_counter() - begin)
        return taken

    _answer(block, members)


def _answer(block: Callable[[Sequence[int]], list[float]], members: int) -> None:
    """`block` gives the seconds of each of its calls, one a member."""
    rng = np.random.default_rng(1)
    for _ in sys.stdin:
        taken = block(rng.integers(0, members, BLOCK).tolist())
        print(json.dumps([round(seconds * 1e3, 4) for seconds in taken[BLOCK // 10 :]]), flush=True)


def main(words: Sequence[str]) -> int:
    """One of the two, until standard input ends."""
    kinds: Mapping[str, Callable[[], None]] = {"decision": lambda: _decision(int(words[1])), "lookup": lambda: _lookup(words[1], int(words[2]))}
    kinds[words[0]]()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
