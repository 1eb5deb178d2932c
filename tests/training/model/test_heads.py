"""Posteriors by passes over chunks are those of whole arrays."""

import numpy as np
import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import TextChoice, TrainingSettings
from training.model import heads, posterior
from training.model.fit import fit, prepare
from training.model.funnel import Stage
from training.model.recalibrate import UNCHANGED, fit_correction, levelled, parts
from training.model.rows import IMMATURE
from training.model.towers import Towers, initialise

SMALLEST = 1.0


@pytest.fixture(scope="module")
def made(catalog):
    """Packed rows, towers drawn at random such that no block has an evidence so flat that searches end far apart, and phi of all rows as the towers say it."""
    prepared = prepare(training_frame(catalog, 4000), catalog, TrainingSettings(width=16))
    towers = Towers(prepared.sizes)
    initialise(towers, torch.Generator().manual_seed(5))
    with torch.no_grad():
        phi = towers(*prepared.rows.whole(slice(0, len(prepared.rows))))[:, : towers.sizes.phi]
    return prepared.rows, towers.eval(), phi


def whole(rows, towers, phi, label):
    """The same head from whole arrays, and its correction."""
    column = rows.labels[:, rows.names.index(label)]
    mature = column != IMMATURE
    seen, answers, kept = phi[mature], column[mature].to(torch.float32), rows.kept_back[mature]
    correction = UNCHANGED
    if all(int((answers[kept == k] == a).sum()) >= heads.FEWEST for k in (True, False) for a in (0, 1)):
        others, _ = posterior.fit(seen[~kept], answers[~kept], towers.sizes.blocks, SMALLEST)
        correction = fit_correction(parts(seen[kept], others, towers.sizes.base), answers[kept].to(torch.float64))
    head, precisions = posterior.fit(seen, answers, towers.sizes.blocks, SMALLEST)
    corrected = correction.apply(head, towers.sizes.base)
    return levelled(corrected, seen @ corrected.mean.to(torch.float32), answers), correction, precisions


@pytest.mark.parametrize("sample", [heads.SAMPLE, 300], ids=["all rows from the start", "a sample first"])
@pytest.mark.parametrize("label", [Stage.CLICKED, Stage.RETAINED_IF_VISITED])
def test_in_chunks_is_at_once(made, monkeypatch, sample, label):
    """Mean within a hundredth of a standard deviation, precision, correction: with chunks of 512 rows, and after beginning on every 13th row too."""
    rows, towers, phi = made
    monkeypatch.setattr(heads, "CHUNK", 512)
    monkeypatch.setattr(heads, "SAMPLE", sample)
    found, told, logits = heads.posteriors(towers, rows, SMALLEST, str)
    wanted, correction, precisions = whole(rows, towers, phi, label)
    deviation = torch.linalg.inv(wanted.precision).diagonal().sqrt()
    assert float(((found[label].mean - wanted.mean) / deviation).abs().max()) < 0.02
    assert torch.allclose(found[label].precision, wanted.precision, rtol=1e-2, atol=0.1)
    assert torch.allclose(logits[:, rows.names.index(label)], phi @ found[label].mean.to(torch.float32), atol=1e-4)
    assert told[label.value]["prior_precisions"] == pytest.approx(list(precisions), rel=0.02)
    assert told[label.value]["correction"]["effect"] == pytest.approx(correction.effect, abs=1e-2)


def test_without_anyone_kept_back_nothing_is_corrected(made):
    """And a head's mean prediction is its base rate."""
    rows, towers, phi = made
    alone = type(rows)(rows.numbers, *rows.batch(slice(0, len(rows))), torch.zeros(len(rows), dtype=torch.bool), rows.kinds, rows.names)
    found, told, _ = heads.posteriors(towers, alone, SMALLEST, str)
    assert all(about["correction"] == {"unprompted": 1.0, "effect": 1.0} for about in told.values())
    said = torch.sigmoid(phi.to(torch.float64) @ found[Stage.CLICKED].mean)
    assert float(said.mean()) == pytest.approx(float(rows.base_rates[rows.names.index(Stage.CLICKED)]), abs=1e-5)


def test_many_rows_of_few_members_are_little_evidence():
    """Of 300 members with 17 rows each, whose gains are alike, the error is that of 300 numbers: root of 300/299 times their mean square, over 300."""
    each = torch.randn(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows, whose = each.repeat_interleave(17), torch.arange(300).repeat_interleave(17)
    assert heads.standard_error(rows, whose) == pytest.approx(float(each.std()) / 300**0.5)
    assert heads.standard_error(rows, torch.arange(len(rows))) == pytest.approx(float(rows.std()) / len(rows) ** 0.5)


def test_members_who_answer_alike_choose_no_network_by_luck():
    """Equally good in truth, 17 rows a member: in three logs of ten the network seemed better by two errors of independent rows."""
    chosen = 0
    for seed in range(200):
        gain = torch.randn(100, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).repeat_interleave(17)
        found = heads._better({heads.WIDE: (UNCHANGED, gain), heads.DEEP: (UNCHANGED, torch.zeros(1_700))}, torch.arange(100).repeat_interleave(17))
        chosen += found == heads.DEEP
    assert chosen <= 12


def test_whose_a_row_is_reaches_the_choice(catalog, monkeypatch):
    """A training counts the members of the kept-back rows, not the rows."""
    seen = []
    real = heads.standard_error
    monkeypatch.setattr(heads, "standard_error", lambda gain, whose: seen.append((len(gain), len(torch.unique(whose)))) or real(gain, whose))
    fit(training_frame(catalog, 6_000), catalog, TrainingSettings(width=16, epochs=1, text_encoder=TextChoice.HASHED), 3, str)
    assert seen
    assert all(members < rows / 2 for rows, members in seen)


def test_phi_is_never_whole(made, monkeypatch):
    """No chunk is longer than CHUNK."""
    rows, towers, _ = made
    monkeypatch.setattr(heads, "CHUNK", 512)
    lengths = []
    real = heads.Network.phi
    monkeypatch.setattr(heads.Network, "phi", lambda net, batch, *rest: lengths.append(len(batch.arm)) or real(net, batch, *rest))
    heads.posteriors(towers, rows, SMALLEST, str)
    assert max(lengths) == 512


def test_what_is_shown_works_through_the_surrogate_until_refuted(catalog):
    """Retention after a visit reads no arm where arms do nothing to it, and reads them where one creative drives members away in spite of visits."""
    frame = training_frame(catalog, 6_000)
    settings = TrainingSettings(width=16, epochs=2, batch=512, text_encoder=TextChoice.HASHED)
    harmful = fit(frame, catalog, settings, 3, str).manifest["heads"]["retained_if_visited"]
    rng, mature = np.random.default_rng(1), frame["retained"].notna()
    frame.loc[mature, "retained"] = rng.random(int(mature.sum())) < 0.9
    harmless = fit(frame, catalog, settings, 3, str).manifest["heads"]["retained_if_visited"]
    assert harmless["phi"] == heads.PLAIN
    assert harmful["phi"] != heads.PLAIN
    assert set(harmful["kept_back"]) == {heads.PLAIN, heads.WIDE, heads.DEEP}
