"""The learner on real logs: each answer once, at the right time, whatever is killed in between, and every version of the posterior again to the bit."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
import torch
from sqlalchemy import func, select, update

from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, DAY, HOUR
from training.adapters import answers as log_answers
from training.adapters import posterior_files as files
from training.adapters.decision_log import DecisionLog
from training.adapters.learner import Learner, rebuild, sight
from training.adapters.log_engine import micros, reading, writing
from training.adapters.log_tables import answer_table, decision_table
from training.domain.errors import LogError, NotReadyError
from training.domain.nouns import NONE, Outcome, OutcomeKind
from training.domain.served import FALLBACK, NOTED_CATALOG, Reason
from training.model.funnel import Stage
from training.model.matching import MatchingModel
from training.model.online import TOLD_BY, due, learned, shown, teachable

CLICK, CONVERSION, DISMISS, IMPRESSION = OutcomeKind.CLICK, OutcomeKind.CONVERSION, OutcomeKind.DISMISS, OutcomeKind.IMPRESSION


@pytest.fixture
def log(log_url):
    """40 decisions of a day, without outcomes, on both databases."""
    made = DecisionLog(log_url)
    fake.fill(made, [fake.served(i, AS_OF + i * HOUR / 2) for i in range(40)])
    yield made
    made.engine.dispose()


@pytest.fixture
def small(tmp_path):
    """The same on SQLite alone."""
    return fake.filled(tmp_path)


def learner(log, folder, version="1", model=None):
    """A learner of the small model."""
    made = model or fake.model()
    return Learner(version, sight(made, fake.catalog(), log.engine), log.engine, folder / "posterior")


def kept(log, version="1"):
    """(decision, stage, answer) of every answer that the log knows, sorted."""
    with reading(log.engine) as connection:
        rows = connection.execute(select(answer_table).where(answer_table.c.model_version == version)).all()
    return sorted((row.decision_id, row.stage, row.answer) for row in rows)


def same(one, other):
    """Whether two heads are equal to the bit."""
    return list(one) == list(other) and all(torch.equal(one[s].mean, other[s].mean) and torch.equal(one[s].precision, other[s].precision) for s in one)


def clickable(count):
    """The first `count` decisions that showed something."""
    return [i for i in range(40) if fake.served(i, AS_OF).chosen_arm != NONE][:count]


def test_an_outcome_is_learned_at_once_and_its_absence_when_the_window_closes(log, tmp_path):
    """A click moves the head of clicks up; a day later everyone else has not clicked; a repeated look finds nothing."""
    made = learner(log, tmp_path)
    start = files.read(tmp_path / "posterior", "1", 0)
    assert files.current(tmp_path / "posterior", "1") == 0
    now = AS_OF + 20 * HOUR
    assert made.learn(now).answers == 0
    first, second = clickable(2)
    fake.tell(log, (f"d{first}", CLICK, now), (f"d{second}", IMPRESSION, now), (f"d{second}", DISMISS, now))
    assert made.learn(now).answers == 1
    assert kept(log) == [(f"d{first}", "clicked", 1)]
    assert files.current(tmp_path / "posterior", "1") == 1
    phi = sight(fake.model(), fake.catalog(), log.engine).phi([shown(fake.served(first, AS_OF + first * HOUR / 2))])
    assert same(files.read(tmp_path / "posterior", "1", 1), made.heads)
    assert same(made.heads, learned(start, phi, [(0, Stage.CLICKED, 1)]))
    assert (phi.double() @ (made.heads[Stage.CLICKED].mean - start[Stage.CLICKED].mean)).item() > 0
    found = made.learn(AS_OF + DAY + 20 * HOUR)
    assert (found.answers, found.more) == (39, False)
    assert [a for _, stage, a in kept(log) if stage == "clicked"].count(0) == 39
    assert made.learn(AS_OF + DAY + 20 * HOUR).answers == 0


def test_what_is_kept_is_what_follows_whatever_the_order_of_looking(log, tmp_path):
    """Outcomes between looks at drawn instants; in the end each decision has exactly the answers that `due` gives, and none twice."""
    rng, made, now = random.Random(4), learner(log, tmp_path), AS_OF + 20 * HOUR
    told = {}
    for i in clickable(20):
        kind = rng.choice([CLICK, CONVERSION, DISMISS])
        told.setdefault(f"d{i}", []).append((kind, now))
        fake.tell(log, (f"d{i}", kind, now))
        now += timedelta(minutes=rng.randrange(120))
        if rng.random() < 0.5:
            made.learn(now)
    for late in (now + DAY, now + 8 * DAY, now + 15 * DAY):
        made.learn(late)
    stages = teachable(fake.model().heads)
    with reading(log.engine) as connection:
        every = log_answers.material(connection, "1", [f"d{i}" for i in range(40)])[0]
    expected = [
        (m.served.asked.decision_id, stage.value, answer)
        for m in every
        for stage, answer in due(stages, log_answers.Followed(m.served.asked.at, told.get(m.served.asked.decision_id, [])), now + 15 * DAY, AS_OF).items()
    ]
    assert kept(log) == sorted(expected)
    assert len({a for _, _, a in expected}) == 2
    assert same(rebuild(sight(fake.model(), fake.catalog(), log.engine), log.engine, tmp_path / "no", "1", made.posterior), made.heads)


def test_a_restart_goes_on_as_if_nothing_had_been(small, tmp_path):
    """One learner over four looks, and four that each take one: same numbers, same bytes, with and without the last one's snapshots."""
    times = [AS_OF + 20 * HOUR, AS_OF + 25 * HOUR, AS_OF + 40 * HOUR, AS_OF + 15 * DAY]
    whole = fake.filled(tmp_path / "whole")
    straight = learner(whole, tmp_path / "whole")
    for i, now in zip(clickable(4), times, strict=True):
        at = min(now, AS_OF + 20 * HOUR)
        fake.tell(whole, (f"d{i}", CLICK, at))
        fake.tell(small, (f"d{i}", CLICK, at))
        straight.learn(now)
        again = learner(small, tmp_path)
        again.learn(now)
        assert (again.posterior, same(again.heads, straight.heads)) == (straight.posterior, True)
        files.discard(tmp_path / "posterior", "1", after=-1 if i % 2 else again.posterior)
    see = sight(fake.model(), fake.catalog(), small.engine)
    for number in range(straight.posterior + 1):
        assert same(rebuild(see, small.engine, tmp_path / "no", "1", number), files.read(tmp_path / "whole" / "posterior", "1", number))


def test_what_was_learned_under_an_earlier_catalog_is_rebuilt_to_the_bit(log, tmp_path):
    """A creative's text changes, then the arm of a learned decision goes: whichever catalog a rebuild is given, each version is as it was published.

    A decision of before is learned as it was shown, also after the change; one that notes no catalog, or one that the log does not have, by today's.
    """
    old, (first, second) = fake.catalog(), clickable(2)
    texts = {name: replace(creative, text=creative.text + " Now cheaper!") for name, creative in old.creatives.items()}
    new = replace(old, creatives=texts, arms={name: arm for name, arm in old.arms.items() if name != fake.served(first, AS_OF).chosen_arm})
    for each in (old, new):
        log.keep_arms(*kept_as(each), AS_OF)
    noting = [fake.served(120 + i, AS_OF + i * HOUR / 2, notes={NOTED_CATALOG: kept_as(old if i < 30 else new)[0]}) for i in range(40)]
    fake.fill(log, [*noting, fake.served(200, AS_OF, notes={NOTED_CATALOG: "lost"})])
    fake.tell(log, (f"d{120 + first}", CLICK, AS_OF + 20 * HOUR))
    learner(log, tmp_path).learn(AS_OF + 20 * HOUR)
    made = Learner("1", sight(fake.model(), new, log.engine), log.engine, tmp_path / "posterior")
    fake.tell(log, (f"d{120 + second}", CLICK, AS_OF + 21 * HOUR))
    made.learn(AS_OF + 21 * HOUR)
    for catalog in (old, new):
        for number in (1, 2):
            again = rebuild(sight(fake.model(), catalog, log.engine), log.engine, tmp_path / "no", "1", number)
            assert same(again, files.read(tmp_path / "posterior", "1", number))
    assert made.learn(AS_OF + 15 * DAY).answers == 81 * 3 - 2
    assert same(rebuild(sight(fake.model(), new, log.engine), log.engine, tmp_path / "no", "1", 3), made.heads)
    assert not same(rebuild(sight(fake.model(), old, log.engine), log.engine, tmp_path / "no", "1", 3), made.heads)


def kept_as(catalog):
    """(version, content) of a catalog as the log keeps it."""
    content = msgspec.json.encode(catalog).decode()
    return f"catalog-{len(content)}", content


def test_a_posterior_that_the_log_does_not_know_is_refused(small, tmp_path):
    """Rather than heads of another version under its number."""
    with pytest.raises(NotReadyError, match="says how posterior 0 of model 1 came about, but not 7"):
        rebuild(sight(fake.model(), fake.catalog(), small.engine), small.engine, tmp_path, "1", 7)


def test_snapshots_beyond_a_restored_log_are_dropped(small, tmp_path):
    """The log came back from a backup: what it does not know was never learned, and its numbers are used again."""
    made = learner(small, tmp_path)
    made.learn(AS_OF + 2 * DAY)
    with writing(small.engine) as connection:
        connection.execute(answer_table.delete())
    again = learner(small, tmp_path)
    assert (again.posterior, files.kept(tmp_path / "posterior", "1")) == (0, [0])
    assert same(again.heads, fake.model().heads)


def test_a_new_champion_starts_from_its_model_and_learns_what_it_had_not_seen(log, tmp_path):
    """Trained as of two days later: of these 40 decisions no click or lack of one is new to it, but none had its two weeks for conversion."""
    first = learner(log, tmp_path)
    (clicked, *_) = clickable(1)
    fake.tell(log, (f"d{clicked}", CLICK, AS_OF + 20 * HOUR))
    first.learn(AS_OF + 2 * DAY)
    assert {stage for _, stage, _ in kept(log)} == {"clicked"}
    old = fake.model()
    model = MatchingModel(old.members, old.arms, old.towers, old.heads, {**old.manifest, "as_of": (AS_OF + 2 * DAY).isoformat()})
    second = learner(log, tmp_path, "2", model)
    assert (second.posterior, files.current(tmp_path / "posterior", "2")) == (0, 0)
    assert same(second.heads, model.heads)
    assert second.learn(AS_OF + 2 * DAY).answers == 0
    second.learn(AS_OF + 20 * DAY)
    assert "clicked" not in {stage for _, stage, _ in kept(log, "2")}
    assert len([1 for _, stage, _ in kept(log, "2") if stage.startswith("converted")]) == 40
    between = AS_OF + DAY  # of which half the decisions had a closed window
    third = learner(log, tmp_path, "3", MatchingModel(old.members, old.arms, old.towers, old.heads, {**old.manifest, "as_of": between.isoformat()}))
    third.learn(AS_OF + 2 * DAY)
    assert [d for d, _, _ in kept(log, "3")] == sorted(f"d{i}" for i in range(1, 40))


def test_a_decision_that_comes_after_its_window_was_looked_at_is_learned_too(small, tmp_path):
    """A data clock, or a clock that jumps, may bring an old one later."""
    made = learner(small, tmp_path)
    made.learn(AS_OF + 3 * DAY)
    fake.fill(small, [fake.served(99, AS_OF + HOUR)])
    assert made.learn(AS_OF + 3 * DAY).answers == 1
    assert ("d99", "clicked", 0) in kept(small)
    assert made.learn(AS_OF + 2 * DAY).answers == 0  # a clock that jumped back takes nothing away


def test_a_conversion_is_learned_once_although_its_click_is_told_late(log, tmp_path):
    """Told at once, and the click of before it two days later: one conversion, without a click, as the window that closed had it."""
    made, (first, *_) = learner(log, tmp_path), clickable(1)
    at = AS_OF + first * HOUR / 2
    fake.tell(log, (f"d{first}", CONVERSION, at + 3 * HOUR))
    made.learn(at + 4 * HOUR)
    made.learn(at + DAY)
    before = [answer for answer in kept(log) if answer[0] == f"d{first}"]
    assert before == [(f"d{first}", "clicked", 0), (f"d{first}", "converted_unless_clicked", 1)]
    log.append_outcomes([Outcome("late", f"d{first}", CLICK, at + HOUR)], at + 2 * DAY)
    made.learn(at + 2 * DAY)
    learner(log, tmp_path).learn(at + 40 * DAY)
    assert [answer for answer in kept(log) if answer[0] == f"d{first}"] == [*before, (f"d{first}", "opted_out", 0)]


def test_one_look_at_a_clock_far_ahead_leaves_later_decisions_to_their_windows(log, tmp_path):
    """What was there is closed too early, which nothing takes back; who decides afterwards is visited when the window closes, and nothing counts twice."""
    made = learner(log, tmp_path)
    assert made.learn(AS_OF + 400 * DAY).answers == 120
    fake.fill(log, [fake.served(100 + i, AS_OF + 2 * DAY + i * HOUR / 2) for i in range(40)])
    (first, *_) = clickable(1)
    fake.tell(log, (f"d{100 + first}", CLICK, AS_OF + 2 * DAY + 20 * HOUR))
    found = [made.learn(AS_OF + day * DAY + 20 * HOUR).answers for day in (2, 3, 10, 17, 17)]
    assert found == [1, 39, 40, 40, 0]
    assert len(kept(log)) == len({(decision, stage) for decision, stage, _ in kept(log)}) == 240
    assert [d for d, stage, answer in kept(log) if stage == "clicked" and answer] == [f"d{100 + first}"]


def test_cursors_that_ran_ahead_of_every_decision_come_back_to_the_last_one(log, tmp_path):
    """An earlier version kept how far a clock was ahead: from here on windows are looked at again."""
    made = learner(log, tmp_path)
    made.learn(AS_OF + 20 * DAY)
    with writing(log.engine) as connection:
        ahead = {f"1 {label}": micros(AS_OF + 400 * DAY) for label in TOLD_BY}
        log_answers.keep_cursors(connection, log_answers.cursors(connection, ["1 decisions", "1 outcomes"]) | ahead)
    again = learner(log, tmp_path)
    assert again.learn(AS_OF + 21 * DAY).answers == 0
    fake.fill(log, [fake.served(100 + i, AS_OF + 21 * DAY + i * HOUR / 2) for i in range(40)])
    assert [again.learn(AS_OF + day * DAY + 20 * HOUR).answers for day in (21, 22, 36)] == [0, 40, 80]


def test_fallbacks_without_features_and_damaged_decisions_are_left_out(small, tmp_path):
    """The others are learned; what is damaged is told of, once a look; arms' features that are gone as well."""
    asked = [fake.served(50, AS_OF + HOUR, reason=Reason.STORE_DOWN, group=FALLBACK, features={}), fake.served(51, AS_OF + HOUR, arms_version="lost")]
    fake.fill(small, asked)
    with writing(small.engine) as connection:
        connection.execute(update(decision_table).where(decision_table.c.decision_id == "d0").values(record=b"\1nonsense"))
    found = learner(small, tmp_path).learn(AS_OF + 2 * DAY)
    assert found.answers == 39
    damaged, lost = found.damaged
    assert "Decision 'd0' of the log is damaged" in damaged
    assert "Decision 'd51': The log has no arms' features of version 'lost'" in lost


def test_limits_cut_off_nothing(small, tmp_path, monkeypatch):
    """Seven rows at a time give the same answers, in more batches."""
    monkeypatch.setattr("training.adapters.learner.MOST", 7)
    made, answers, turns = learner(small, tmp_path), 0, 0
    while True:
        found = made.learn(AS_OF + 15 * DAY + 20 * HOUR)
        answers, turns = answers + found.answers, turns + 1
        if not found.more:
            break
    assert turns > 5
    assert answers == len(set(kept(small))) == 120  # clicked, opted out, converted
    assert same(learner(small, tmp_path / "again").heads, made.heads)


def test_two_learners_cannot_count_one_answer_twice(small, tmp_path):
    """Although a lock keeps them apart: the second one's batch is refused whole."""
    one, two = learner(small, tmp_path), learner(small, tmp_path / "two")
    one.learn(AS_OF + 2 * DAY)
    with monkeyed(two), pytest.raises(LogError):
        two.learn(AS_OF + 2 * DAY)
    assert len(kept(small)) == len(set(kept(small))) == 40


class monkeyed:  # noqa: N801 - reads as a word in a with statement
    """A learner that does not see what others have recorded."""

    def __init__(self, made):
        self.made = made

    def __enter__(self):
        self.before = log_answers._known
        log_answers._known = lambda *_: {f"d{i}": {} for i in range(100)}

    def __exit__(self, *_):
        log_answers._known = self.before


def test_the_age_of_what_waits(small, tmp_path):
    """Nothing; then the oldest outcome that was not looked at; then nothing again."""
    made, now = learner(small, tmp_path), AS_OF + 20 * HOUR
    assert made.waiting_since() is None
    first, second = clickable(2)
    fake.tell(small, (f"d{first}", IMPRESSION, now), (f"d{second}", CLICK, now + HOUR))
    assert made.waiting_since() == now
    made.learn(now + HOUR)
    assert made.waiting_since() is None


def _live(url, folder, begun):
    """A learner that looks again and again until it is killed."""
    torch.set_num_threads(1)
    log = DecisionLog(url)
    made = learner(log, folder)
    begun.set()
    while True:
        made.learn(AS_OF + 20 * HOUR)


def test_killed_at_any_moment_it_loses_nothing_and_counts_nothing_twice(tmp_path):
    """25 learners killed one after the other while outcomes arrive, every other one as soon as its batch is recorded, which is before it is published.

    In the end every click is counted once, and the snapshot is what a rebuild gives.
    """
    log = fake.filled(tmp_path)
    fake.model()  # before the children, who would each train it
    context, rng, told = multiprocessing.get_context("fork"), random.Random(11), iter(clickable(26))
    log.engine.dispose()
    for number in range(25):
        begun = context.Event()
        child = context.Process(target=_live, args=(f"sqlite:///{tmp_path / 'log.db'}", tmp_path, begun))
        child.start()
        assert begun.wait(60)
        before = log_answers.posterior_of(log.engine, "1")
        fake.tell(log, (f"d{next(told)}", CLICK, AS_OF + 20 * HOUR))
        while number % 2 and log_answers.posterior_of(log.engine, "1") == before:
            assert child.is_alive()
        time.sleep(0 if number % 2 else rng.random() * 0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        log.engine.dispose()
    last = learner(log, tmp_path)
    last.learn(AS_OF + 21 * HOUR)
    clicks = [(decision, answer) for decision, stage, answer in kept(log) if stage == "clicked" and answer]
    assert clicks == sorted((f"d{i}", 1) for i in clickable(25))
    with reading(log.engine) as connection:
        assert connection.execute(select(func.max(answer_table.c.posterior))).scalar() == last.posterior
    assert last.posterior >= 12
    see = sight(fake.model(), fake.catalog(), log.engine)
    assert same(rebuild(see, log.engine, tmp_path / "no", "1", last.posterior), last.heads)
    current = files.current(tmp_path / "posterior", "1")
    assert (current, same(files.read(tmp_path / "posterior", "1", current), last.heads)) == (last.posterior, True)


def test_reading_starts_where_the_first_label_was_open(small, tmp_path):
    """Outcomes of decisions that training has read whole are not gone through again."""
    fake.tell(small, (f"d{clickable(1)[0]}", CLICK, AS_OF + 20 * HOUR))
    with reading(small.engine) as connection:
        assert log_answers.first_outcome(connection, micros(AS_OF + 19 * HOUR)) == 0
        assert log_answers.first_outcome(connection, micros(AS_OF + 20 * HOUR)) == 1


def test_what_came_before_a_label_was_open_for_training_is_learned_at_the_first_look(tmp_path):
    """Decided ten days before the model's data end, clicked and converted the next day: training has read the click, and could not yet read the conversion."""
    log = fake.filled(tmp_path, begin=AS_OF - 10 * DAY)
    name = f"d{clickable(1)[0]}"
    fake.tell(log, (name, CLICK, AS_OF - 9 * DAY - 5 * HOUR), (name, CONVERSION, AS_OF - 9 * DAY))
    assert learner(log, tmp_path).learn(AS_OF).answers == 1
    ((decision, stage, answer),) = kept(log)
    assert (decision, stage.startswith("converted"), answer) == (name, True, 1)
