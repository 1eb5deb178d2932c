"""One catalog, one synthetic log and one small model for all tests of the model."""

import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import Settings, TextChoice, TrainingSettings
from training.domain.catalog import load_catalog
from training.model.fit import fit


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
