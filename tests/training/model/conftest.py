"""One catalog, one synthetic log and one small model for all tests of the model."""

import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import Settings, TextChoice, TrainingSettings
from training.domain.catalog import load_catalog
from training.domain.nouns import Label
from training.model.arms import ArmRows
from training.model.encode import CONTEXT_SIZE, NUMERIC_SIZE, MemberRows
from training.model.fit import fit
from training.model.rows import Rows


@pytest.fixture(scope="session", autouse=True)
def single_thread():
    """Tensors this small are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    """Few draws, small network."""
    made = Settings(home=tmp_path_factory.mktemp("home"), training=TrainingSettings(width=32, epochs=40, batch=256, text_encoder=TextChoice.HASHED))
    return made.model_copy(update={"exploration": made.exploration.model_copy(update={"draws": 32})})


@pytest.fixture(scope="session")
def catalog(settings):
    """The simulated catalog."""
    return load_catalog(settings.catalog)


@pytest.fixture(scope="session")
def frame(catalog):
    """24,000 decisions with known effects."""
    return training_frame(catalog, 24_000)


@pytest.fixture(scope="session")
def model(frame, catalog, settings):
    """Trained on `frame`."""
    return fit(frame, catalog, settings.training, 7, str)


@pytest.fixture(scope="session")
def some_rows():
    """60 drawn rows of 7 arms, the first of which is `none`; three words of 2, 3 and 4 values, two labels."""
    g, count, kinds = torch.Generator().manual_seed(3), 60, 7
    codes = torch.stack([torch.randint(0, n + 1, (count,), generator=g) for n in (2, 3, 4)], dim=1)
    members = MemberRows(torch.randn(count, NUMERIC_SIZE, generator=g), codes, torch.randn(count, CONTEXT_SIZE, generator=g))
    arm = torch.randint(0, kinds, (count,), generator=g)
    factors, text, shown = torch.randint(0, 4, (kinds, 3), generator=g), torch.randn(kinds, 5, generator=g), torch.ones(kinds, 1)
    factors[0], text[0], shown[0] = 0, 0.0, 0.0
    arms = ArmRows(factors[arm], text[arm], torch.randn(count, 3, generator=g), shown[arm])
    labels = (torch.rand(count, 2, generator=g) < 0.4).to(torch.float32)
    return Rows.of(members, arms, labels, (Label.CLICKED, Label.CONVERTED), torch.zeros(count, dtype=torch.bool))
