"""`rightmatch bench world`: who plays when, and that the figures do not depend on it."""

import json
import re
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO

import pytest

from bench.world.baselines import Oracle, Uniform
from bench.world.command import Played, Sizes, answers, run
from bench.world.crew import Alone
from bench.world.loop import Stage

SMALL = Sizes(members=60, days=2, seeds=2, first=1, warm_up=29, every=7, jobs=1)
WARM, FIRST, SECOND = "warm", "first", "second"


@pytest.fixture(scope="module", name="tiny")
def _tiny(models):
    """No dbt, and policies that learn nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.world.command.compiled", lambda _: models)
        patch.setattr("bench.world.command.players", lambda *_: {"uniform": Uniform(), "siloed": Uniform(), "ours": Oracle(), "oracle": Oracle()})
        yield


@pytest.fixture(scope="module", name="found")
def _found(tiny, tmp_path_factory):
    """What the command prints, its progress, and the folder of its plots."""
    out = tmp_path_factory.mktemp("plots")
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as progress:
        assert run(SMALL, out, as_json=True) == 0
    return json.loads(said.getvalue()), progress.getvalue(), out


def test_one_object_that_names_its_plots(found):
    """The JSON that docs and judges read, from a tiny world."""
    told, _, out = found
    assert told["oracle_share"] == pytest.approx(1.0)
    assert [w["seed"] for w in told["per_seed"]] == [1, 2]
    assert {"conversion", "retention", "opt_out", "messages", "utility"} <= set(told["policies"]["ours"])
    assert "known chances" in told["measured"]
    assert len([p for p in told["plots"] if "<svg" in (out / p.rsplit("/", 1)[1]).read_text()]) == 3


def test_ours_plays_first_and_every_policy_is_told(found):
    """A log that is too small is found out before the others have played; what is known is said as soon as it is. The report keeps its order."""
    told, progress, _ = found
    assert re.findall(r"seed (\d), (\w+): a member has brought", progress) == [(s, n) for s in "12" for n in ("ours", "uniform", "siloed", "oracle")]
    assert list(told["policies"]) == ["uniform", "siloed", "ours", "oracle"]


def test_several_processes_give_the_same_figures(found, tmp_path, capfd):
    """To the bit, in the same order, with the same lines of progress."""
    alone, progress, _ = found
    assert run(Sizes(**{**vars(SMALL), "jobs": 2}), tmp_path, as_json=True) == 0
    said, together = capfd.readouterr()
    told = json.loads(said)
    assert json.dumps([told["policies"], told["per_seed"]]) == json.dumps([alone["policies"], alone["per_seed"]])
    assert _lines(together) == _lines(progress)


class Two:
    """Two at once, of whom the one that began last is done first."""

    def __init__(self):
        self.tasks, self.begun = [], []

    @property
    def free(self):
        return len(self.tasks) < 2

    @property
    def busy(self):
        return bool(self.tasks)

    def give(self, task):
        self.begun.append(task.args)
        self.tasks.append(task)

    def answer(self):
        return self.tasks.pop()()


class Noted(Alone):
    """Notes what is begun."""

    def __init__(self):
        super().__init__()
        self.begun = []

    def give(self, task):
        self.begun.append(task.args)
        super().give(task)


@pytest.mark.parametrize(
    ("crew", "order"),
    [
        (Noted(), [(s, what) for s in (1, 2, 3) for what in (WARM, FIRST, SECOND)]),
        (Two(), [(1, WARM), (2, WARM), (2, FIRST), (2, SECOND), (3, WARM), (3, FIRST), (3, SECOND), (1, FIRST), (1, SECOND)]),
    ],
    ids=["alone", "two"],
)
def test_who_is_free_plays_and_where_nobody_waits_warms_up_the_next_world(crew, order):
    """Nobody is idle while there is anything to do, and no world is warmed up while a policy waits."""

    def begin(seed, what):
        return Stage(seed, None, None, None, None, 0) if what == WARM else Played(seed, what, [{}])

    def plays(stage):
        return [partial(begin, stage.world, what) for what in (FIRST, SECOND)]

    found = list(answers(crew, (partial(begin, seed, WARM) for seed in (1, 2, 3)), plays))
    assert crew.begun == order
    assert sorted((p.seed, p.name) for p in found) == [(s, n) for s in (1, 2, 3) for n in (FIRST, SECOND)]


def _lines(progress):
    """Sorted, without seconds, and without what the system says besides."""
    return sorted(re.sub(r", \d+ s$", "", line) for line in progress.splitlines() if line.startswith(("seed", "compiling")))
