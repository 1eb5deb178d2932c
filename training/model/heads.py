"""The posteriors of all labels on the frozen phi, corrected by what the members kept back say. phi is computed a chunk at a time, never whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from training.model.funnel import FEWEST, SURROGATED, Stage
from training.model.fused import Network
from training.model.optimise import Progress
from training.model.posterior import NEVER, LaplaceLogistic, found
from training.model.recalibrate import UNCHANGED, Correction, corrected, levelled, parts
from training.model.rows import IMMATURE, Rows
from training.model.search import Search, likelihood
from training.model.stacked import StackedSizes
from training.model.towers import Towers
from training.model.wide import Held

SAMPLE = 65_536
"""With more than four times as many rows, searches begin on an even sample of about this size: the first, long steps need no more."""
DEEP, WIDE, PLAIN = "deep", "wide", "plain"
ARM = 4
"""Blocks of `Stacked` before this one do not depend on the arm."""
READ = {PLAIN: (0, 2), WIDE: (0, 2, 4, 7), DEEP: (0, 1, 4, 5, 6)}
"""Blocks of `Stacked` that each kind of head reads, the simpler first: [1, b], [1, b | s v, e] or [1, u | s v, m, s z]."""
SURE = 2.0
"""Standard errors by which the network must predict members kept back better than the linear part."""
CHUNK = 4_096
"""Rows whose phi is held at once: it stays within the processor's cache."""


Judged = dict[str, tuple[Correction, torch.Tensor]]
"""By choice: the correction that members kept back ask of the head of the others, and the log losses that it then has on their rows."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Columns of phi that a head may read, their blocks, and how many of them do not depend on the arm; the first is the constant. Told apart by identity."""

    columns: torch.Tensor
    blocks: tuple[int, ...]
    base: int


@dataclass(frozen=True)
class Task:
    """The search for the weights of the label in column `label`, from every row or from those of members not kept back."""

    label: int
    every: bool
    choice: Choice
    search: Search


@dataclass(frozen=True)
class Source:
    """phi of the training rows; what stands beside the towers' own is scored by weights that never saw the row (`wide.Held`)."""

    net: Network
    rows: Rows
    held: Held | None

    def phi(self, which: slice | torch.Tensor) -> torch.Tensor:
        """phi of the rows at `which`, [n, d]."""
        deep = self.net.phi(self.rows.batch(which), self.rows.kinds, self.rows.numbers)
        if self.held is None:
            return deep
        base, found = self.net.towers.sizes.base, self.held.scores(which)
        return torch.cat([deep[:, :base], found.base, found.each, deep[:, base:], found.effect], dim=1)

    def chunks(self, stride: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """phi of every `stride`-th row, CHUNK rows at a time, with where they stand."""
        for start in range(0, len(self.rows), CHUNK * stride):
            span = slice(start, min(start + CHUNK * stride, len(self.rows)), stride)
            yield span, self.phi(span)


def posteriors(
    towers: Towers, rows: Rows, smallest: float, progress: Progress, held: Held | None = None, whose: torch.Tensor | None = None
) -> tuple[dict[Stage, LaplaceLogistic], dict[str, Any], torch.Tensor]:
    """The head of each label, what was found about it, for the manifest, and its logits [n, L]. `smallest` is the least prior precision of a block of phi.

    The head of the other members is judged on those kept back; the head of all rows is corrected by that, then levelled to the label's base rate. With
    `held`, phi is that of `Stacked`, and each label reads the blocks, deep or wide, that predict the members kept back better; the others are switched off.
    `whose` int64 [n] says which member's a row is (by default each is of another): rows of one member share their answer, so many of few say little.
    """
    source = Source(Network(towers, len(rows.names)), rows, held)
    every = _choices(towers, held)
    choices = [{name: choice for name, choice in every.items() if name != PLAIN or stage in SURROGATED} for stage in rows.names]
    size = towers.sizes.phi if held is None else StackedSizes(towers.sizes, len(held.weights)).phi
    with torch.no_grad():
        judged = _judged(source, [i for i in range(len(rows.names)) if _can_judge(rows, i)], choices, smallest)
        whose = torch.arange(len(rows)) if whose is None else whose
        names = [_better(judged[i], whose[_answered(rows, i)]) if i in judged else next(iter(choices[i])) for i in range(len(rows.names))]
        corrections = [judged[i][names[i]][0] if i in judged else UNCHANGED for i in range(len(rows.names))]
        read = [some[name] for some, name in zip(choices, names, strict=True)]
        whole = [Task(i, every=True, choice=c, search=Search(float(r), c.blocks, smallest)) for i, (c, r) in enumerate(zip(read, rows.base_rates, strict=True))]
        _search(source, whole)
        heads = [_wide_as(corrections[t.label].apply(found(t.search)[0], t.choice.base), t.choice, size) for t in whole]
        logits = torch.cat([phi @ torch.stack([h.mean for h in heads]).to(torch.float32).T for _, phi in source.chunks(1)])
    levels, told = {}, {}
    for i, (label, head) in enumerate(zip(rows.names, heads, strict=True)):
        mature = rows.labels[:, i] != IMMATURE
        levels[label] = levelled(head, logits[mature, i], rows.labels[mature, i])
        logits[:, i] += float(levels[label].mean[0] - head.mean[0])
        correction = {name: round(value, 6) for name, value in asdict(corrections[i]).items()}
        losses = {name: round(float(loss.mean()), 6) for name, (_, loss) in judged.get(i, {}).items()}
        told[label.value] = {
            "phi": names[i],
            "kept_back": losses,
            "prior_precisions": [round(x, 6) for x in found(whole[i].search)[1]],
            "correction": correction,
        }
        left = f"members kept back leave {corrections[i].effect:.0%} of its arm effects"
        progress(f"posterior of {label.value} ({names[i]}): {int(mature.sum()):,} mature rows; {left}")
    return levels, told, logits


def _choices(towers: Towers, held: Held | None) -> dict[str, Choice]:
    """What a head may read: all of phi, or with `held` no arm, the wide part or the towers', both with the arm's own block; PLAIN is for SURROGATED stages."""
    sizes = towers.sizes
    if held is None:
        return {DEEP: Choice(torch.arange(sizes.phi), sizes.blocks, sizes.base)}
    blocks = StackedSizes(sizes, len(held.weights)).blocks
    columns = torch.split(torch.arange(sum(blocks)), list(blocks))
    return {
        name: Choice(torch.cat([columns[i] for i in read]), tuple(blocks[i] for i in read), sum(blocks[i] for i in read if i < ARM))
        for name, read in READ.items()
    }


def _judged(source: Source, labels: list[int], choices: list[dict[str, Choice]], smallest: float) -> dict[int, Judged]:
    """Each choice of each of `labels` in the eyes of the members kept back; all are searched for together, so that phi is made once a pass."""
    tasks = [Task(i, every=False, choice=c, search=Search(_rate(source.rows, i), c.blocks, smallest)) for i in labels for c in choices[i].values()]
    _search(source, tasks)
    kept = torch.nonzero(source.rows.kept_back)[:, 0]
    parted: list[list[torch.Tensor]] = [[] for _ in tasks]
    for chunk in torch.split(kept, CHUNK):
        phi = source.phi(chunk)
        for some, task in zip(parted, tasks, strict=True):
            some.append(parts(phi[:, task.choice.columns], found(task.search)[0], task.choice.base))
    judged: dict[int, Judged] = {i: {} for i in labels}
    for name, some, task in zip([name for i in labels for name in choices[i]], parted, tasks, strict=True):
        answers = source.rows.labels[kept, task.label]
        mature = answers != IMMATURE
        judged[task.label][name] = corrected(torch.cat(some)[mature], answers[mature].to(torch.float64))
    return judged


def _better(judged: Judged, whose: torch.Tensor) -> str:
    """The first choice, unless another is better by more than SURE standard errors: many stages are judged, and luck must not choose for one of them."""
    first, *others = judged
    for name in others:
        gain = judged[first][1] - judged[name][1]
        if float(gain.mean()) > SURE * standard_error(gain, whose):
            first = name
    return first


def standard_error(gain: torch.Tensor, whose: torch.Tensor) -> float:
    """Of the mean of `gain` [n], whose rows are those of members `whose` int64 [n]: the larger of what independent rows, and independent members, say
    (Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models", equation 6, of a mean).
    """
    rest = gain - gain.mean()
    _, member = torch.unique(whose, return_inverse=True)
    sums = torch.zeros(int(member.max()) + 1, dtype=gain.dtype).index_add(0, member, rest)
    squares = [float((part**2).sum()) * len(part) / max(len(part) - 1, 1) for part in (rest, sums)]
    return float(max(squares) ** 0.5) / len(gain)


def _search(source: Source, tasks: list[Task]) -> None:
    """Passes over the rows until every search stands still, the first ones over a sample where there are many."""
    rows = source.rows
    for stride in dict.fromkeys((len(rows) // SAMPLE if len(rows) > 4 * SAMPLE else 1, 1)):
        for task in tasks:
            task.search.again()
        while moving := [task for task in tasks if not task.search.still]:
            _pass(source, moving, stride)


def _pass(source: Source, tasks: list[Task], stride: int) -> None:
    sums = [[torch.zeros(())] * 2 for _ in tasks]
    for span, phi in source.chunks(stride):
        labels, kept_back = source.rows.labels[span], source.rows.kept_back[span]
        read = {choice: phi[:, choice.columns] for choice in {task.choice for task in tasks}}
        for total, task in zip(sums, tasks, strict=True):
            answers = labels[:, task.label]
            counts = (answers != IMMATURE) if task.every else (answers != IMMATURE) & ~kept_back
            slope, curvature = likelihood(read[task.choice], answers.to(torch.float32), counts.to(torch.float32), task.search.mean)
            total[0], total[1] = total[0] + slope, total[1] + curvature
    for (slope, curvature), task in zip(sums, tasks, strict=True):
        task.search.learn(slope, curvature)


def _wide_as(head: LaplaceLogistic, choice: Choice, size: int) -> LaplaceLogistic:
    """The head on all `size` columns of phi; those that it does not read weigh nothing, for certain."""
    mean, precision = torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64) * NEVER
    mean[choice.columns] = head.mean
    precision[choice.columns[:, None], choice.columns[None, :]] = head.precision
    return LaplaceLogistic(mean, precision)


def _answered(rows: Rows, label: int) -> torch.Tensor:
    """Rows of members kept back whose `label` is known, in the order in which they are judged."""
    return torch.nonzero(rows.kept_back & (rows.labels[:, label] != IMMATURE))[:, 0]


def _can_judge(rows: Rows, label: int) -> bool:
    """Whether both the members kept back and the others have FEWEST rows of each class."""
    return all(int((rows.labels[rows.kept_back == kept, label] == answer).sum()) >= FEWEST for kept in (True, False) for answer in (0, 1))


def _rate(rows: Rows, label: int) -> float:
    """Mean of the mature labels of the members who were not kept back."""
    answers = rows.labels[~rows.kept_back, label]
    return float((answers == 1).sum() / (answers != IMMATURE).sum())
